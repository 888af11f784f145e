"""The comparison with the competitors, and the win rate that every event of it stores."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.command import Command
from domain.deal import (
    AddCompetitor,
    AssessCompetitor,
    AssessmentConfirmed,
    AssessOurPosition,
    CompellingEventReassessed,
    CompellingEventRecorded,
    CompellingEventWithdrawn,
    CompetitorAdded,
    CompetitorAssessed,
    CompetitorDroppedOut,
    ConfirmAssessment,
    ConfirmSoleSource,
    DealOpened,
    DealWon,
    DropCompetitor,
    FindInsideSource,
    InsideSourceFound,
    InsideSourceLost,
    LoseInsideSource,
    OurPositionAssessed,
    ReassessCompellingEvent,
    RecordCompellingEvent,
    Result,
    SoleSourceConfirmed,
    SoleSourceWithdrawn,
    WithdrawCompellingEvent,
    WithdrawSoleSource,
)
from domain.errors import (
    CompetitorsActive,
    DealClosed,
    NoCompellingEvent,
    NotAllowed,
    NotAssessed,
    UnknownCompetitor,
)
from domain.event import Event
from domain.playbook import CurrencySet, InsideSourceFactorSet, Playbook
from domain.registry import decide, evolve
from domain.templates import TAS_PLUS
from domain.win_rate import Assessment, Comparison, Competitor, win_rate
from tests.given import DEAL, RULES, context, defined, fold, given, playbook_with, sealed

OPENED = DealOpened("tas_plus", "verification", owner="bob")
DAY = date(2026, 6, 30)

RECORD = RecordCompellingEvent(deal_id=DEAL, text="The old plant closes.", deadline=DAY)
ASSESS_US = AssessOurPosition(deal_id=DEAL, need_fit=Decimal(8), relationship=Decimal(6))
INSIDE = FindInsideSource(deal_id=DEAL)
ADD = AddCompetitor(deal_id=DEAL, competitor="globex", label="Globex")
ASSESS = AssessCompetitor(deal_id=DEAL, competitor="globex", need_fit=Decimal(7), relationship=Decimal(7))
DROP = DropCompetitor(deal_id=DEAL, competitor="globex", reason="too dear")
SOLE = ConfirmSoleSource(deal_id=DEAL, reason="framework contract")


def after(*commands: Command, rules: Playbook = RULES) -> tuple[Event, ...]:
    """The history of a deal on which these were done."""
    history: tuple[Event, ...] = (OPENED,)
    for command in commands:
        history += decide(command, fold(history), context(rules, command=command))
    return history


def result(*unconfirmed: str, us: tuple[int, int] | None = None, **inputs: object) -> Result:
    ours = Assessment(*map(Decimal, us)) if us else Assessment()
    comparison = Comparison(**{"compelling_event": False, "us": ours, **inputs})  # type: ignore[arg-type]
    return Result(win_rate(comparison), unconfirmed)


# --- Win rate


def test_a_win_rate_follows_the_deal_step_by_step() -> None:
    steps = [
        (RECORD, "not_computed", None),
        (ASSESS_US, "computed", "0.3500"),  # one unknown rival as strong as we are, and nobody inside
        (INSIDE, "computed", "0.5000"),
        (ADD, "computed", "0.5000"),
        (AssessCompetitor(deal_id=DEAL, competitor="globex", need_fit=Decimal(3), relationship=Decimal(4)),
         "computed", "0.6667"),
        (ASSESS, "computed", "0.5000"),
        (DROP, "computed", "0.5000"),
        (SOLE, "computed", "0.7778"),
        (LoseInsideSource(deal_id=DEAL, reason="moved on"), "computed", "0.5444"),
        (WithdrawCompellingEvent(deal_id=DEAL, reason="stopped"), "not_computed", None),
    ]  # fmt: skip
    history = after(*[command for command, *_ in steps])
    rates = [event.result.win_rate for event in history[1:]]
    assert [(r.status, r.value and str(r.value)) for r in rates] == [(s, v) for _, s, v in steps]


def test_the_factor_without_an_inside_source_is_the_playbooks_and_kept_with_the_result() -> None:
    rules = playbook_with(*defined(TAS_PLUS), CurrencySet("EUR"), InsideSourceFactorSet(Decimal("0.5")))
    last = after(RECORD, ASSESS_US, rules=rules)[-1].result.win_rate
    assert (last.value, last.inputs.no_inside_source_factor) == (Decimal("0.2500"), Decimal("0.5"))
    assert "no_inside_source" in last.gates


COMMANDS = st.sampled_from(
    [
        RECORD,
        ReassessCompellingEvent(deal_id=DEAL, text="x"),
        WithdrawCompellingEvent(deal_id=DEAL, reason="-"),
        INSIDE,
        LoseInsideSource(deal_id=DEAL, reason="-"),
        SOLE,
        WithdrawSoleSource(deal_id=DEAL, reason="-"),
        ASSESS_US,
        AssessOurPosition(deal_id=DEAL, need_fit=None, relationship=Decimal(1)),
        ConfirmAssessment(deal_id=DEAL, party="us"),
        *(
            command
            for key in ("globex", "initech", "hooli")
            for command in (
                AddCompetitor(deal_id=DEAL, competitor=key),
                AssessCompetitor(
                    deal_id=DEAL, competitor=key, need_fit=Decimal(len(key)), relationship=Decimal(9)
                ),
                ConfirmAssessment(deal_id=DEAL, party=key),
                DropCompetitor(deal_id=DEAL, competitor=key, reason="-"),
            )
        ),
    ]
)


@for_all(st.lists(COMMANDS, max_size=30))
def test_every_event_stores_the_win_rate_of_the_state_after_it(commands: list[Command]) -> None:
    deal = fold((OPENED,))
    for command in commands:
        try:
            decided = decide(command, deal, context(RULES, command=command))
        except (NoCompellingEvent, UnknownCompetitor, NotAssessed, CompetitorsActive):
            continue
        for event in decided:
            deal = evolve(deal, event)
            now = deal.standing
            competitors = (Competitor(k, a or Assessment()) for k, a in sorted(now.competitors.items()))
            expected = Comparison(
                now.compelling_event,
                now.us or Assessment(),
                tuple(competitors),
                now.sole_source,
                now.inside_source,
            )
            assert event.result == Result(win_rate(expected), tuple(sorted(now.unconfirmed)))


# --- Compelling event


def test_a_compelling_event_is_recorded_reassessed_and_withdrawn() -> None:
    recorded = CompellingEventRecorded(sealed("text"), DAY, result(compelling_event=True))
    given(OPENED).when(RECORD).then(recorded)
    again = CompellingEventReassessed(sealed("text"), None, result(compelling_event=True))
    given(OPENED, recorded).when(ReassessCompellingEvent(deal_id=DEAL, text="still")).then(again)
    given(OPENED, recorded).when(RecordCompellingEvent(deal_id=DEAL, text="still")).then(again)
    withdraw = WithdrawCompellingEvent(deal_id=DEAL, reason="stopped")
    given(OPENED, recorded).when(withdraw).then(CompellingEventWithdrawn("stopped", result()))
    given(OPENED).when(withdraw).then()


def test_only_a_compelling_event_in_force_is_reassessed() -> None:
    reassess = ReassessCompellingEvent(deal_id=DEAL, text="still")
    given(OPENED).when(reassess).refused(
        NoCompellingEvent, field="deal_id", accepted="record-compelling-event"
    )
    gone = after(RECORD, WithdrawCompellingEvent(deal_id=DEAL, reason="-"))
    given(*gone).when(reassess).refused(NoCompellingEvent, field="deal_id")


# --- Inside source


def test_an_inside_source_is_found_and_lost() -> None:
    found = InsideSourceFound(sealed("note"), result(inside_source=True))
    given(OPENED).when(FindInsideSource(deal_id=DEAL, note="in purchasing")).then(found)
    given(OPENED, found).when(INSIDE).then()
    lost = LoseInsideSource(deal_id=DEAL, reason="moved on")
    given(OPENED, found).when(lost).then(InsideSourceLost("moved on", result()))
    given(OPENED).when(lost).then()


# --- Competitors


def test_a_competitor_is_added_assessed_and_drops_out() -> None:
    unknown, known = Assessment(), Assessment(Decimal(7), Decimal(7))
    added = CompetitorAdded("globex", "Globex", result(competitors=(Competitor("globex", unknown),)))
    given(OPENED).when(ADD).then(added)
    given(OPENED, added).when(ADD).then()
    assessed = CompetitorAssessed(
        "globex", None, known, result("globex", competitors=(Competitor("globex", known),))
    )
    given(OPENED, added).when(ASSESS).then(assessed)
    given(OPENED, added, assessed).when(DROP).then(CompetitorDroppedOut("globex", "too dear", result()))
    given(OPENED).when(DROP).then()


def test_the_same_scores_again_refresh_the_assessment_and_want_confirming_again() -> None:
    history = after(ASSESS_US, ConfirmAssessment(deal_id=DEAL, party="us"))
    ours = Assessment(Decimal(8), Decimal(6))
    given(*history).when(ASSESS_US).then(OurPositionAssessed(ours, ours, result("us", us=(8, 6))))


def test_a_competitor_that_comes_back_is_assessed_anew() -> None:
    deal = fold(after(ADD, ASSESS, DROP, ADD))
    assert (dict(deal.standing.competitors), deal.standing.unconfirmed) == ({"globex": None}, frozenset())


def test_only_an_active_competitor_is_assessed_or_confirmed() -> None:
    given(OPENED).when(ASSESS).refused(UnknownCompetitor, field="competitor", accepted="add-competitor first")
    given(*after(ADD)).when(
        AssessCompetitor(deal_id=DEAL, competitor="hooli", need_fit=None, relationship=None)
    ).refused(UnknownCompetitor, field="competitor", accepted="globex")
    given(OPENED).when(ConfirmAssessment(deal_id=DEAL, party="globex")).refused(
        UnknownCompetitor, field="party"
    )


def test_scores_are_kept_in_one_spelling() -> None:
    (event,) = after(AssessOurPosition(deal_id=DEAL, need_fit=Decimal("7.50"), relationship=Decimal("1E+1")))[
        1:
    ]
    assert (str(event.to_assessment.need_fit), str(event.to_assessment.relationship)) == ("7.5", "10")


@pytest.mark.parametrize("score", ["-0.1", "10.1", "NaN", "1.23456"])
def test_a_score_lies_between_0_and_10_with_up_to_4_places(score: str) -> None:
    with pytest.raises(ValidationError):
        AssessOurPosition(deal_id=DEAL, need_fit=score, relationship=None)


def test_no_competitor_is_called_us() -> None:
    with pytest.raises(ValidationError):
        AddCompetitor(deal_id=DEAL, competitor="us")


# --- Confirmation


def test_an_assessment_is_unconfirmed_until_a_manager_confirms_it() -> None:
    history = after(ADD, ASSESS, ASSESS_US)
    assert history[-1].result.unconfirmed == ("globex", "us")
    confirmed = decide(ConfirmAssessment(deal_id=DEAL, party="globex"), fold(history), context(RULES))
    (event,) = confirmed
    assert isinstance(event, AssessmentConfirmed)
    assert (event.party, event.assessment) == ("globex", Assessment(Decimal(7), Decimal(7)))
    assert event.result == Result(history[-1].result.win_rate, ("us",))
    given(*history, event).when(ConfirmAssessment(deal_id=DEAL, party="globex")).then()


def test_what_was_never_assessed_is_not_confirmed() -> None:
    for party, history in (("us", (OPENED,)), ("globex", after(ADD))):
        given(*history).when(ConfirmAssessment(deal_id=DEAL, party=party)).refused(
            NotAssessed, field="party", accepted="assess it first"
        )


def test_nobody_confirms_for_their_own_deal() -> None:
    for command in (ConfirmAssessment(deal_id=DEAL, party="us"), SOLE):
        given(*after(ASSESS_US)).by("bob", "director").when(command).refused(NotAllowed, field=None)
        given(*after(ASSESS_US)).by("eve", "manager", on_behalf_of="bob").when(command).refused(
            NotAllowed, field=None
        )


# --- Sole source


def test_a_sole_source_is_confirmed_and_withdrawn() -> None:
    confirmed = SoleSourceConfirmed("framework contract", result(sole_source=True))
    given(OPENED).when(SOLE).then(confirmed)
    given(OPENED, confirmed).when(SOLE).then()
    withdraw = WithdrawSoleSource(deal_id=DEAL, reason="a tender")
    given(OPENED, confirmed).when(withdraw).then(SoleSourceWithdrawn("a tender", result()))
    given(OPENED).when(withdraw).then()


def test_a_sole_source_is_refused_while_competitors_are_active() -> None:
    given(*after(ADD)).when(SOLE).refused(
        CompetitorsActive, field="deal_id", accepted="drop-competitor", saying="globex"
    )
    given(*after(ADD, DROP)).when(SOLE).then(
        SoleSourceConfirmed("framework contract", result(sole_source=True))
    )


def test_a_competitor_ends_a_sole_source() -> None:
    given(*after(SOLE)).when(ADD).then(
        SoleSourceWithdrawn("globex is active on the deal.", result()),
        CompetitorAdded("globex", "Globex", result(competitors=(Competitor("globex"),))),
    )


# --- For every command


@pytest.mark.parametrize(
    "command", [RECORD, ASSESS_US, INSIDE, ADD, ASSESS, DROP, SOLE], ids=lambda c: c.command_name()
)
def test_a_closed_deal_is_compared_no_more(command: Command) -> None:
    given(OPENED, DealWon("verification")).when(command).refused(DealClosed, field="deal_id")


def test_why_and_who_lie_in_the_vault() -> None:
    assert RecordCompellingEvent.personal_fields() == ReassessCompellingEvent.personal_fields() == ("text",)
    assert FindInsideSource.personal_fields() == ("note",)
