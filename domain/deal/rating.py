"""The win rate that every event of the comparison stores, so that a deal's curve needs no other source."""

from collections.abc import Callable

import msgspec

from domain.command import Context
from domain.deal.state import Deal, Standing
from domain.event import Event
from domain.win_rate import Assessment, Comparison, Competitor, WinRate, win_rate

US = "us"
"""Stands for ourselves where a party is named."""


class Result(msgspec.Struct, frozen=True):
    """The win rate after an event, and whose assessments behind it no manager has confirmed yet.

    `unconfirmed` holds "us" and competitors' keys, in alphabetical order.
    """

    win_rate: WinRate
    unconfirmed: tuple[str, ...]


Unrated = Callable[[Result], Event]
"""An event that waits for the win rate that follows from it."""


def rated(deal: Deal, context: Context, evolve: Callable[[Deal, Event], Deal], event: Unrated) -> Event:
    """The event with the win rate that follows from it; `evolve` is its slice's."""
    after = evolve(deal, event(_NOT_YET)).standing
    return event(_result(after, context))


_NOT_YET = Result(win_rate(Comparison(compelling_event=False, us=Assessment())), ())
"""Holds the place of the result while the standing that it follows from is not known; no `evolve` looks at it."""


def _result(standing: Standing, context: Context) -> Result:
    rate = win_rate(
        Comparison(
            compelling_event=standing.compelling_event,
            us=standing.us or Assessment(),
            competitors=tuple(
                Competitor(key, standing.competitors[key] or Assessment())
                for key in sorted(standing.competitors)
            ),
            sole_source=standing.sole_source,
            inside_source=standing.inside_source,
            no_inside_source_factor=context.playbook.no_inside_source_factor,
        )
    )
    return Result(rate, tuple(sorted(standing.unconfirmed)))
