"""The playbook's rules for the sales process: rates, grades, checklists, months, relationships, measures."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from domain.errors import PlaybookConflict, UnknownFunnel, UnknownStage, WrongCurrency
from domain.event import Event
from domain.money import Money, MoneyInput
from domain.playbook import (
    EMPTY,
    AdoptRateSet,
    Checklist,
    ChecklistSet,
    CohortWindowSet,
    CurrencySet,
    DepthRulesSet,
    Evidence,
    EvidenceInput,
    FunnelDefined,
    GradeInput,
    GradeRule,
    GradesSet,
    InsideSourceFactorSet,
    Item,
    ItemInput,
    LockMonth,
    MonthLocked,
    MonthUnlocked,
    Names,
    NamesInput,
    Playbook,
    RateInput,
    RateSetAdopted,
    SetChecklist,
    SetCohortWindow,
    SetDepthRules,
    SetGrades,
    SetInsideSourceFactor,
    SetStrategies,
    Stage,
    StageRate,
    StrategiesSet,
    UnlockMonth,
)
from domain.relations import AttitudeStrategy, DepthRules
from domain.templates import TAS_PLUS, TAS_PLUS_CHECKLISTS, tas_plus_grades
from tests.given import MINTED, NOW, OTHER, defined, fold, given

SHORT = FunnelDefined(
    "short", Names("F"), True, tuple(Stage(k, Names(k), "needs_confirmed", 10, 20) for k in ("a", "b"))
)
EURO = CurrencySet("EUR")
DAY = timedelta(days=1)


def euros(amount: int, currency: str = "EUR") -> MoneyInput:
    return MoneyInput(amount=Decimal(amount), currency=currency)


# --- Rate sets


def rate(stage: str, value: str, age: Any = None) -> RateInput:
    return RateInput(stage=stage, age=age, rate=Decimal(value))


def adopt(*rates: RateInput, **more: Any) -> AdoptRateSet:
    given_rates = rates or (rate("a", "0.1"), rate("b", "0.5"))
    return AdoptRateSet(funnel="short", rates=given_rates, reason="better", **more)


def adopted(number: int, *rates: StageRate, after: timedelta = 0 * DAY) -> RateSetAdopted:
    some = rates or (StageRate("a", None, Decimal("0.100000")), StageRate("b", None, Decimal("0.500000")))
    return RateSetAdopted(MINTED, "short", number, NOW + after, some, None, "better")


def test_rate_sets_are_numbered_per_funnel_and_effective_from_now_unless_said_otherwise() -> None:
    given(SHORT).when(adopt()).then(adopted(1))
    given(SHORT, adopted(1)).when(adopt(effective_from=NOW + DAY)).then(adopted(2, after=DAY))


def test_a_rate_set_names_its_evidence() -> None:
    evidence = EvidenceInput(record=OTHER, digest="ab" * 32, candidate="landmark/1")
    (event,) = given(SHORT).when(adopt(evidence=evidence))._decide()
    assert event.evidence == Evidence(OTHER, "ab" * 32, "landmark/1")
    for wrong in ("ab", "AB" * 32, ""):
        with pytest.raises(ValidationError):
            EvidenceInput(record=OTHER, digest=wrong, candidate="x")


def test_rates_have_six_places_and_lie_between_0_and_1() -> None:
    (event,) = given(SHORT).when(adopt(rate("a", "1"), rate("b", "0.123456")))._decide()
    assert [str(r.rate) for r in event.rates] == ["1.000000", "0.123456"]
    for wrong in ("-0.1", "1.000001", "0.1234567", "NaN"):
        with pytest.raises(ValidationError):
            rate("a", wrong)


def test_a_stage_has_one_rate_or_one_for_fresh_and_one_for_stalled() -> None:
    both = (rate("a", "0.1"), rate("b", "0.5", "fresh"), rate("b", "0.25", "stalled"))
    book = (
        given(SHORT)
        .when(adopt(*both))
        .then(
            adopted(
                1,
                StageRate("a", None, Decimal("0.100000")),
                StageRate("b", "fresh", Decimal("0.500000")),
                StageRate("b", "stalled", Decimal("0.250000")),
            )
        )
    )
    in_force = book.rate_set("short", NOW)
    assert [r.age for r in in_force.of_stage("b")] == ["fresh", "stalled"]
    assert [r.age for r in in_force.of_stage("a")] == [None]
    for wrong in (
        (rate("a", "0"), rate("b", "0.5", "fresh")),
        (rate("a", "0"), rate("b", "0.5"), rate("b", "0.5", "fresh")),
        (rate("a", "0"), rate("b", "0.5"), rate("b", "0.5")),
        (rate("a", "0"), *both[1:], rate("b", "0.5", "stalled")),
    ):
        with pytest.raises(ValidationError):
            adopt(*wrong)


def test_a_rate_set_covers_every_stage_of_a_funnel_that_exists_and_no_other() -> None:
    given(SHORT).when(adopt(rate("a", "0"))).refused(
        PlaybookConflict, field="rates", accepted="every stage", saying="b"
    )
    given(SHORT).when(adopt(rate("a", "0"), rate("b", "0"), rate("c", "0"))).refused(
        UnknownStage, field="rates.stage", accepted="a, b"
    )
    given().when(adopt()).refused(UnknownFunnel, field="funnel")


def test_rates_were_not_in_force_before_they_were_adopted() -> None:
    early = adopt(effective_from=NOW - DAY / 1000)
    given(SHORT).when(early).refused(PlaybookConflict, field="effective_from", accepted="from")
    backdated = adopt(effective_from=NOW - DAY, occurred_at=NOW - DAY)
    given(SHORT).when(backdated).refused(PlaybookConflict, field="effective_from")


def test_an_import_adopts_rates_at_the_time_at_which_they_were_adopted() -> None:
    then = adopt(occurred_at=NOW - 9 * DAY)
    given(SHORT).imported().when(then).then(adopted(1, after=-9 * DAY))
    given(SHORT).imported().when(adopt(occurred_at=NOW - DAY, effective_from=NOW - 2 * DAY)).refused(
        PlaybookConflict, field="effective_from"
    )


def test_in_force_is_the_latest_that_is_effective_and_of_two_at_once_the_later_adopted() -> None:
    book = fold(
        (SHORT, adopted(1), adopted(2, after=9 * DAY), adopted(3, after=5 * DAY), adopted(4, after=9 * DAY))
    )

    def number(after: timedelta) -> int | None:
        found = book.rate_set("short", NOW + after)
        return found and found.number

    assert [number(d * DAY) for d in (-1, 0, 4, 5, 8, 9, 99)] == [None, 1, 1, 3, 3, 4, 4]
    assert book.rate_set("other", NOW) is None


# --- Grades

BANDS = (
    GradeInput(grade="A", from_amount=euros(100), methods=("win_rate",), entitlement="presales"),
    GradeInput(grade="C", from_amount=euros(0)),
    GradeInput(grade="E"),
)
STORED = (
    GradeRule("A", Money(Decimal(100), "EUR"), ("win_rate",), "presales"),
    GradeRule("C", Money(Decimal(0), "EUR")),
    GradeRule("E"),
)


def test_grades_are_set_all_at_once_and_taken_away() -> None:
    command = SetGrades(funnel="short", grades=BANDS, fast_track="b")
    was_set = GradesSet("short", STORED, "b")
    book = given(SHORT, EURO).when(command).then(was_set)
    assert [
        book.grades["short"].of(m) for m in (None, Money(Decimal(99), "EUR"), Money(Decimal(100), "EUR"))
    ] == [
        None,
        "C",
        "A",
    ]
    given(SHORT, EURO, was_set).when(command).then()
    none = SetGrades(funnel="short", grades=())
    assert given(SHORT, EURO, was_set).when(none).then(GradesSet("short", (), None)).grades == {}
    given(SHORT, EURO).when(none).then()


def test_grades_belong_to_a_funnel_a_stage_and_the_reporting_currency_that_exist() -> None:
    given(EURO).when(SetGrades(funnel="short", grades=BANDS)).refused(UnknownFunnel, field="funnel")
    given(SHORT, EURO).when(SetGrades(funnel="short", grades=BANDS, fast_track="x")).refused(
        UnknownStage, field="fast_track", accepted="a, b"
    )
    given(SHORT, EURO).when(SetGrades(funnel="short", grades=(), fast_track="b")).refused(
        PlaybookConflict, field="fast_track"
    )
    given(SHORT).when(SetGrades(funnel="short", grades=BANDS)).refused(
        WrongCurrency, field="grades.from_amount.currency", accepted="set-currency"
    )


@pytest.mark.parametrize(
    "grades",
    [
        (GradeInput(grade="A"), GradeInput(grade="A")),
        (GradeInput(grade="E", from_amount=euros(1)),),
        (GradeInput(grade="A", from_amount=euros(1)), GradeInput(grade="B", from_amount=euros(1))),
        (GradeInput(grade="D", from_amount=euros(2)), GradeInput(grade="A", from_amount=euros(1))),
    ],
    ids=["twice", "E by amount", "same amount", "D above A"],
)
def test_a_better_grade_begins_at_a_larger_amount(grades: tuple[GradeInput, ...]) -> None:
    with pytest.raises(ValidationError):
        SetGrades(funnel="short", grades=grades)


# --- Checklists


def items(*keys: str) -> tuple[ItemInput, ...]:
    return tuple(ItemInput(key=k, label=NamesInput(en=k), required=k.startswith("r")) for k in keys)


def test_a_checklist_is_set_for_a_stage_as_a_whole() -> None:
    stored = (Item("r1", Names("r1"), True), Item("x", Names("x"), False))
    command = SetChecklist(funnel="short", stage="b", items=items("r1", "x"), review_required=True)
    was_set = ChecklistSet("short", "b", stored, True)
    book = given(SHORT).when(command).then(was_set)
    assert book.checklist("short", "b").required() == ("r1",)
    assert book.checklist("short", "a") == Checklist()
    given(SHORT, was_set).when(command).then()
    given(SHORT).when(SetChecklist(funnel="short", stage="b", items=())).then()
    given(SHORT, was_set).when(SetChecklist(funnel="short", stage="b", items=())).then(
        ChecklistSet("short", "b", (), False)
    )


def test_a_checklist_belongs_to_a_stage_that_exists_and_names_each_item_once() -> None:
    given(SHORT).when(SetChecklist(funnel="short", stage="c", items=())).refused(
        UnknownStage, field="stage", accepted="a, b"
    )
    with pytest.raises(ValidationError):
        SetChecklist(funnel="short", stage="a", items=items("x", "x"))


# --- Months


def test_a_month_is_locked_and_unlocked() -> None:
    lock, unlock = LockMonth(month="2026-03", reason="closed"), UnlockMonth(month="2026-03", reason="late")
    locked = MonthLocked("2026-03", "closed")
    assert given().when(lock).then(locked).locked_months == {"2026-03"}
    given(locked).when(lock).then()
    assert given(locked).when(unlock).then(MonthUnlocked("2026-03", "late")).locked_months == frozenset()
    given().when(unlock).then()


@pytest.mark.parametrize("month", ["2026-13", "2026-00", "26-03", "2026-3", "eventually", "2026-03-01", ""])
def test_a_month_is_a_month(month: str) -> None:
    with pytest.raises(ValidationError):
        LockMonth(month=month, reason="-")


# --- Relationships


def test_what_counts_as_interaction_is_set() -> None:
    command = SetDepthRules(
        two_way=("call", "visit"), face_to_face=("visit",), window_days=90, repeated_from=2, deep_from=4
    )
    rules = DepthRules(("call", "visit"), ("visit",), 90, 1, 2, 4)
    assert given().when(command).then(DepthRulesSet(rules)).depth_rules == rules
    given(DepthRulesSet(rules)).when(command).then()


@pytest.mark.parametrize(
    "fields",
    [
        {"repeated_from": 1},
        {"deep_from": 3},
        {"face_to_face": ("letter",)},
        {"occasional_from": 0},
        {"window_days": 0},
    ],
)
def test_each_depth_is_deeper_than_the_last(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SetDepthRules.model_validate({"two_way": ("call",), "face_to_face": (), **fields})


def test_the_strategy_of_each_attitude_is_set() -> None:
    command = SetStrategies(
        strongly_positive="defend",
        positive="defend",
        neutral="motivate",
        negative="attack",
        strongly_negative="suppress",
    )
    book = given().when(command)._decide()
    assert book == (
        StrategiesSet(
            (
                AttitudeStrategy("strongly_positive", "defend"),
                AttitudeStrategy("positive", "defend"),
                AttitudeStrategy("neutral", "motivate"),
                AttitudeStrategy("negative", "attack"),
                AttitudeStrategy("strongly_negative", "suppress"),
            )
        ),
    )
    given(*book).when(command).then()
    assert fold(book).strategy("neutral") == "motivate"


# --- Measures


def test_the_factor_without_an_inside_source_is_at_most_the_default() -> None:
    assert EMPTY.no_inside_source_factor == Decimal("0.7")
    half = (
        given()
        .when(SetInsideSourceFactor(factor=Decimal("0.50")))
        .then(InsideSourceFactorSet(Decimal("0.5")))
    )
    assert half.no_inside_source_factor == Decimal("0.5")
    given().when(SetInsideSourceFactor(factor=Decimal("0.70"))).then()
    for wrong in ("0", "0.71", "-0.1", "NaN", "0.12345"):
        with pytest.raises(ValidationError):
            SetInsideSourceFactor(factor=wrong)


def test_the_default_cohort_window_is_set() -> None:
    assert given().when(SetCohortWindow(weeks=13)).then(CohortWindowSet(13)).cohort_window_weeks == 13
    given().when(SetCohortWindow(weeks=EMPTY.cohort_window_weeks)).then()


# --- Together


def test_the_shipped_grades_and_checklists_fit_the_shipped_funnel() -> None:
    history: list[Event] = [*defined(TAS_PLUS), EURO]
    for command in (*TAS_PLUS_CHECKLISTS, tas_plus_grades("EUR")):
        history += given(*history).when(command)._decide()
    book = fold(history)
    assert isinstance(book, Playbook)
    assert set(book.checklists["tas_plus"]) == {s.key for s in TAS_PLUS.stages}
    assert [s for s, c in book.checklists["tas_plus"].items() if c.review_required] == ["initiation"]
    assert book.grades["tas_plus"].fast_track == "negotiation"
    assert all(item.label.zh for c in book.checklists["tas_plus"].values() for item in c.items)


def test_the_rules_of_a_slice_stay_when_another_slice_changes() -> None:
    book = fold(
        (SHORT, EURO, adopted(1), GradesSet("short", STORED, "b"), MonthLocked("2026-03", "-"), SHORT)
    )
    assert (book.currency, set(book.grades), book.locked_months) == ("EUR", {"short"}, {"2026-03"})
    assert len(book.rate_sets["short"]) == 1


@pytest.mark.parametrize(
    "zone", ["UTC", "Etc/UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"]
)
def test_a_time_zone_is_a_place_or_utc(zone: str) -> None:
    from domain.playbook.calendar import SetCalendar

    assert SetCalendar(time_zone=zone).time_zone == zone
