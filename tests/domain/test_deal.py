"""Every decision on a deal, and every refusal."""

from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import msgspec
import pytest
from pydantic import ValidationError

from domain.account import AccountOpened
from domain.deal import (
    AbandonDeal,
    ActivityLogged,
    AddCompetitor,
    AddDealContact,
    AdvanceStage,
    AmountRevised,
    AssessAttitude,
    AssessCompetitor,
    AssessOurPosition,
    ChooseStrategy,
    ConfirmAssessment,
    ConfirmDeal,
    ConfirmSoleSource,
    Deal,
    DealAbandoned,
    DealCommand,
    DealContactAdded,
    DealLost,
    DealMergedInto,
    DealOpened,
    DealRenamed,
    DealReopened,
    DealVoided,
    DealWon,
    DropCompetitor,
    ExpectedCloseRevised,
    External,
    FindInsideSource,
    GradeDeal,
    JoinDealTeam,
    LeaveDealTeam,
    LogActivity,
    LoseDeal,
    LoseInsideSource,
    MergeDeal,
    OpenDeal,
    OwnerRevised,
    ReassessCompellingEvent,
    RecordCompellingEvent,
    RegisterPartner,
    RegressStage,
    RemoveDealContact,
    RenameDeal,
    ReopenDeal,
    ReviewStage,
    ReviseAmount,
    ReviseDealContact,
    ReviseExpectedClose,
    ReviseOwner,
    StageAdvanced,
    StageRegressed,
    TickItem,
    UntickItem,
    VoidDeal,
    WinDeal,
    WithdrawCompellingEvent,
    WithdrawPartner,
    WithdrawSoleSource,
)
from domain.errors import (
    DealClosed,
    DealExists,
    DealGone,
    DealOpen,
    InvalidAmount,
    ReasonMissing,
    UnknownDeal,
    UnknownFunnel,
    UnknownStage,
    WrongCurrency,
    WrongStage,
)
from domain.event import Event
from domain.money import Money, MoneyInput
from domain.playbook import CurrencySet, FunnelRetired
from domain.registry import AGGREGATE_OF, COMMANDS, EVENTS
from domain.templates import TAS_PLUS
from tests.given import DEAL, MINTED, OTHER, defined, fold, given, playbook_with, sealed

TEN = Money(Decimal(10), "EUR")
DAY = date(2026, 6, 30)
STAGES = "verification, initiation, needs_analysis, value_presentation, bid_preparation, bidding, negotiation"

OPENED = DealOpened(funnel="tas_plus", stage="verification")
IN_ANALYSIS = (OPENED, StageAdvanced("verification", "needs_analysis"))
WON = (*IN_ANALYSIS, DealWon("needs_analysis"))
LOST = (*IN_ANALYSIS, DealLost("needs_analysis", "price"))
ABANDONED = (*IN_ANALYSIS, DealAbandoned("needs_analysis", None))
VOIDED = (*IN_ANALYSIS, DealVoided("a test"))
MERGED = (*IN_ANALYSIS, DealMergedInto(OTHER, "twice"))

CLOSED = pytest.mark.parametrize("closed", [WON, LOST, ABANDONED], ids=["won", "lost", "abandoned"])


def euros(amount: str, currency: str = "EUR") -> MoneyInput:
    return MoneyInput(amount=Decimal(amount), currency=currency)


# --- Opening


def test_a_deal_opens_in_the_first_stage_of_its_funnel() -> None:
    given().when(OpenDeal(deal_id=DEAL, funnel="tas_plus")).then(OPENED)


def test_a_deal_carries_everything_it_was_opened_with_and_its_name_lies_in_the_vault() -> None:
    account = UUID("0195a000-0000-7000-8000-0000000000aa")
    deal = (
        given()
        .beside(account, AccountOpened())
        .when(
            OpenDeal(
                deal_id=DEAL,
                funnel="customer",
                stage="needs",
                name="Über-Förderband",
                account_id=account,
                owner="bob",
                amount=euros("10.00"),
                expected_close=DAY,
                product_line="belts",
                customer_segment="mining",
                region="north",
                external={"source": "crm", "id": "006-1"},
            )
        )
        .then(
            DealOpened(
                funnel="customer",
                stage="needs",
                name=sealed("name"),
                account_id=account,
                owner="bob",
                amount=TEN,
                expected_close=DAY,
                product_line="belts",
                customer_segment="mining",
                region="north",
                external=External("crm", "006-1"),
            )
        )
    )
    assert deal == Deal("customer", "needs", "open", sealed("name"), "bob", TEN, DAY)


def test_an_import_may_open_a_deal_in_any_stage_and_a_person_may_not() -> None:
    in_the_middle = OpenDeal(deal_id=DEAL, funnel="tas_plus", stage="bidding")
    given().imported().when(in_the_middle).then(DealOpened(funnel="tas_plus", stage="bidding"))
    given().when(in_the_middle).refused(WrongStage, field="stage", accepted="verification")


def test_a_deal_is_opened_once() -> None:
    given(OPENED).when(OpenDeal(deal_id=DEAL, funnel="tas_plus")).refused(DealExists, field="deal_id")


def test_a_deal_needs_a_funnel_that_exists() -> None:
    given().when(OpenDeal(deal_id=DEAL, funnel="nowhere")).refused(
        UnknownFunnel, field="funnel", accepted="tas_plus, customer"
    )


def test_a_deal_needs_a_funnel_that_is_not_retired() -> None:
    rules = playbook_with(*defined(TAS_PLUS), FunnelRetired("tas_plus", "old"))
    given(rules=rules).when(OpenDeal(deal_id=DEAL, funnel="tas_plus")).refused(
        UnknownFunnel, field="funnel", accepted="none yet"
    )


def test_a_deal_needs_a_stage_of_its_funnel() -> None:
    for origin in (given(), given().imported()):
        origin.when(OpenDeal(deal_id=DEAL, funnel="tas_plus", stage="needs")).refused(
            UnknownStage, field="stage", accepted=STAGES
        )


def test_a_deal_without_an_id_gets_a_fresh_one_and_one_with_an_id_keeps_it() -> None:
    assert OpenDeal(funnel="tas_plus").with_id(lambda: MINTED).deal_id == MINTED
    assert OpenDeal(deal_id=DEAL, funnel="tas_plus").with_id(lambda: MINTED).deal_id == DEAL


# --- Stages


def test_a_deal_advances_to_the_next_stage_or_skips_some() -> None:
    given(OPENED).when(AdvanceStage(deal_id=DEAL, to_stage="initiation")).then(
        StageAdvanced("verification", "initiation")
    )
    deal = (
        given(OPENED)
        .when(AdvanceStage(deal_id=DEAL, to_stage="negotiation"))
        .then(StageAdvanced("verification", "negotiation"))
    )
    assert deal.stage == "negotiation"


def test_advancing_to_the_stage_it_is_in_changes_nothing() -> None:
    given(*IN_ANALYSIS).when(AdvanceStage(deal_id=DEAL, to_stage="needs_analysis")).then()


def test_going_back_is_not_advancing() -> None:
    given(*IN_ANALYSIS).when(AdvanceStage(deal_id=DEAL, to_stage="initiation")).refused(
        WrongStage,
        field="to_stage",
        accepted="value_presentation, bid_preparation, bidding, negotiation",
        saying="regress-stage",
    )


def test_behind_the_last_stage_there_is_none() -> None:
    last = (OPENED, StageAdvanced("verification", "negotiation"))
    given(*last).when(AdvanceStage(deal_id=DEAL, to_stage="bidding")).refused(
        WrongStage, field="to_stage", accepted="this is the last stage"
    )


def test_a_deal_regresses_with_a_reason() -> None:
    back = RegressStage(deal_id=DEAL, to_stage="verification", reason="the budget is gone")
    deal = (
        given(*IN_ANALYSIS)
        .when(back)
        .then(StageRegressed("needs_analysis", "verification", "the budget is gone"))
    )
    assert deal.stage == "verification"


def test_regressing_without_a_reason_is_for_imports_only() -> None:
    back = RegressStage(deal_id=DEAL, to_stage="verification")
    given(*IN_ANALYSIS).when(back).refused(ReasonMissing, field="reason")
    given(*IN_ANALYSIS).imported().when(back).then(StageRegressed("needs_analysis", "verification", None))


def test_regressing_to_the_stage_it_is_in_changes_nothing() -> None:
    given(*IN_ANALYSIS).when(RegressStage(deal_id=DEAL, to_stage="needs_analysis", reason="-")).then()


def test_going_on_is_not_regressing() -> None:
    given(*IN_ANALYSIS).when(RegressStage(deal_id=DEAL, to_stage="bidding", reason="-")).refused(
        WrongStage, field="to_stage", accepted="an earlier stage", saying="advance-stage"
    )


@pytest.mark.parametrize("command", [AdvanceStage, RegressStage])
def test_a_deal_moves_within_its_own_funnel(command: type[DealCommand]) -> None:
    given(*IN_ANALYSIS).when(command(deal_id=DEAL, to_stage="contract")).refused(
        UnknownStage, field="to_stage", accepted=STAGES
    )


def test_a_deal_in_a_retired_funnel_goes_on() -> None:
    rules = playbook_with(*defined(TAS_PLUS), FunnelRetired("tas_plus", "old"))
    given(OPENED, rules=rules).when(AdvanceStage(deal_id=DEAL, to_stage="initiation")).then(
        StageAdvanced("verification", "initiation")
    )


# --- Terms


def test_a_deal_is_renamed_open_or_closed() -> None:
    for history in (IN_ANALYSIS, WON):
        deal = given(*history).when(RenameDeal(deal_id=DEAL, name="x")).then(DealRenamed(sealed("name")))
        assert deal.name == sealed("name")


def test_the_amount_is_revised_from_what_it_was() -> None:
    first = AmountRevised(None, TEN)
    given(OPENED).when(ReviseAmount(deal_id=DEAL, amount=euros("10"))).then(first)
    given(OPENED, first).when(ReviseAmount(deal_id=DEAL, amount=None)).then(AmountRevised(TEN, None))


@pytest.mark.parametrize("same", ["10", "10.0", "10.00", "1E+1"])
def test_the_same_amount_in_another_spelling_changes_nothing(same: str) -> None:
    given(OPENED, AmountRevised(None, TEN)).when(ReviseAmount(deal_id=DEAL, amount=euros(same))).then()


def test_an_amount_is_in_the_reporting_currency() -> None:
    given(OPENED).when(ReviseAmount(deal_id=DEAL, amount=euros("10", "USD"))).refused(
        WrongCurrency, field="amount.currency", accepted="EUR"
    )


def test_there_is_no_amount_before_there_is_a_reporting_currency() -> None:
    rules = playbook_with(*defined(TAS_PLUS))
    given(rules=rules).when(OpenDeal(deal_id=DEAL, funnel="tas_plus")).then(OPENED)
    given(rules=rules).when(OpenDeal(deal_id=DEAL, funnel="tas_plus", amount=euros("1"))).refused(
        WrongCurrency, field="amount.currency", accepted="set-currency first"
    )


@pytest.mark.parametrize(("amount", "currency"), [("0.001", "EUR"), ("0.5", "JPY")])
def test_an_amount_is_no_finer_than_its_currency(amount: str, currency: str) -> None:
    rules = playbook_with(*defined(TAS_PLUS), CurrencySet(currency))
    given(OPENED, rules=rules).when(ReviseAmount(deal_id=DEAL, amount=euros(amount, currency))).refused(
        InvalidAmount, field="amount.amount", accepted="for example"
    )


@CLOSED
def test_the_amount_of_a_closed_deal_changes_only_by_a_correction(closed: tuple[Event, ...]) -> None:
    given(*closed).when(ReviseAmount(deal_id=DEAL, amount=euros("10"))).refused(DealClosed, field="deal_id")
    given(*closed).when(ReviseAmount(deal_id=DEAL, amount=euros("10"), corrects=OTHER)).then(
        AmountRevised(None, TEN)
    )


def test_the_expected_close_is_revised_from_what_it_was() -> None:
    revised = ExpectedCloseRevised(None, DAY)
    assert given(OPENED).when(ReviseExpectedClose(deal_id=DEAL, expected_close=DAY)).then(revised)
    given(OPENED, revised).when(ReviseExpectedClose(deal_id=DEAL, expected_close=DAY)).then()
    given(OPENED, revised).when(ReviseExpectedClose(deal_id=DEAL, expected_close=None)).then(
        ExpectedCloseRevised(DAY, None)
    )


@CLOSED
def test_a_closed_deal_expects_no_close(closed: tuple[Event, ...]) -> None:
    given(*closed).when(ReviseExpectedClose(deal_id=DEAL, expected_close=DAY)).refused(
        DealClosed, field="deal_id", accepted="reopen-deal"
    )


def test_a_deal_changes_hands_open_or_closed() -> None:
    to_bob = OwnerRevised(None, "bob")
    for history in ((OPENED,), WON):
        assert given(*history).when(ReviseOwner(deal_id=DEAL, owner="bob")).then(to_bob).owner == "bob"
    given(OPENED, to_bob).when(ReviseOwner(deal_id=DEAL, owner="bob")).then()
    given(OPENED, to_bob).when(ReviseOwner(deal_id=DEAL, owner=None)).then(OwnerRevised("bob", None))


# --- Activities


def test_an_activity_is_logged_on_an_open_or_a_closed_deal_and_moves_nothing() -> None:
    visit = LogActivity(
        deal_id=DEAL,
        kind="visit",
        by="bob",
        duration_us=3_600_000_000,
        contacts=(OTHER,),
        captured="actively",
        note="They hesitate.",
    )
    logged = ActivityLogged(MINTED, "visit", "bob", 3_600_000_000, (OTHER,), "actively", sealed("note"))
    part = DealContactAdded(OTHER, OTHER, None, None, None)
    for history in (IN_ANALYSIS, WON, LOST, ABANDONED):
        deal = given(*history, part).when(visit).then(logged)
        assert msgspec.structs.replace(deal, activities=b"") == fold((*history, part))


def test_an_activity_is_a_point_in_time_and_what_the_funnel_shows_of_a_deal_is_one_kind_of_state() -> None:
    groups = {e.TOPIC: e.GROUP for e in EVENTS.values() if e.TOPIC.startswith("deal.")}
    assert groups.pop("deal.activity_logged") is None
    assert set(groups.values()) == {"state", "process", "comparison", "people", "team"}
    funnel = (OPENED, StageAdvanced("a", "b"), StageRegressed("b", "a", None), DealWon("a"), DealLost("a", None),
              DealAbandoned("a", None), DealReopened("won", "a", None), AmountRevised(None, None),
              ExpectedCloseRevised(None, None), OwnerRevised(None, None), DealVoided("-"), DealMergedInto(OTHER, "-"))  # fmt: skip
    assert {event.GROUP for event in funnel} == {"state"}


# --- Closing and reopening


def test_a_deal_is_won_lost_or_abandoned_from_the_stage_it_is_in() -> None:
    assert given(*IN_ANALYSIS).when(WinDeal(deal_id=DEAL)).then(DealWon("needs_analysis")).status == "won"
    lost = given(*IN_ANALYSIS).when(LoseDeal(deal_id=DEAL, reason="price"))
    assert lost.then(DealLost("needs_analysis", "price")).status == "lost"
    abandoned = given(*IN_ANALYSIS).when(AbandonDeal(deal_id=DEAL))
    assert abandoned.then(DealAbandoned("needs_analysis", None)).status == "abandoned"


def test_closing_it_the_same_way_again_changes_nothing() -> None:
    given(*WON).when(WinDeal(deal_id=DEAL)).then()
    given(*LOST).when(LoseDeal(deal_id=DEAL, reason="another")).then()
    given(*ABANDONED).when(AbandonDeal(deal_id=DEAL)).then()


@pytest.mark.parametrize(
    ("closed", "command"),
    [
        (WON, LoseDeal(deal_id=DEAL)),
        (WON, AbandonDeal(deal_id=DEAL)),
        (LOST, WinDeal(deal_id=DEAL)),
        (LOST, AbandonDeal(deal_id=DEAL)),
        (ABANDONED, WinDeal(deal_id=DEAL)),
        (ABANDONED, LoseDeal(deal_id=DEAL)),
    ],
)
def test_a_closed_deal_does_not_end_in_another_way(closed: tuple[Event, ...], command: DealCommand) -> None:
    given(*closed).when(command).refused(DealClosed, field="deal_id", accepted="reopen-deal")
    given(*closed).imported().when(command).refused(DealClosed, field="deal_id")


@CLOSED
@pytest.mark.parametrize(
    "command",
    [
        AdvanceStage(deal_id=DEAL, to_stage="bidding"),
        AdvanceStage(deal_id=DEAL, to_stage="needs_analysis"),
        RegressStage(deal_id=DEAL, to_stage="initiation", reason="-"),
    ],
)
def test_a_closed_deal_does_not_move(closed: tuple[Event, ...], command: DealCommand) -> None:
    given(*closed).when(command).refused(DealClosed, field="deal_id", saying=command.command_name())


@CLOSED
def test_a_closed_deal_reopens_in_the_named_stage(closed: tuple[Event, ...]) -> None:
    was = fold(closed).status
    deal = (
        given(*closed)
        .when(ReopenDeal(deal_id=DEAL, to_stage="bidding", reason="they called"))
        .then(DealReopened(was, "bidding", "they called"))
    )
    assert (deal.status, deal.stage) == ("open", "bidding")


def test_reopening_needs_a_closed_deal_a_stage_and_a_reason() -> None:
    reopen = ReopenDeal(deal_id=DEAL, to_stage="bidding", reason="-")
    given(*IN_ANALYSIS).when(reopen).refused(DealOpen, field="deal_id", accepted="a closed deal")
    given(*WON).when(ReopenDeal(deal_id=DEAL, to_stage="nowhere", reason="-")).refused(
        UnknownStage, field="to_stage", accepted=STAGES
    )
    given(*WON).when(ReopenDeal(deal_id=DEAL, to_stage="bidding")).refused(ReasonMissing, field="reason")
    given(*WON).imported().when(ReopenDeal(deal_id=DEAL, to_stage="bidding")).then(
        DealReopened("won", "bidding", None)
    )


# --- Taken out


def test_a_mistake_is_voided_open_or_closed() -> None:
    for history in (IN_ANALYSIS, WON):
        assert given(*history).when(VoidDeal(deal_id=DEAL, reason="a test")).then(
            DealVoided("a test")
        ).status == "voided"  # fmt: skip


def test_a_deal_is_merged_into_one_that_goes_on() -> None:
    merge = MergeDeal(deal_id=DEAL, into=OTHER, reason="twice")
    for target in (IN_ANALYSIS, WON):
        deal = given(*IN_ANALYSIS).beside(OTHER, *target).when(merge).then(DealMergedInto(OTHER, "twice"))
        assert deal.status == "merged"


def test_a_deal_is_not_merged_into_nothing_itself_or_one_that_is_gone() -> None:
    merge = MergeDeal(deal_id=DEAL, into=OTHER, reason="twice")
    given(*IN_ANALYSIS).when(merge).refused(UnknownDeal, field="into")
    given(*IN_ANALYSIS).beside(OTHER, CurrencySet("EUR")).when(merge).refused(UnknownDeal, field="into")
    for gone in (VOIDED, MERGED):
        given(*IN_ANALYSIS).beside(OTHER, *gone).when(merge).refused(DealGone, field="into")
    itself = MergeDeal(deal_id=DEAL, into=DEAL, reason="twice")
    given(*IN_ANALYSIS).beside(DEAL, *IN_ANALYSIS).when(itself).refused(
        DealGone, field="into", accepted="another deal", saying="itself"
    )


# --- For every command

ONE_OF_EACH: list[DealCommand] = [
    RenameDeal(deal_id=DEAL, name="x"),
    AdvanceStage(deal_id=DEAL, to_stage="bidding"),
    RegressStage(deal_id=DEAL, to_stage="verification", reason="-"),
    ReviseAmount(deal_id=DEAL, amount=None),
    ReviseExpectedClose(deal_id=DEAL, expected_close=None),
    ReviseOwner(deal_id=DEAL, owner=None),
    LogActivity(deal_id=DEAL, kind="call"),
    WinDeal(deal_id=DEAL),
    LoseDeal(deal_id=DEAL),
    AbandonDeal(deal_id=DEAL),
    ReopenDeal(deal_id=DEAL, to_stage="bidding", reason="-"),
    VoidDeal(deal_id=DEAL, reason="-"),
    MergeDeal(deal_id=DEAL, into=OTHER, reason="-"),
    GradeDeal(deal_id=DEAL, grade="A", reason="-"),
    RegisterPartner(deal_id=DEAL, partner="x"),
    WithdrawPartner(deal_id=DEAL, reason="-"),
    TickItem(deal_id=DEAL, item="x"),
    UntickItem(deal_id=DEAL, item="x"),
    ReviewStage(deal_id=DEAL, stage="initiation", outcome="approved"),
    RecordCompellingEvent(deal_id=DEAL, text="x"),
    ReassessCompellingEvent(deal_id=DEAL, text="x"),
    WithdrawCompellingEvent(deal_id=DEAL, reason="-"),
    FindInsideSource(deal_id=DEAL),
    LoseInsideSource(deal_id=DEAL, reason="-"),
    AddCompetitor(deal_id=DEAL, competitor="x"),
    AssessCompetitor(deal_id=DEAL, competitor="x", need_fit=1, relationship=1),
    DropCompetitor(deal_id=DEAL, competitor="x", reason="-"),
    AssessOurPosition(deal_id=DEAL, need_fit=1, relationship=1),
    ConfirmAssessment(deal_id=DEAL, party="us"),
    ConfirmSoleSource(deal_id=DEAL, reason="-"),
    WithdrawSoleSource(deal_id=DEAL, reason="-"),
    AddDealContact(deal_id=DEAL, contact_id=OTHER, account_id=OTHER),
    ReviseDealContact(deal_id=DEAL, contact_id=OTHER, decision_role=None, department=None, power=None),
    AssessAttitude(deal_id=DEAL, contact_id=OTHER, attitude="neutral"),
    ChooseStrategy(deal_id=DEAL, contact_id=OTHER, strategy="attack"),
    RemoveDealContact(deal_id=DEAL, contact_id=OTHER, reason="-"),
    ConfirmDeal(deal_id=DEAL),
    JoinDealTeam(deal_id=DEAL, person="erik"),
    LeaveDealTeam(deal_id=DEAL, person="erik"),
]
EACH = pytest.mark.parametrize("command", ONE_OF_EACH, ids=lambda command: command.command_name())


def test_the_list_of_commands_is_whole() -> None:
    deal_commands = {c for c in COMMANDS.values() if AGGREGATE_OF[c].name == "deal"}
    assert {type(command) for command in ONE_OF_EACH} | {OpenDeal} == deal_commands


@EACH
def test_a_deal_that_was_never_opened_takes_no_command(command: DealCommand) -> None:
    for origin in (given(), given().imported()):
        origin.when(command).refused(UnknownDeal, field="deal_id", accepted="was opened")


@EACH
def test_a_stream_of_another_kind_is_no_deal(command: DealCommand) -> None:
    given(CurrencySet("EUR")).when(command).refused(UnknownDeal, field="deal_id")


@EACH
@pytest.mark.parametrize("gone", [VOIDED, MERGED], ids=["voided", "merged"])
def test_a_deal_that_is_gone_takes_no_command(gone: tuple[Event, ...], command: DealCommand) -> None:
    for origin in (given(*gone), given(*gone).imported()):
        origin.when(command).refused(DealGone, field="deal_id", accepted="another deal")


def test_who_may_do_what() -> None:
    everybody = {"rep", "manager", "director", "sales_operations", "admin", "integration"}
    for command in COMMANDS.values():
        if AGGREGATE_OF[command].name == "deal":
            expected = everybody
            if command in (VoidDeal, MergeDeal, GradeDeal):
                expected = everybody - {"rep"}
            elif command is ReviewStage:
                expected = {"manager", "director", "admin", "integration"}
            elif command in (ConfirmAssessment, ConfirmSoleSource):
                expected = {"manager", "director", "admin"}
            assert expected == command.ALLOWED


@pytest.mark.parametrize(
    ("command", "fields"),
    [
        (OpenDeal, ("name",)),
        (RenameDeal, ("name",)),
        (LogActivity, ("note",)),
        (LoseDeal, ()),  # reasons are business records
    ],
)
def test_names_and_notes_are_personal_text(command: type[DealCommand], fields: tuple[str, ...]) -> None:
    assert command.personal_fields() == fields


def test_a_command_is_named_in_routes_as_its_class_is() -> None:
    assert AdvanceStage.command_name() == "advance-stage"


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        '{"deal_id": "not an id", "to_stage": "bidding"}',
        '{"deal_id": "0195a000-0000-7000-8000-000000000001", "to_stage": "Bidding"}',
        '{"deal_id": "0195a000-0000-7000-8000-000000000001", "to_stage": "bidding\\n"}',
        '{"deal_id": "0195a000-0000-7000-8000-000000000001", "to_stage": "x\'; DROP TABLE events; --"}',
        '{"deal_id": "0195a000-0000-7000-8000-000000000001", "to_stage": "bidding", "extra": 1}',
        '{"deal_id": "0195a000-0000-7000-8000-000000000001", "to_stage": "bidding", "occurred_at": "2026-03-02T09:30:00"}',
        '{"deal_id": "0195a000-0000-7000-8000-000000000001", "to_stage": "bidding", "occurred_at": "9999-12-31T23:59:59Z"}',
    ],
)
def test_a_command_of_the_wrong_shape_is_none(body: str) -> None:
    with pytest.raises(ValidationError):
        AdvanceStage.model_validate_json(body)


@pytest.mark.parametrize("text", ["", "   ", "\0", "a\x1bb", "\x7f", "x" * 10_001])
def test_text_is_printable_and_bounded(text: str) -> None:
    with pytest.raises(ValidationError):
        RenameDeal(deal_id=DEAL, name=text)


def test_a_time_with_any_offset_is_kept_in_utc() -> None:
    command = WinDeal.model_validate_json(
        f'{{"deal_id": "{DEAL}", "occurred_at": "2026-03-02T10:30:00+01:00"}}'
    )
    assert command.occurred_at == datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
    assert command.occurred_at.tzinfo is UTC
