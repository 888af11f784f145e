"""A decision that stands on other streams sees them whole, and counts only if they are still so."""

from datetime import date
from decimal import Decimal
from uuid import UUID

import msgspec

from domain import organisation
from domain.account import AddContact, OpenAccount
from domain.command import Command
from domain.deal import AddDealContact, LoseDeal, ReopenDeal, ReviseAmount
from domain.errors import NotAllowed, UnknownContact
from domain.event import Actor
from domain.manager_forecast import ForecastSet, SetForecast, WithdrawForecast, forecast_stream
from domain.money import MoneyInput
from domain.organisation import AppointManager, CreateTeam, JoinTeam, ManagerAppointed
from infra.connection import connect
from infra.event_store import NewEvent, Unit, append
from infra.executor import Executor
from infra.ids import new_id
from infra.mapper import encode
from infra.vault import erase, read_texts
from tests.store.log import Log, Running, ask, done

MIA = Actor("mia", "manager", "test")
COMPANY = (
    CreateTeam(team="north", label="North"),
    AppointManager(team="north", manager="mia"),
    JoinTeam(team="north", person="bob", name="Bob"),
)


def forecast(deal: UUID, amount: int = 80) -> SetForecast:
    money = MoneyInput(amount=Decimal(amount), currency="EUR")
    return SetForecast(deal_id=deal, amount=money, reason="they said yes")


def company(log: Log) -> tuple[Executor, UUID]:
    """Bob, who works for Mia, and his deal."""
    executor = log.start()
    done(executor.execute([ask(*COMPANY)])[0])
    return executor, log.open_deal(executor, owner="bob", expected_close=date(2026, 6, 30))


def last_forecast(log: Log) -> ForecastSet:
    event = log.events()[-1].event
    assert isinstance(event, ForecastSet)
    return event


def test_a_forecast_lies_beside_its_deal_and_does_not_move_it(log: Log) -> None:
    executor, deal = company(log)
    (item,) = done(executor.execute([ask(forecast(deal), actor=MIA)])[0]).items
    recorded = log.events()[-1]
    assert (item.stream_id, item.version) == (forecast_stream(deal), 1)
    assert (recorded.stream_id, recorded.meta.partition_key) == (forecast_stream(deal), deal)
    assert executor.stream(deal).version == 1
    assert (recorded.event.seen.deal_version, recorded.event.seen.team) == (1, "north")
    log.assert_whole()


def test_a_forecast_decided_while_its_deal_changes_is_decided_again(log: Log) -> None:
    one, deal = company(log)
    two = log.executor()
    two.stream(deal)  # what it remembers is stale from here on
    amount = MoneyInput(amount=Decimal(500), currency="EUR")
    done(one.execute([ask(ReviseAmount(deal_id=deal, amount=amount))])[0])
    done(two.execute([ask(forecast(deal), actor=MIA)])[0])
    seen = last_forecast(log).seen
    assert (seen.deal_version, seen.amount) == (2, amount.money())


def test_a_manager_who_was_replaced_meanwhile_is_refused(log: Log) -> None:
    executor, deal = company(log)
    other = log.executor()
    other.stream(organisation.STREAM_ID)
    done(executor.execute([ask(AppointManager(team="north", manager="max"))])[0])
    assert isinstance(other.execute([ask(forecast(deal), actor=MIA)])[0], NotAllowed)


def test_a_manager_replaced_between_decision_and_append_is_refused(log: Log) -> None:
    """The forecast waits at the head with its mind made up while Mia is replaced before its eyes."""
    executor, deal = company(log)
    meta = next(e.meta for e in log.events() if e.topic == ManagerAppointed.TOPIC)
    replaced = ManagerAppointed("north", "mia", "max")
    state = encode(msgspec.structs.replace(meta, event_id=new_id()), replaced)
    with log.held() as conn:
        forecasting = Running(lambda: executor.execute([ask(forecast(deal), actor=MIA)]))
        log.wait_for_appenders(1)
        unit = Unit(
            (NewEvent(organisation.STREAM_ID, 4, replaced.TOPIC, state),), {organisation.STREAM_ID: 3}
        )
        append(conn, [unit])
    assert isinstance(forecasting.result()[0], NotAllowed)
    log.assert_whole()


def test_a_batch_sees_what_it_did_itself(log: Log) -> None:
    executor, deal = company(log)
    steps: tuple[Command, ...] = (
        forecast(deal, 80),
        LoseDeal(deal_id=deal),
        ReopenDeal(deal_id=deal, to_stage="verification", reason="they called"),
        WithdrawForecast(deal_id=deal, reason="-"),
        forecast(deal, 90),
    )
    items = done(executor.execute([ask(*steps)])[0]).items
    assert [len(item.event_ids) for item in items] == [1, 1, 1, 0, 1]  # the first forecast lapsed
    event = last_forecast(log)
    assert (event.previous, event.seen.closed_times, event.seen.deal_version) == (None, 1, 3)


def test_one_person_is_erased_without_the_others(log: Log) -> None:
    executor = log.start()
    account, eva, max_ = new_id(), new_id(), new_id()
    done(
        executor.execute(
            [
                ask(
                    OpenAccount(account_id=account, name="Mine"),
                    AddContact(account_id=account, contact_id=eva, name="Eva", details="555"),
                    AddContact(account_id=account, contact_id=max_, name="Max"),
                )
            ]
        )[0]
    )
    opened, first, second = (recorded.event for recorded in log.events()[-3:])
    refs = [opened.name.id, first.name.id, first.details.id, second.name.id]
    with connect(log.owner_url, "test") as conn:
        assert erase(conn, eva) == 2
        assert set(read_texts(conn, refs).values()) == {"Mine", "Max"}


def test_a_contact_gets_a_fresh_id_and_a_part_in_a_deal_only_if_the_account_has_it(log: Log) -> None:
    executor, deal = company(log)
    account = done(executor.execute([ask(OpenAccount())])[0]).items[0].stream_id
    done(executor.execute([ask(AddContact(account_id=account), actor=MIA)])[0])
    contact = log.events()[-1].event.contact_id
    part = AddDealContact(deal_id=deal, account_id=account, contact_id=contact)
    done(log.executor().execute([ask(part)])[0])
    stranger = AddDealContact(deal_id=deal, account_id=account, contact_id=deal)
    assert isinstance(executor.execute([ask(stranger)])[0], UnknownContact)
