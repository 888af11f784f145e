"""What ships with the product: TAS+ with seven stages, its grades and checklists, and the customer funnel."""

from decimal import Decimal

from domain.money import MoneyInput
from domain.playbook import (
    DefineFunnel,
    Grade,
    GradeInput,
    ItemInput,
    MacroStage,
    NamesInput,
    SetChecklist,
    SetGrades,
    StageInput,
)


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


def _item(key: str, en: str, zh: str, required: bool = True) -> ItemInput:
    return ItemInput(key=key, label=NamesInput(en=en, zh=zh), required=required)


def _checklist(stage: str, *items: ItemInput, review_required: bool = False) -> SetChecklist:
    return SetChecklist(funnel="tas_plus", stage=stage, items=items, review_required=review_required)


TAS_PLUS_CHECKLISTS = (
    _checklist(
        "verification",
        _item("opportunity_confirmed", "Confirmed as an opportunity", "确认为商机"),
        _item("resources_coordinated", "Internal resources coordinated", "内部资源开始协调", required=False),
    ),
    _checklist(
        "initiation",
        _item("project_team_formed", "Project team formed", "项目组成立"),
        review_required=True,
    ),
    _checklist(
        "needs_analysis",
        _item("value_proposition", "Value proposition settled", "价值主张确定"),
        _item("competitive_strategy", "Competitive strategy settled", "竞争策略确定"),
        _item("action_plan", "Action plan settled", "行动计划确定"),
    ),
    _checklist(
        "value_presentation",
        _item(
            "tender_shaped", "Our points stand in the tender document", "招标文件体现我方要点", required=False
        ),
        _item("tender_drafting", "Customer drafts the tender document", "客户开始编写招标文件"),
    ),
    _checklist("bid_preparation", _item("tender_issued", "Tender formally issued", "正式发标")),
    _checklist("bidding", _item("bid_result_known", "Bid result known", "中标结果已知")),
    _checklist(
        "negotiation",
        _item("winner_announced", "We are announced winner", "公示我方中标"),
        _item("contract_agreed", "Contract agreed", "合同条款谈定", required=False),
    ),
)
"""B2, A1: what each stage of TAS+ is left with, after the source; which items are required is ours."""


def tas_plus_grades(currency: str) -> SetGrades:
    """A2: grades of TAS+ in a currency with a jump to negotiation. The amounts are ours and mean euros or the like."""

    def rule(grade: Grade, amount: int | None, *methods: str) -> GradeInput:
        begins = None if amount is None else MoneyInput(amount=Decimal(amount), currency=currency)
        return GradeInput(grade=grade, from_amount=begins, methods=methods)

    every = (
        "compelling_event",
        "questionnaire",
        "relationship_map",
        "win_rate",
        "strategy",
        "value_proposition",
    )
    return SetGrades(
        funnel="tas_plus",
        grades=(
            rule("A", 1_000_000, *every),
            rule("B", 300_000, *every),
            rule("C", 50_000, "compelling_event"),
            rule("D", 0),
            rule("E", None, "partner_registration"),
        ),
        fast_track="negotiation",
    )
