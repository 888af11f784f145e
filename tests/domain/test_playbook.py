"""Every decision on the playbook, and every refusal."""

from typing import Any

import pytest
from pydantic import ValidationError

from domain.errors import PlaybookConflict, UnknownFunnel
from domain.playbook import (
    EMPTY,
    STREAM_ID,
    CalendarSet,
    CurrencySet,
    DefineFunnel,
    FunnelDefined,
    FunnelRetired,
    FunnelRevised,
    Names,
    NamesInput,
    Playbook,
    RetireFunnel,
    ReviseFunnel,
    SetCalendar,
    SetCurrency,
    Stage,
    StageInput,
)
from domain.registry import AGGREGATE_OF, COMMANDS
from domain.templates import CUSTOMER, TAS_PLUS, TEMPLATES
from tests.given import defined, fold, given


def stage(key: str, stall: int = 10, lose: int | None = None) -> StageInput:
    return StageInput(
        key=key,
        label=NamesInput(en=key.title()),
        macro_stage="needs_confirmed",
        stall_after_days=stall,
        lose_after_days=lose,
    )


def stored(key: str, stall: int = 10, lose: int = 20) -> Stage:
    return Stage(key, Names(key.title()), "needs_confirmed", stall, lose)


def define(funnel: str, *stages: StageInput, **more: Any) -> DefineFunnel:
    return DefineFunnel(funnel=funnel, label=NamesInput(en="F"), stages=stages or (stage("a"),), **more)


def revise(funnel: str, *stages: StageInput, **more: Any) -> ReviseFunnel:
    return ReviseFunnel(funnel=funnel, label=NamesInput(en="F"), stages=stages or (stage("a"),), **more)


A_AND_B = FunnelDefined("short", Names("F"), True, (stored("a"), stored("b")))


# --- Funnels


def test_a_funnel_is_defined_with_labels_in_two_languages_and_thresholds() -> None:
    book = (
        given()
        .when(
            DefineFunnel(
                funnel="short",
                label=NamesInput(en="Short", zh="短"),
                dated=False,
                stages=(stage("a", 5, 7), stage("b")),
            )
        )
        .then(FunnelDefined("short", Names("Short", "短"), False, (stored("a", 5, 7), stored("b"))))
    )
    assert book.active_funnels() == ["short"]
    assert (book.funnel("short").order("a"), book.funnel("short").order("b")) == (0, 1)
    assert book.funnel("short").order("c") is None


def test_a_visit_is_lost_after_twice_the_days_it_stalls_unless_said_otherwise() -> None:
    assert stage("a", 10).stage().lose_after_days == 20
    assert stage("a", 10, 12).stage().lose_after_days == 12
    assert stage("a", 3000).stage().lose_after_days == 3650


def test_the_same_definition_again_changes_nothing() -> None:
    given(*defined(TAS_PLUS)).when(TAS_PLUS).then()


def test_another_definition_under_the_same_key_is_refused() -> None:
    given(A_AND_B).when(define("short", stage("c"))).refused(
        PlaybookConflict, field="funnel", accepted="revise-funnel"
    )


def test_at_most_three_funnels_are_active() -> None:
    three = [FunnelDefined(key, Names("F"), True, (stored("a"),)) for key in ("x", "y", "z")]
    given(*three).when(define("fourth")).refused(
        PlaybookConflict, field="funnel", accepted="at most three", saying="x, y, z"
    )
    retired = (*three, FunnelRetired("y", "old"))
    assert given(*retired).when(define("fourth")).then(
        FunnelDefined("fourth", Names("F"), True, (stored("a"),))
    ).active_funnels() == ["x", "z", "fourth"]  # fmt: skip


def test_a_revision_adds_relabels_and_reorders_stages() -> None:
    book = (
        given(A_AND_B)
        .when(revise("short", stage("b", 3), stage("c"), stage("a")))
        .then(FunnelRevised("short", Names("F"), True, (stored("b", 3, 6), stored("c"), stored("a"))))
    )
    assert [s.key for s in book.funnel("short").stages] == ["b", "c", "a"]


def test_a_revision_removes_no_stage() -> None:
    given(A_AND_B).when(revise("short", stage("b"), stage("c"))).refused(
        PlaybookConflict, field="stages", accepted="all present stages", saying="visited a;"
    )


def test_a_revision_that_says_the_same_changes_nothing() -> None:
    given(A_AND_B).when(revise("short", stage("a"), stage("b"))).then()


def test_a_funnel_that_is_not_there_is_not_revised_or_retired() -> None:
    for command in (revise("nowhere"), RetireFunnel(funnel="nowhere", reason="-")):
        given(A_AND_B).when(command).refused(UnknownFunnel, field="funnel", accepted="short")
    given().when(revise("nowhere")).refused(UnknownFunnel, field="funnel", accepted="none yet")


def test_a_funnel_is_retired_once() -> None:
    retired = FunnelRetired("short", "old")
    retire = RetireFunnel(funnel="short", reason="old")
    assert given(A_AND_B).when(retire).then(retired).active_funnels() == []
    given(A_AND_B, retired).when(retire).then()


def test_revising_a_retired_funnel_brings_it_back_if_there_is_room() -> None:
    retired = (A_AND_B, FunnelRetired("short", "old"))
    again = FunnelRevised("short", Names("F"), True, (stored("a"), stored("b")))
    command = revise("short", stage("a"), stage("b"))
    assert given(*retired).when(command).then(again).active_funnels() == ["short"]
    three = [FunnelDefined(key, Names("F"), True, (stored("a"),)) for key in ("x", "y", "z")]
    given(*retired, *three).when(command).refused(PlaybookConflict, field="funnel", accepted="retire one")


# --- Currency and calendar


def test_the_reporting_currency_is_set_once() -> None:
    assert given().when(SetCurrency(currency="EUR")).then(CurrencySet("EUR")).currency == "EUR"
    given(CurrencySet("EUR")).when(SetCurrency(currency="EUR")).then()
    given(CurrencySet("EUR")).when(SetCurrency(currency="USD")).refused(
        PlaybookConflict, field="currency", accepted="EUR"
    )


def test_the_calendar_is_utc_from_january_until_it_is_set() -> None:
    assert (EMPTY.time_zone, EMPTY.fiscal_year_start) == ("UTC", 1)
    berlin = CalendarSet("Europe/Berlin", 10)
    book = given().when(SetCalendar(time_zone="Europe/Berlin", fiscal_year_start=10)).then(berlin)
    assert (book.time_zone, book.fiscal_year_start) == ("Europe/Berlin", 10)
    given(berlin).when(SetCalendar(time_zone="Europe/Berlin", fiscal_year_start=10)).then()
    given().when(SetCalendar(time_zone="UTC")).then()
    given(berlin).when(SetCalendar(time_zone="UTC", fiscal_year_start=1)).then(CalendarSet("UTC", 1))


def test_what_is_revised_leaves_the_rest_of_the_playbook_alone() -> None:
    book = fold((CurrencySet("EUR"), CalendarSet("Europe/Berlin", 10), A_AND_B, FunnelRetired("short", "-")))
    assert isinstance(book, Playbook)
    assert (book.currency, book.time_zone, book.fiscal_year_start) == ("EUR", "Europe/Berlin", 10)


# --- Shape


@pytest.mark.parametrize(
    "stages",
    [
        (),
        tuple(stage(f"s{i}") for i in range(31)),
        (stage("a"), stage("a")),
    ],
    ids=["none", "too many", "twice the same"],
)
def test_a_funnel_has_1_to_30_distinct_stages(stages: tuple[StageInput, ...]) -> None:
    with pytest.raises(ValidationError):
        DefineFunnel(funnel="short", label=NamesInput(en="F"), stages=stages)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("key", "won"),
        ("key", "lost"),
        ("key", "abandoned"),
        ("key", "Upper"),
        ("key", ""),
        ("key", "x" * 65),
        ("label", {"en": ""}),
        ("label", {"zh": "只有中文"}),
        ("macro_stage", "somewhere"),
        ("stall_after_days", 0),
        ("stall_after_days", 3651),
        ("lose_after_days", 9),
    ],
)
def test_a_stage_has_a_key_a_label_a_macro_stage_and_sensible_days(field: str, value: Any) -> None:
    good = {"key": "a", "label": {"en": "A"}, "macro_stage": "needs_confirmed", "stall_after_days": 10}
    StageInput.model_validate(good)
    with pytest.raises(ValidationError):
        StageInput.model_validate({**good, field: value})


@pytest.mark.parametrize(
    "zone", ["Mars/Olympus", "", "../etc/passwd", "/etc/localtime", "Europe", "a\0b", "x" * 101]
)
def test_a_time_zone_is_one_that_exists(zone: str) -> None:
    with pytest.raises(ValidationError):
        SetCalendar(time_zone=zone)


def test_only_those_who_run_sales_operations_change_the_playbook_and_directors_its_rates_and_locks() -> None:
    by_directors = {"adopt-rate-set", "lock-month", "unlock-month"}
    for name, command in COMMANDS.items():
        if AGGREGATE_OF[command].name == "playbook":
            third = "director" if name in by_directors else "system"
            assert frozenset({"sales_operations", "admin", third}) == command.ALLOWED


def test_every_command_of_the_playbook_goes_to_its_one_stream() -> None:
    for command in (TAS_PLUS, revise("x"), SetCurrency(currency="EUR"), SetCalendar(time_zone="UTC")):
        assert command.stream_id() == command.partition_key() == STREAM_ID


# --- Templates


def test_the_shipped_funnels_have_seven_and_five_stages() -> None:
    assert {key: len(t.stages) for key, t in TEMPLATES.items()} == {"tas_plus": 7, "customer": 5}
    given().when(TAS_PLUS).then(*defined(TAS_PLUS))
    given(*defined(TAS_PLUS)).when(CUSTOMER).then(*defined(CUSTOMER))


def test_every_shipped_stage_is_labelled_in_english_and_chinese() -> None:
    for template in TEMPLATES.values():
        assert all(s.label.en and s.label.zh for s in template.stages)
        assert template.label.zh


def test_the_stages_of_tas_plus_belong_to_these_macro_stages() -> None:
    assert [(s.key, s.macro_stage) for s in TAS_PLUS.stages] == [
        ("verification", "needs_confirmed"),
        ("initiation", "needs_confirmed"),
        ("needs_analysis", "needs_confirmed"),
        ("value_presentation", "plan_confirmed"),
        ("bid_preparation", "plan_confirmed"),
        ("bidding", "procurement_negotiation"),
        ("negotiation", "contract_signed"),
    ]


def test_the_customer_funnel_has_one_stage_per_macro_stage() -> None:
    assert [s.macro_stage for s in CUSTOMER.stages] == [
        "needs_confirmed",
        "plan_confirmed",
        "procurement_negotiation",
        "contract_signed",
        "delivery_and_payment",
    ]
