"""Whoever knows the `eventsourcing` library can tail our log with it, and even append to it."""

from collections.abc import Iterator

import psycopg
import pytest
from eventsourcing.application import LocalNotificationLog
from eventsourcing.persistence import IntegrityError, NotSupportedError, StoredEvent, Tracking
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

from domain.deal import DealLost, DealWon, LogActivity, ReviseOwner, WinDeal
from domain.event import Event
from infra.connection import LogConnection
from infra.event_store import CHANNEL
from infra.ids import new_id
from infra.mapper import UnknownTopic, Unreadable, encode
from infra.recorder import LogRecorder, datastore
from tests.store.log import Log, Running, ask, done


@pytest.fixture
def store(log: Log) -> Iterator[PostgresDatastore]:
    with datastore(log.app_url) as store:
        yield store


@pytest.fixture
def recorder(log: Log, store: PostgresDatastore) -> Iterator[LogRecorder]:
    connection = LogConnection(log.app_url)
    recorder = LogRecorder(store, connection)
    recorder.create_table()
    yield recorder
    connection.close()


def busy_log(log: Log, deals: int = 9) -> None:
    executor = log.start()
    for _ in range(deals):
        deal = log.open_deal(executor)
        executor.execute([ask(ReviseOwner(deal_id=deal, owner="carol")), ask(WinDeal(deal_id=deal))])


def stored(log: Log, event: Event, version: int) -> StoredEvent:
    """What the library would write as this version of the last deal."""
    last = log.events()[-1]
    return StoredEvent(last.stream_id, version, event.TOPIC, encode(last.meta, event))


# --- Reading


def test_the_librarys_own_reader_reads_our_log(log: Log, store: PostgresDatastore) -> None:
    busy_log(log)
    stock = PostgresApplicationRecorder(store, events_table_name="events")
    assert stock.max_notification_id() == len(log.rows())
    read = [
        (n.id, n.originator_id, n.originator_version, n.topic, n.state)
        for n in stock.select_notifications(1, 99)
    ]
    assert read == [(r[0], r[1], r[2], r[3], r[5]) for r in log.rows()]
    deal = log.rows()[-1][1]
    assert [e.originator_version for e in stock.select_events(deal)] == [1, 2, 3]
    assert [e.originator_version for e in stock.select_events(deal, gt=1, desc=True, limit=1)] == [3]
    assert [n.id for n in stock.select_notifications(1, 99, topics=["deal.won"])] == [
        e.position for e in log.events() if e.topic == "deal.won"
    ]


def test_its_notification_log_gives_sections_of_our_log(log: Log, store: PostgresDatastore) -> None:
    busy_log(log)
    stock = PostgresApplicationRecorder(store, events_table_name="events")
    notifications, section_id = [], "1,10"
    sections = LocalNotificationLog(stock, section_size=10)
    while section_id:
        section = sections[section_id]
        notifications += section.items
        section_id = section.next_id or ""
    assert [n.id for n in notifications] == list(range(1, len(log.rows()) + 1))


def test_a_subscription_gives_what_is_there_and_then_what_comes(log: Log, recorder: LogRecorder) -> None:
    executor = log.start()
    with recorder.subscribe(gt=1) as subscription:
        assert next(subscription).id == 2
        coming = Running(lambda: next(subscription))
        deal = log.open_deal(executor)
        opened = coming.result(seconds=10)
        assert (opened.id, opened.originator_id, opened.topic) == (3, deal, "deal.opened")


def test_each_append_is_announced_on_the_channel_once_it_is_committed(log: Log) -> None:
    executor = log.start()
    with psycopg.connect(log.app_url, autocommit=True) as listening:
        listening.execute(f"LISTEN {CHANNEL}")
        deal = log.open_deal(executor)
        (notice,) = listening.notifies(timeout=60, stop_after=1)
        assert notice.channel == CHANNEL
        executor.execute([ask(LogActivity(deal_id=deal, kind="call")), ask(WinDeal(deal_id=deal))])
        assert len(list(listening.notifies(timeout=60, stop_after=1))) == 1
        executor.execute([ask(WinDeal(deal_id=deal))])  # nothing new
        assert list(listening.notifies(timeout=0.2)) == []


# --- Appending


def test_it_appends_at_the_next_positions(log: Log, recorder: LogRecorder) -> None:
    executor = log.start()
    log.open_deal(executor)
    deal = log.open_deal(executor)
    won = stored(log, DealWon("verification"), 2)
    assert recorder.insert_events([won]) == [5]
    assert recorder.insert_events([]) == []
    assert log.events()[-1].event == DealWon("verification")
    assert recorder.select_events(deal)[-1] == won
    assert log.query("SELECT position FROM dealtrace.log_head") == [(5,)]
    assert executor.stream(deal).version == 1  # believed; the append would find out
    assert done(executor.execute([ask(WinDeal(deal_id=deal))])[0]).items[0].version == 2


def test_a_version_that_is_taken_or_leaves_a_gap_is_a_conflict(log: Log, recorder: LogRecorder) -> None:
    log.open_deal(log.start())
    before = log.rows()
    won = DealWon("verification")
    for versions in ([1], [3], [2, 2], [2, 4], [3, 2]):
        with pytest.raises(IntegrityError):
            recorder.insert_events([stored(log, won, version) for version in versions])
    assert log.rows() == before


def test_events_are_appended_all_or_none(log: Log, recorder: LogRecorder) -> None:
    executor = log.start()
    log.open_deal(executor)
    free = stored(log, DealWon("verification"), 2)
    log.open_deal(executor)
    taken = stored(log, DealWon("verification"), 1)
    with pytest.raises(IntegrityError):
        recorder.insert_events([free, taken])
    assert log.topics(2) == ["deal.opened"] * 2


def test_the_very_same_events_after_a_lost_reply_get_their_first_positions(
    log: Log, recorder: LogRecorder
) -> None:
    executor = log.start()
    log.open_deal(executor)
    one = stored(log, DealWon("verification"), 2)
    log.open_deal(executor)
    two = stored(log, DealLost("verification", None), 2)
    first = recorder.insert_events([one, two])
    log.open_deal(executor)
    assert recorder.insert_events([one, two]) == first == [5, 6]
    with pytest.raises(IntegrityError):  # one of them is another
        recorder.insert_events([one, stored(log, DealLost("verification", "price"), 1)])
    assert len(log.rows()) == 7


def test_what_nobody_could_read_back_does_not_get_into_the_log(log: Log, recorder: LogRecorder) -> None:
    deal = log.open_deal(log.start())
    with pytest.raises(UnknownTopic):
        recorder.insert_events([StoredEvent(deal, 2, "shop.item_sold", b"{}")])
    with pytest.raises(Unreadable):
        recorder.insert_events([StoredEvent(deal, 2, "deal.won", b"{}")])
    with pytest.raises(Unreadable):
        recorder.insert_events([StoredEvent("a deal", 2, "deal.won", b"{}")])  # type: ignore[arg-type]
    assert len(log.rows()) == 3


def test_tracking_is_refused_not_dropped(log: Log, recorder: LogRecorder) -> None:
    log.open_deal(log.start())
    won = stored(log, DealWon("verification"), 2)
    with pytest.raises(NotSupportedError, match="tracking"):
        recorder.insert_events([won], tracking=Tracking("upstream", 7))
    assert recorder.select_events(new_id()) == []
    assert len(log.rows()) == 3
