"""What waits because a fold had a mistake is named, and tried again once it is mended."""

from uuid import uuid5

import msgspec

from infra.postgres import Server
from projections.deals import PROJECTION as DEALS
from projections.engine.running import run_to_head
from tests.cli.conftest import Program
from tests.projections.failing import BAD, failing_at_the_bad_amount, two_deals
from tests.projections.written_log import SPACE, write_log


def parked(dealtrace: Program) -> list[dict]:
    return msgspec.json.decode(dealtrace("projections", "parked", "--format", "json").out)


def test_what_waits_is_named_with_its_error_and_goes_in_when_the_fold_is_mended(
    dealtrace: Program, database: Server
) -> None:
    write_log(database.owner_url, two_deals())
    run_to_head(database.app_url, projections=[failing_at_the_bad_amount(DEALS)])

    error = "ZeroDivisionError: a mistake"
    waiting = {"projection": "deals", "key": str(BAD), "events": 3, "since": 6, "error": error}
    assert parked(dealtrace) == [waiting]
    assert error in dealtrace("projections", "parked").out

    nothing = dealtrace("projections", "unpark", "deals", "--key", str(uuid5(SPACE, "another")))
    assert (nothing.code, nothing.err) == (0, "Applied 0 events that waited.\n")
    mended = dealtrace("projections", "unpark", "deals", "--key", str(BAD))
    assert (mended.code, mended.err) == (0, "Applied 3 events that waited.\n")
    assert parked(dealtrace) == []
    assert dealtrace("projections", "parked").err == "Nothing waits.\n"
    assert dealtrace("projections", "unpark").code == 0


def test_unparking_a_projection_nobody_knows_names_those_there_are(dealtrace: Program) -> None:
    said = dealtrace("projections", "unpark", "moon")
    assert said.code == 2
    assert "hint: one of accounts, " in said.err
