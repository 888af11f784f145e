"""A release that comes beside another one: its own projections are filled while the other one serves."""

import logging
from collections.abc import Sequence
from threading import Event as Flag

import psycopg

from projections.engine.catalogue import chosen
from projections.engine.checkpoints import Retired
from projections.engine.comparing import Disagreement
from projections.engine.connecting import connect
from projections.engine.description import Projection
from projections.engine.preparing import prepare, waiting
from projections.engine.rebuilding import Cancelled, Progress, RebuildRunning
from projections.engine.releasing import Moved, NotReady, switch
from projections.engine.switches import taken_back

log = logging.getLogger("dealtrace.release")

THROTTLE = 1.0
"""A projector that fills beside its other work rests as long as it worked, for those who read and write meanwhile."""
AGAIN_SECONDS = 5.0


class TakenBack(Exception):
    """This release was switched to and taken back, so that only an operator switches to it again."""


def take_over(app_url: str, *, progress: Progress | None = None) -> list[Moved]:
    """Fill what this release's projections lack and let them answer; what answers now that did not before.

    Raises what `releasing.prepare` and `releasing.switch` raise, and TakenBack.
    """
    with connect(app_url) as conn:
        if not waiting(conn):
            return []
    prepare(app_url, progress=progress)
    with connect(app_url) as conn:
        if names := taken_back(conn):
            raise TakenBack(f"This release was taken back in {', '.join(names)}.")
    return switch(app_url)


def fill_beside(
    app_url: str, stop: Flag, *, then_switch: bool, projections: Sequence[Projection] | None = None
) -> None:
    """Fill this release's projections slowly, beside everything else; then switch to them, if that is wanted.

    Goes on after whatever an operator or the server interrupted, until it is done or `stop` is set.
    """
    wanted = list(projections or chosen())
    while not stop.is_set():
        try:
            if filled := prepare(app_url, wanted, processes=1, throttle=THROTTLE, stop=stop):
                log.info("Filled %s, which follow the log now and wait for the switch.", ", ".join(filled))
            if then_switch:
                with connect(app_url) as conn:
                    back = taken_back(conn, wanted)
                for moved in [] if back else switch(app_url, wanted):
                    log.info("%s v%d answers now.", moved.projection, moved.to_version)
        except Cancelled:
            return
        except (RebuildRunning, NotReady, psycopg.OperationalError) as error:
            log.info("Filling goes on in %.0f s: %s", AGAIN_SECONDS, str(error).strip().split("\n", 1)[0])
            stop.wait(AGAIN_SECONDS)
        except Retired:
            return  # the projector itself says so, again and again
        except Disagreement as error:
            log.warning("No switch to this release: %s See dealtrace projections switch --help.", error)
            return
        except Exception:
            log.exception(
                "Filling the projections of this release failed; trying again in %.0f s.", AGAIN_SECONDS
            )
            stop.wait(AGAIN_SECONDS)
        else:
            return
