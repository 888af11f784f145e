"""The demonstration company itself: who works there, by which rules, and what it does not know about itself."""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import NamedTuple

from domain.command import Command
from domain.event import Role
from domain.organisation import AppointManager, CreateTeam, JoinTeam, LeaveTeam, ReviseTeam
from domain.playbook import (
    AdoptRateSet,
    LockMonth,
    RateInput,
    ReviseFunnel,
    SetCalendar,
    SetCohortWindow,
    SetCurrency,
    SetDepthRules,
    SetStrategies,
    UnlockMonth,
)
from domain.relations import DEFAULT_STRATEGIES
from domain.templates import CUSTOMER, TAS_PLUS, TAS_PLUS_CHECKLISTS, tas_plus_grades

WORKDAYS = 520
"""104 weeks of five days."""
BEYOND = 60
"""Working days after the end of the story, in which deals go on as nobody has heard yet."""
CURRENCY = "EUR"
DIRECTOR = "dana"
TEAMS = {
    "north": ("mia", ("anna", "bo", "chen", "finn")),
    "south": ("noah", ("hugo", "ines", "jun", "kira")),
    "public": ("olga", ("lena", "marc", "nadia", "omar")),
}
"""Manager and people by team, at the beginning."""
EXPERTS = (("erik", "engineering"), ("vera", "legal"), ("tomas", "service"))
"""People of other departments who work on deals."""
OWNERS = tuple(person for _, people in TEAMS.values() for person in people)
MOVER, MOVED_TO, MOVED_ON = "finn", "south", 260
SUCCESSOR, SUCCEEDED_IN, SUCCEEDED_ON = "pia", "public", 300

LOST, ABANDONED, BACK, SKIP = 0.09, 0.04, 0.07, 0.08
"""Out of so many visits of a stage, how many end so; of the last stage four times as many are lost."""
REOPENED = 0.3
"""How many of the lost come back, once, a stage earlier."""
BIAS = {"mia": 0.30, "noah": -0.20, "olga": 0.05, "pia": 0.10}
"""By how much a manager's forecast exceeds what the deal brings in, on average."""
NOISE, HOPE = 0.15, 0.10
"""The spread of their forecasts, and how often they expect a win that does not come in the month."""
MONTH_OPEN_DAYS = 6
"""Working days after the end of a month until its forecasts are locked."""


class Happening(NamedTuple):
    """A command, when it happened (in working days since the story began), who gave it, and the days until
    the firm wrote it down."""

    day: float
    command: Command
    actor: str
    role: Role = "rep"
    written_after: float = 0.02


def moment(workday: float, until: datetime) -> datetime:
    """Working days since the beginning as a time: five a week, each from 8 to 18 o'clock UTC."""
    whole = int(workday)
    days = (whole // 5) * 7 + whole % 5 - WORKDAYS // 5 * 7
    return until + timedelta(days=days, hours=8, minutes=int((workday - whole) * 600))


def monday(now: datetime) -> datetime:
    """The Monday, 00:00 UTC, of the week that holds `now`: where the story ends."""
    day = now.astimezone(UTC).date()
    return datetime.combine(day - timedelta(days=day.weekday()), time(), UTC)


def manager_of(person: str, day: float) -> str:
    """Who manages the person's team on that day."""
    team = next(team for team, (_, people) in TEAMS.items() if person in people)
    if person == MOVER and day >= MOVED_ON:
        team = MOVED_TO
    return SUCCESSOR if team == SUCCEEDED_IN and day >= SUCCEEDED_ON else TEAMS[team][0]


def rules() -> Iterator[Command]:
    """The playbook at the beginning."""
    yield SetCurrency(currency=CURRENCY)
    yield SetCalendar(time_zone="Europe/Berlin", fiscal_year_start=4)
    yield TAS_PLUS
    yield CUSTOMER
    yield tas_plus_grades(CURRENCY)
    yield from TAS_PLUS_CHECKLISTS
    yield SetCohortWindow(weeks=12)


def people() -> Iterator[Command]:
    """The organisation at the beginning."""
    yield CreateTeam(team="sales", label="Sales")
    yield AppointManager(team="sales", manager=DIRECTOR)
    for team, (manager, members) in TEAMS.items():
        yield CreateTeam(team=team, label=team.capitalize(), parent="sales")
        yield AppointManager(team=team, manager=manager)
        for person in (manager, *members):
            yield JoinTeam(person=person, team=team, name=person.capitalize())


def changes(until: datetime) -> Iterator[Happening]:
    """What becomes of the rules and the organisation as time goes by."""
    first = {stage.key: Decimal(n + 1) / 10 for n, stage in enumerate(TAS_PLUS.stages)}
    second = {key: rate - Decimal("0.05") for key, rate in first.items()}
    flat = {stage.key: Decimal("0.3") for stage in CUSTOMER.stages}
    for day, funnel, rates, reason in (
        (0.1, "tas_plus", first, "A guess to start from."),
        (0.1, "customer", flat, "A guess to start from."),
        (330.5, "tas_plus", second, "We won less than we had forecast."),
    ):
        inputs = tuple(RateInput(stage=stage, rate=rate) for stage, rate in rates.items())
        yield Happening(day, AdoptRateSet(funnel=funnel, rates=inputs, reason=reason), DIRECTOR, "director")
    for day, command in _revisions():
        yield Happening(day, command, "sol", "sales_operations")
    yield Happening(MOVED_ON - 0.5, JoinTeam(person=MOVER, team=MOVED_TO), "sol", "sales_operations")
    yield Happening(
        SUCCEEDED_ON - 0.6,
        JoinTeam(person=SUCCESSOR, team=SUCCEEDED_IN, name="Pia"),
        "sol",
        "sales_operations",
    )
    yield Happening(
        SUCCEEDED_ON - 0.5, AppointManager(team=SUCCEEDED_IN, manager=SUCCESSOR), "sol", "sales_operations"
    )
    yield Happening(SUCCEEDED_ON + 20, LeaveTeam(person="olga", reason="Retired."), "sol", "sales_operations")
    renamed = ReviseTeam(team="public", label="Public sector", parent="sales")
    yield Happening(SUCCEEDED_ON + 30, renamed, "sol", "sales_operations")
    yield from _locks(until)


def _revisions() -> Iterator[tuple[float, Command]]:
    """What two years of selling taught about the rules."""
    patient = [
        stage.model_copy(update={"stall_after_days": 28}) if stage.key == "negotiation" else stage
        for stage in TAS_PLUS.stages
    ]
    revised = ReviseFunnel(funnel=TAS_PLUS.funnel, label=TAS_PLUS.label, stages=tuple(patient))
    yield 150.2, revised
    two_way = ("outbound_call", "online", "visit", "presentation", "site_visit")
    yield 180.2, SetDepthRules(two_way=two_way, face_to_face=two_way[2:], window_days=120, deep_from=5)
    table = {row.attitude: row.strategy for row in DEFAULT_STRATEGIES} | {"neutral": "motivate"}
    yield 240.2, SetStrategies.model_validate(table)


def _locks(until: datetime) -> Iterator[Happening]:
    """Every month's forecasts are locked soon after its end; one is opened again by mistake."""
    months = [f"{moment(day, until):%Y-%m}" for day in range(WORKDAYS)]
    ends = [day for day in range(1, WORKDAYS) if months[day] != months[day - 1]]
    for end in ends:
        month, day = months[end - 1], end + MONTH_OPEN_DAYS
        yield Happening(day, LockMonth(month=month, reason="The month is reported."), DIRECTOR, "director")
    if ends:
        month, day = months[ends[0] - 1], ends[0] + MONTH_OPEN_DAYS
        for later, command in (
            (0.1, UnlockMonth(month=month, reason="A forecast was missing.")),
            (0.3, LockMonth(month=month, reason="It was there after all.")),
        ):
            yield Happening(day + later, command, DIRECTOR, "director")


def truth() -> dict[str, object]:
    """What the figures of this company should come to: its managers' biases, and what its stages really win."""
    return {
        "manager_bias": BIAS,
        "manager_noise": NOISE,
        "manager_hope": HOPE,
        "stage_win_rates": {
            template.funnel: dict(
                zip((s.key for s in template.stages), _win_rates(len(template.stages)), strict=True)
            )
            for template in (TAS_PLUS, CUSTOMER)
        },
    }


def _win_rates(stages: int) -> list[float]:
    """The chance that a deal which has just entered each stage is won one day: the fixed point of the chances."""
    last = stages - 1
    lost = [LOST] * last + [4 * LOST]
    rates: dict[bool, list[float]] = {}
    for again in (True, False):  # a deal that came back once does not come back again
        value = [0.0] * stages
        for _ in range(1000):
            value = [
                lost[s] * (0.0 if again else REOPENED * rates[True][max(0, s - 1)]) + _goes_on(s, last, value)
                for s in range(stages)
            ]
        rates[again] = value
    return [round(rate, 6) for rate in rates[False]]


def _goes_on(stage: int, last: int, value: list[float]) -> float:
    if stage == last:
        return 1 - 4 * LOST
    back = BACK if stage else 0.0
    on = 1 - LOST - ABANDONED - back - SKIP
    return back * value[max(0, stage - 1)] + on * value[stage + 1] + SKIP * value[min(stage + 2, last)]
