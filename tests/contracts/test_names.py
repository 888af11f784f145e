"""Ids, leaf text, roles and reserved names that others depend on: they never change."""

from datetime import UTC, datetime
from typing import get_args
from uuid import UUID

from domain.errors import Refusal
from domain.event import Origin, Role
from domain.log_root import leaf_hash, leaf_text
from domain.manager_forecast import forecast_stream
from domain.organisation import STREAM_ID as ORGANISATION
from domain.playbook import STREAM_ID, Grade, MacroStage
from domain.registry import COMMANDS, EVENTS
from domain.relations import Attitude, DecisionRole, Orientation, Power, Strategy
from infra.event_store import CHANNEL
from infra.ids import NAMESPACE, imported_id


def test_the_playbook_is_always_the_same_stream() -> None:
    assert UUID("4073aa4f-1fe7-5155-882e-0c3cc6fa62eb") == STREAM_ID


def test_the_organisation_and_a_forecast_are_always_the_same_streams() -> None:
    assert UUID("ab06050a-00c8-5081-92b2-d70c6bff4dad") == ORGANISATION
    deal = UUID("0195a000-0000-7000-8000-000000000001")
    assert forecast_stream(deal) == UUID("5d9d6fc1-3c25-5bcc-9d58-44077ed6653f")


def test_imported_things_always_get_the_same_ids() -> None:
    assert UUID("5f3c2a52-6c1e-5f0b-9b51-3c0d6f1f7a10") == NAMESPACE
    assert imported_id("deal", "crm", "006-1") == UUID("cea00fca-7112-5536-9567-28de68b2f35c")
    assert imported_id("deal", "crm", "北-Ä") == UUID("d7496a5e-7d59-5547-935c-ab0b41ce08bb")


def test_things_that_differ_in_kind_source_or_id_differ() -> None:
    names = [("deal", "crm", "1"), ("account", "crm", "1"), ("deal", "erp", "1"), ("deal", "crm", "2")]
    assert len({imported_id(*name) for name in names}) == len(names)


def test_the_leaf_text_of_an_event_is_always_the_same() -> None:
    leaf = leaf_text(
        log_id=UUID("0195a000-0000-7000-8000-00000000000f"),
        epoch=1,
        position=42,
        stream_id=UUID("0195a000-0000-7000-8000-000000000001"),
        stream_version=3,
        topic="deal.won",
        recorded_at=datetime(2026, 3, 2, 9, 30, 0, 1, tzinfo=UTC),
        state=b'{"meta":{},"data":{}}',
    )
    assert leaf == (
        b"dealtrace/leaf/1\n"
        b"0195a000-0000-7000-8000-00000000000f\n"
        b"1\n"
        b"42\n"
        b"0195a000-0000-7000-8000-000000000001\n"
        b"3\n"
        b"deal.won\n"
        b"2026-03-02T09:30:00.000001Z\n"
        b"TUFGPVM1qs8+z4kNX5Ss21mUE8oAY04yu1UcVu4Kc5w=\n"
    )
    assert leaf_hash(leaf).hex() == "dc1f930691551e0e087154a8f272fe797ffe9d8a701324c9de11ae080bffbe34"


def test_the_words_stored_in_envelopes_and_playbooks_are_these() -> None:
    assert get_args(Role) == (
        "rep",
        "manager",
        "director",
        "sales_operations",
        "analyst",
        "auditor",
        "admin",
        "integration",
        "system",
    )
    assert get_args(Origin) == ("live", "import", "system")
    assert get_args(MacroStage) == (
        "needs_confirmed",
        "plan_confirmed",
        "procurement_negotiation",
        "contract_signed",
        "delivery_and_payment",
    )


def test_the_words_stored_about_people_and_grades_are_these() -> None:
    assert get_args(Attitude) == ("strongly_positive", "positive", "neutral", "negative", "strongly_negative")
    assert get_args(DecisionRole) == ("approver", "decider", "evaluator", "user")
    assert get_args(Power) == ("collaborate", "manage", "approve", "control")
    assert get_args(Strategy) == ("suppress", "defend", "motivate", "attack", "balance")
    assert get_args(Orientation) == (
        "professional",
        "pragmatic",
        "professional_pragmatic",
        "pragmatic_professional",
        "balanced",
    )
    assert get_args(Grade) == ("A", "B", "C", "D", "E")


def test_no_topic_was_dropped_or_renamed() -> None:
    assert set(EVENTS) >= {
        "deal.opened",
        "deal.voided",
        "deal.merged_into",
        "deal.stage_advanced",
        "deal.stage_regressed",
        "deal.won",
        "deal.lost",
        "deal.abandoned",
        "deal.reopened",
        "deal.renamed",
        "deal.amount_revised",
        "deal.expected_close_revised",
        "deal.owner_revised",
        "deal.activity_logged",
        "playbook.funnel_defined",
        "playbook.funnel_revised",
        "playbook.funnel_retired",
        "playbook.currency_set",
        "playbook.calendar_set",
        "deal.graded",
        "deal.partner_registered",
        "deal.partner_withdrawn",
        "deal.item_ticked",
        "deal.item_unticked",
        "deal.stage_reviewed",
        "deal.compelling_event_recorded",
        "deal.compelling_event_reassessed",
        "deal.compelling_event_withdrawn",
        "deal.inside_source_found",
        "deal.inside_source_lost",
        "deal.competitor_added",
        "deal.competitor_assessed",
        "deal.competitor_dropped_out",
        "deal.our_position_assessed",
        "deal.assessment_confirmed",
        "deal.sole_source_confirmed",
        "deal.sole_source_withdrawn",
        "deal.contact_added",
        "deal.contact_revised",
        "deal.contact_attitude_changed",
        "deal.contact_strategy_changed",
        "deal.contact_removed",
        "deal.confirmed",
        "deal.team_joined",
        "deal.team_left",
        "forecast.set",
        "forecast.withdrawn",
        "account.opened",
        "account.renamed",
        "account.classified",
        "account.contact_added",
        "account.contact_described",
        "account.contact_traits_revised",
        "account.contact_attitude_changed",
        "account.contact_retired",
        "organisation.team_created",
        "organisation.team_revised",
        "organisation.manager_appointed",
        "organisation.person_joined",
        "organisation.person_renamed",
        "organisation.person_left",
        "playbook.grades_set",
        "playbook.checklist_set",
        "playbook.rate_set_adopted",
        "playbook.month_locked",
        "playbook.month_unlocked",
        "playbook.depth_rules_set",
        "playbook.strategies_set",
        "playbook.inside_source_factor_set",
        "playbook.cohort_window_set",
    }


def test_no_command_was_dropped_or_renamed() -> None:
    assert set(COMMANDS) >= {
        "open-deal",
        "void-deal",
        "merge-deal",
        "advance-stage",
        "regress-stage",
        "win-deal",
        "lose-deal",
        "abandon-deal",
        "reopen-deal",
        "rename-deal",
        "revise-amount",
        "revise-expected-close",
        "revise-owner",
        "log-activity",
        "define-funnel",
        "revise-funnel",
        "retire-funnel",
        "set-currency",
        "set-calendar",
        "grade-deal",
        "register-partner",
        "withdraw-partner",
        "tick-item",
        "untick-item",
        "review-stage",
        "record-compelling-event",
        "reassess-compelling-event",
        "withdraw-compelling-event",
        "find-inside-source",
        "lose-inside-source",
        "add-competitor",
        "assess-competitor",
        "drop-competitor",
        "assess-our-position",
        "confirm-assessment",
        "confirm-sole-source",
        "withdraw-sole-source",
        "add-deal-contact",
        "revise-deal-contact",
        "assess-attitude",
        "choose-strategy",
        "remove-deal-contact",
        "confirm-deal",
        "join-deal-team",
        "leave-deal-team",
        "set-forecast",
        "withdraw-forecast",
        "open-account",
        "rename-account",
        "classify-account",
        "add-contact",
        "describe-contact",
        "revise-contact-traits",
        "assess-overall-attitude",
        "retire-contact",
        "create-team",
        "revise-team",
        "appoint-manager",
        "join-team",
        "leave-team",
        "set-grades",
        "set-checklist",
        "adopt-rate-set",
        "lock-month",
        "unlock-month",
        "set-depth-rules",
        "set-strategies",
        "set-inside-source-factor",
        "set-cohort-window",
    }


def test_every_refusal_has_a_code_of_its_own() -> None:
    codes = [refusal.code for refusal in Refusal.__subclasses__()]
    assert len(codes) == len(set(codes))


def test_listeners_find_the_log_on_its_channel() -> None:
    assert CHANNEL == "dealtrace_log"
