"""Where a deal stands: as much as it takes to tell an advance from a regress, and to notice a disagreement.

Kept per deal for the length of an import, about 0.3 KB each.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Literal, Self

import msgspec

from domain.deal import Deal, Status
from domain.stream import Stream


class Place(msgspec.Struct):
    """A deal as the log has it after the rows so far. `unopened`: its opening was refused in this import."""

    funnel: str
    stage: str
    status: Status | Literal["unopened"] = "open"
    last: datetime | None = None
    amount: Decimal | None = None
    expected_close: date | None = None
    owner: str | None = None

    @classmethod
    def of(cls, stream: Stream) -> Self:
        """Where the stream of a deal that was opened leaves it."""
        deal: Deal = stream.state
        times = [stream.last_occurred_at.get("state"), stream.last_known_at]
        return cls(
            deal.funnel,
            deal.stage,
            deal.status,
            max((t for t in times if t is not None), default=None),
            deal.amount.amount if deal.amount else None,
            deal.expected_close,
            deal.owner,
        )
