"""Ids, leaf text, roles and reserved names that others depend on: they never change."""

from datetime import UTC, datetime
from typing import get_args
from uuid import UUID

from domain.errors import Refusal
from domain.event import Origin, Role
from domain.log_root import leaf_hash, leaf_text
from domain.playbook import STREAM_ID, MacroStage
from domain.registry import COMMANDS, EVENTS
from infra.event_store import CHANNEL
from infra.ids import NAMESPACE, imported_id


def test_the_playbook_is_always_the_same_stream() -> None:
    assert UUID("4073aa4f-1fe7-5155-882e-0c3cc6fa62eb") == STREAM_ID


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
    }


def test_every_refusal_has_a_code_of_its_own() -> None:
    codes = [refusal.code for refusal in Refusal.__subclasses__()]
    assert len(codes) == len(set(codes))


def test_listeners_find_the_log_on_its_channel() -> None:
    assert CHANNEL == "dealtrace_log"
