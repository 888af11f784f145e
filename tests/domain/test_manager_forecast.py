"""The manager forecast: who may set it, for which month, and what it says of the moment it was decided in."""

from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from domain.deal import (
    DealGraded,
    DealLost,
    DealMergedInto,
    DealOpened,
    DealReopened,
    DealVoided,
    DealWon,
    ExpectedCloseRevised,
    OwnerRevised,
    StageAdvanced,
)
from domain.errors import (
    DealClosed,
    DealGone,
    DealUndated,
    ForecastLocked,
    NotAllowed,
    UnknownDeal,
    WrongCurrency,
    WrongMonth,
)
from domain.event import Event
from domain.manager_forecast import (
    Forecast,
    ForecastSet,
    ForecastWithdrawn,
    Seen,
    SetForecast,
    WithdrawForecast,
    forecast_stream,
)
from domain.money import Money, MoneyInput
from domain.organisation import STREAM_ID as ORGANISATION
from domain.organisation import ManagerAppointed, PersonJoined, TeamCreated
from domain.playbook import (
    CurrencySet,
    FunnelDefined,
    MonthLocked,
    MonthUnlocked,
    Names,
    Playbook,
    RateSetAdopted,
    Stage,
    StageRate,
)
from domain.registry import COMMANDS, EVENTS
from domain.templates import TAS_PLUS
from tests.given import DEAL, NOW, OTHER, defined, given, playbook_with

JUNE, JULY = date(2026, 6, 30), date(2026, 7, 1)
COMPANY = (
    TeamCreated("germany", "Germany", None, None),
    TeamCreated("north", "North", "germany", None),
    ManagerAppointed("germany", None, "dora"),
    ManagerAppointed("north", None, "alice"),
    PersonJoined("alice", "north", None, None),
    PersonJoined("bob", "north", None, None),
)
RATES = RateSetAdopted(
    rate_set=OTHER,
    funnel="tas_plus",
    number=1,
    effective_from=NOW - timedelta(days=30),
    rates=(
        StageRate("verification", None, Decimal("0.100000")),
        StageRate("bidding", "fresh", Decimal("0.400000")),
        StageRate("bidding", "stalled", Decimal("0.200000")),
    ),
    evidence=None,
    reason="-",
)
BOOK = (*defined(TAS_PLUS), CurrencySet("EUR"), RATES)
RULES = playbook_with(*BOOK)
LOCKED = playbook_with(*BOOK, MonthLocked("2026-06", "closed"))


def euros(amount: int) -> Money:
    return Money(Decimal(amount), "EUR")


OPENED = DealOpened("tas_plus", "verification", owner="bob", amount=euros(100), expected_close=JUNE)
SEEN = Seen(
    deal_version=1,
    closed_times=0,
    funnel="tas_plus",
    stage="verification",
    grade=None,
    amount=euros(100),
    expected_close=JUNE,
    owner="bob",
    team="north",
    rate_set=1,
    stage_rates=RATES.rates[:1],
)
IN_JUNE = Forecast("2026-06", euros(80))
SET = ForecastSet(DEAL, IN_JUNE, None, "they said yes", False, SEEN)


def set_to(amount: int, month: str | None = None, currency: str = "EUR") -> SetForecast:
    money = MoneyInput(amount=Decimal(amount), currency=currency)
    return SetForecast(deal_id=DEAL, amount=money, month=month, reason="they said yes")


WITHDRAW = WithdrawForecast(deal_id=DEAL, reason="no longer ours")
EACH = pytest.mark.parametrize("command", [set_to(80), WITHDRAW], ids=["set", "withdraw"])


def on(*deal: Event, before: tuple[Event, ...] = (), rules: Playbook = RULES) -> given:
    """A forecast on this deal in this company."""
    return given(*before, rules=rules).beside(DEAL, *deal).beside(ORGANISATION, *COMPANY)


# --- What it says


def test_a_forecast_takes_the_month_of_the_expected_close_and_stores_what_the_decision_saw() -> None:
    on(OPENED).when(set_to(80)).then(SET)
    on(OPENED).when(set_to(80, "2026-06")).then(SET)


def test_a_forecast_of_nothing_is_a_forecast() -> None:
    on(OPENED).when(set_to(0)).then(
        ForecastSet(DEAL, Forecast("2026-06", euros(0)), None, "they said yes", False, SEEN)
    )


def test_what_was_seen_is_the_deal_at_its_version_with_both_rates_of_an_aged_stage() -> None:
    deal = (OPENED, DealGraded(None, "B", "amount", None, ()), StageAdvanced("verification", "bidding"))
    seen = Seen(3, 0, "tas_plus", "bidding", "B", euros(100), JUNE, "bob", "north", 1, RATES.rates[1:])
    on(*deal).when(set_to(80)).then(ForecastSet(DEAL, IN_JUNE, None, "they said yes", False, seen))


def test_the_rate_set_is_the_one_in_force_when_it_happened() -> None:
    earlier = set_to(80).model_copy(update={"occurred_at": NOW - timedelta(days=31)})
    unrated = Seen(1, 0, "tas_plus", "verification", None, euros(100), JUNE, "bob", "north", None, ())
    on(OPENED).when(earlier).then(ForecastSet(DEAL, IN_JUNE, None, "they said yes", False, unrated))


def test_the_next_forecast_names_the_one_it_supersedes_also_when_it_says_the_same() -> None:
    again = ForecastSet(DEAL, IN_JUNE, IN_JUNE, "they said yes", False, SEEN)
    on(OPENED, before=(SET,)).when(set_to(80)).then(again)


def test_after_a_slip_the_forecast_is_set_for_the_new_month() -> None:
    slipped = (OPENED, ExpectedCloseRevised(JUNE, JULY))
    seen = Seen(2, 0, "tas_plus", "verification", None, euros(100), JULY, "bob", "north", 1, RATES.rates[:1])
    on(*slipped, before=(SET,)).when(set_to(80)).then(
        ForecastSet(DEAL, Forecast("2026-07", euros(80)), IN_JUNE, "they said yes", False, seen)
    )
    on(*slipped, before=(SET,)).when(set_to(80, "2026-06")).refused(
        WrongMonth, field="month", accepted="2026-07, or revise-expected-close first"
    )


def test_a_forecast_is_withdrawn_once() -> None:
    withdrawn = ForecastWithdrawn(DEAL, IN_JUNE, "no longer ours", False, SEEN)
    on(OPENED, before=(SET,)).when(WITHDRAW).then(withdrawn)
    on(OPENED, before=(SET, withdrawn)).when(WITHDRAW).then()
    on(OPENED).when(WITHDRAW).then()
    on(OPENED, before=(SET, withdrawn)).when(set_to(80)).then(SET)


# --- Which deals


@EACH
def test_a_deal_that_is_not_there_or_gone_is_not_forecast(command: SetForecast | WithdrawForecast) -> None:
    on().when(command).refused(UnknownDeal, field="deal_id")
    on(CurrencySet("EUR")).when(command).refused(UnknownDeal, field="deal_id")
    for gone in (DealVoided("-"), DealMergedInto(OTHER, "-")):
        on(OPENED, gone, before=(SET,)).when(command).refused(DealGone, field="deal_id")


def test_a_closed_or_undated_deal_is_not_forecast() -> None:
    on(OPENED, DealWon("verification")).when(set_to(80)).refused(DealClosed, field="deal_id")
    on(OPENED, ExpectedCloseRevised(JUNE, None)).when(set_to(80)).refused(
        DealUndated, field="deal_id", accepted="revise-expected-close"
    )


@pytest.mark.parametrize("dated", [JUNE, None])
def test_an_undated_funnel_has_one_horizon(dated: date | None) -> None:
    stage = Stage("talk", Names("Talk"), "needs_confirmed", 10, 20)
    rules = playbook_with(FunnelDefined("loose", Names("Loose"), False, (stage,)), CurrencySet("EUR"))
    deal = DealOpened("loose", "talk", owner="bob", expected_close=dated)
    seen = Seen(1, 0, "loose", "talk", None, None, dated, "bob", "north", None, ())
    on(deal, rules=rules).when(set_to(80, "eventually")).then(
        ForecastSet(DEAL, Forecast("eventually", euros(80)), None, "they said yes", False, seen)
    )
    on(deal, rules=rules).when(set_to(80, "2026-06")).refused(
        WrongMonth, field="month", accepted="eventually"
    )


def test_a_forecast_is_in_the_reporting_currency() -> None:
    on(OPENED).when(set_to(80, currency="USD")).refused(
        WrongCurrency, field="amount.currency", accepted="EUR"
    )


def test_closing_lapses_a_forecast_and_reopening_does_not_revive_it() -> None:
    closed = (OPENED, DealLost("verification", None))
    on(*closed, before=(SET,)).when(WITHDRAW).then()
    reopened = (*closed, DealReopened("lost", "verification", "they called"))
    on(*reopened, before=(SET,)).when(WITHDRAW).then()
    seen = Seen(3, 1, "tas_plus", "verification", None, euros(100), JUNE, "bob", "north", 1, RATES.rates[:1])
    anew = ForecastSet(DEAL, IN_JUNE, None, "they said yes", False, seen)
    on(*reopened, before=(SET,)).when(set_to(80)).then(anew)
    on(*reopened, before=(SET, anew)).when(WITHDRAW).then(
        ForecastWithdrawn(DEAL, IN_JUNE, "no longer ours", False, seen)
    )


# --- Who


@EACH
@pytest.mark.parametrize(("who", "role"), [("alice", "manager"), ("dora", "manager"), ("zoe", "director"), ("root", "admin")])  # fmt: skip
def test_managers_up_the_line_directors_and_admins_may(
    who: str, role: str, command: SetForecast | WithdrawForecast
) -> None:
    decided = on(OPENED, before=(SET,)).by(who, role).when(command)._decide()
    assert len(decided) == 1


@EACH
def test_a_substitute_acts_with_the_authority_of_the_manager(command: SetForecast | WithdrawForecast) -> None:
    allowed = on(OPENED, before=(SET,)).by("eve", "manager", on_behalf_of="alice").when(command)._decide()
    assert len(allowed) == 1
    on(OPENED, before=(SET,)).by("alice", "manager", on_behalf_of="eve").when(command).refused(
        NotAllowed, field=None
    )


@EACH
def test_a_manager_of_others_may_not(command: SetForecast | WithdrawForecast) -> None:
    on(OPENED, before=(SET,)).by("carl", "manager").when(command).refused(
        NotAllowed, field=None, accepted="that manager, or a director"
    )


@EACH
def test_the_line_is_that_of_the_owner_now(command: SetForecast | WithdrawForecast) -> None:
    for owner in (None, "somebody"):
        moved = (OPENED, OwnerRevised("bob", owner))
        on(*moved, before=(SET,)).when(command).refused(NotAllowed, field=None)
        assert on(*moved, before=(SET,)).by("zoe", "director").when(command)._decide()


@EACH
def test_a_manager_who_owns_the_deal_has_it_forecast_one_level_up(
    command: SetForecast | WithdrawForecast,
) -> None:
    hers = (OPENED, OwnerRevised("bob", "alice"))
    on(*hers, before=(SET,)).by("alice", "manager").when(command).refused(
        NotAllowed, field=None, accepted="one level up"
    )
    assert on(*hers, before=(SET,)).by("dora", "manager").when(command)._decide()


@EACH
@pytest.mark.parametrize("role", ["manager", "director", "admin"])
def test_nobody_forecasts_their_own_deal_nor_through_a_substitute(
    role: str, command: SetForecast | WithdrawForecast
) -> None:
    on(OPENED, before=(SET,)).by("bob", role).when(command).refused(NotAllowed, field=None)
    on(OPENED, before=(SET,)).by("dora", role, on_behalf_of="bob").when(command).refused(
        NotAllowed, field=None
    )


def test_whether_there_is_a_forecast_is_not_told_to_those_who_may_not_see_it() -> None:
    said = []
    for before in ((), (SET,)):
        with pytest.raises(NotAllowed) as refused:
            on(OPENED, before=before, rules=LOCKED).by("carl", "manager").when(WITHDRAW)._decide()
        said.append((refused.value.detail, refused.value.field, refused.value.accepted))
    assert said[0] == said[1]


def test_only_managers_directors_and_admins_give_these_commands() -> None:
    for name in ("set-forecast", "withdraw-forecast"):
        assert frozenset({"manager", "director", "admin"}) == COMMANDS[name].ALLOWED


# --- Locked months


def test_a_locked_month_needs_a_director_and_the_event_says_so() -> None:
    for who, role in (("alice", "manager"), ("root", "admin")):
        for command in (set_to(80), WITHDRAW):
            on(OPENED, before=(SET,), rules=LOCKED).by(who, role).when(command).refused(
                ForecastLocked, field="month", accepted="a director"
            )
    on(OPENED, before=(SET,), rules=LOCKED).by("zoe", "director").when(set_to(80)).then(
        ForecastSet(DEAL, IN_JUNE, IN_JUNE, "they said yes", True, SEEN)
    )
    on(OPENED, before=(SET,), rules=LOCKED).by("zoe", "director").when(WITHDRAW).then(
        ForecastWithdrawn(DEAL, IN_JUNE, "no longer ours", True, SEEN)
    )


def test_other_months_and_unlocked_ones_change_as_usual() -> None:
    unlocked = playbook_with(*BOOK, MonthLocked("2026-06", "-"), MonthUnlocked("2026-06", "-"))
    on(OPENED, rules=unlocked).when(set_to(80)).then(SET)
    slipped = (OPENED, ExpectedCloseRevised(JUNE, JULY))
    (event,) = on(*slipped, rules=LOCKED).when(set_to(80))._decide()
    assert (event.after_lock, event.forecast.month) == (False, "2026-07")


def test_a_forecast_is_taken_out_of_a_locked_month_by_a_director_only() -> None:
    """The deal has slipped out of June, which is locked, into July, which is not."""
    slipped = (OPENED, ExpectedCloseRevised(JUNE, JULY))
    for who, role in (("alice", "manager"), ("root", "admin")):
        for command in (set_to(80), WITHDRAW):
            on(*slipped, before=(SET,), rules=LOCKED).by(who, role).when(command).refused(
                ForecastLocked, field="month", accepted="a director"
            )
    director = on(*slipped, before=(SET,), rules=LOCKED).by("zoe", "director")
    for command, month in ((set_to(80), "2026-07"), (WITHDRAW, None)):
        (event,) = director.when(command)._decide()
        now = event.forecast.month if isinstance(event, ForecastSet) else None
        assert (event.after_lock, event.previous, now) == (True, IN_JUNE, month)


def test_a_forecast_that_lapsed_in_a_locked_month_is_not_taken_out_of_it() -> None:
    reopened = (
        OPENED,
        DealLost("verification", None),
        DealReopened("lost", "verification", "they called"),
        ExpectedCloseRevised(JUNE, JULY),
    )
    (event,) = on(*reopened, before=(SET,), rules=LOCKED).when(set_to(80))._decide()
    assert (event.after_lock, event.previous) == (False, None)


# --- Its stream


def test_a_forecast_has_a_stream_of_its_own_under_the_key_of_its_deal() -> None:
    assert forecast_stream(DEAL) == UUID("5d9d6fc1-3c25-5bcc-9d58-44077ed6653f")
    for command in (set_to(80), WITHDRAW):
        assert command.stream_id() == forecast_stream(DEAL) != DEAL
        assert command.partition_key() == DEAL
        assert set(command.stands_on()) == {DEAL, ORGANISATION}


def test_forecasts_are_state_of_their_stream() -> None:
    assert {EVENTS[t].GROUP for t in ("forecast.set", "forecast.withdrawn")} == {"state"}
