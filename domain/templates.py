"""Funnels that ship with the product: TAS+ with seven stages, and the customer funnel by macro-stage."""

from domain.playbook import DefineFunnel, MacroStage, NamesInput, StageInput


def _stage(key: str, en: str, zh: str, macro_stage: MacroStage, stall_after_days: int) -> StageInput:
    return StageInput(
        key=key,
        label=NamesInput(en=en, zh=zh),
        macro_stage=macro_stage,
        stall_after_days=stall_after_days,
    )


TAS_PLUS = DefineFunnel(
    funnel="tas_plus",
    label=NamesInput(en="Target Account Selling plus", zh="TAS+ 商机漏斗"),
    stages=(
        _stage("verification", "Verification", "验证商机", "needs_confirmed", 14),
        _stage("initiation", "Initiation", "商机立项", "needs_confirmed", 14),
        _stage("needs_analysis", "Needs analysis", "需求分析", "needs_confirmed", 30),
        _stage("value_presentation", "Value presentation", "价值呈现", "plan_confirmed", 30),
        _stage("bid_preparation", "Bid preparation", "招标准备", "plan_confirmed", 30),
        _stage("bidding", "Bidding", "组织投标", "procurement_negotiation", 21),
        _stage("negotiation", "Negotiation", "谈判签约", "contract_signed", 21),
    ),
)
"""A1: the stages of the source. The days after which a visit stalls are ours."""

CUSTOMER = DefineFunnel(
    funnel="customer",
    label=NamesInput(en="Customer funnel", zh="客户漏斗"),
    stages=(
        _stage("needs", "Needs confirmed", "需求确认", "needs_confirmed", 30),
        _stage("plan", "Plan confirmed", "方案确认", "plan_confirmed", 30),
        _stage("procurement", "Procurement negotiation", "采购谈判", "procurement_negotiation", 21),
        _stage("contract", "Contract signed", "合同签订", "contract_signed", 14),
        _stage("delivery", "Delivery and payment", "交付回款", "delivery_and_payment", 60),
    ),
)
"""B1: one stage per macro-stage."""

TEMPLATES = {template.funnel: template for template in (TAS_PLUS, CUSTOMER)}
