"""A correction names an event of the same stream; anything else is refused."""

from decimal import Decimal
from uuid import uuid4

import psycopg
import pytest

from domain.deal import AdvanceStage, ReviseAmount
from domain.errors import InvalidCommand, UnknownDeal
from domain.money import MoneyInput
from infra.connection import LogConnection
from infra.executor import Executor
from infra.postgres import Server
from tests.store.log import Log, ask, done


def test_a_correction_names_an_event_of_its_own_stream(log: Log) -> None:
    executor = log.start()
    deal, other = log.open_deal(executor), log.open_deal(executor)
    (moved,) = (
        done(executor.execute([ask(AdvanceStage(deal_id=deal, to_stage="bidding"))])[0]).items[0].event_ids
    )

    for wrong in (
        AdvanceStage(deal_id=deal, to_stage="negotiation", corrects=uuid4()),
        AdvanceStage(deal_id=other, to_stage="bidding", corrects=moved),
    ):
        (refused,) = executor.execute([ask(wrong)])
        assert isinstance(refused, InvalidCommand)
        assert refused.field == "corrects"

    done(executor.execute([ask(AdvanceStage(deal_id=deal, to_stage="negotiation", corrects=moved))])[0])
    assert log.events()[-1].meta.corrects == moved


@pytest.mark.parametrize("cut", [True, False], ids=["connected anew", "behind a pooler that stayed"])
def test_what_was_remembered_of_another_epoch_is_not_believed(database: Server, cut: bool) -> None:
    log = Log(database)
    connection = LogConnection(log.app_url)
    executor = Executor(connection)
    log.start()
    deal = log.open_deal(executor)
    with psycopg.connect(log.owner_url) as conn:  # what a restored backup looks like to a server that goes on
        conn.execute("UPDATE dealtrace.log_head SET epoch = epoch + 1")
        conn.execute("DELETE FROM dealtrace.events WHERE originator_id = %s", [deal])
        conn.execute("UPDATE dealtrace.log_head SET position = position - 1")
    if cut:
        connection.close()
    (refused,) = executor.execute(
        [ask(ReviseAmount(deal_id=deal, amount=MoneyInput(amount=Decimal(1), currency="EUR")))]
    )
    assert isinstance(refused, UnknownDeal)
    connection.close()
    log.close()
