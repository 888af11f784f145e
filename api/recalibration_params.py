"""What may be asked of recalibration and of forecasts of the open pipeline."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import Field

from api.params import Moment, OneFunnel, Params, Text
from domain.command import Reason

DayOrMoment = Annotated[Moment | date, Field(union_mode="left_to_right")]
"""A moment, or a day such as 2011-11-15: its first instant in the playbook's time zone."""

Instant = datetime | date

Seed = Annotated[int, Field(ge=0, le=2**31, description="Seed of the random draws of intervals and bands.")]


class RecalibrateParams(OneFunnel):
    """A recalibration of a funnel."""

    until: Annotated[
        DayOrMoment | None, Field(description="Use what was known then, a moment or a day. Default: now.")
    ] = None
    period: Annotated[
        Literal["quarter", "month", "week"] | None,
        Field(
            description="Length of the periods of the walk-forward test. Default: by the length of history."
        ),
    ] = None
    seed: Seed = 0
    replicates: Annotated[
        int, Field(ge=1, le=10_000, description="Draws of the bootstrap behind the intervals.")
    ] = 200


class PipelineParams(OneFunnel):
    """A forecast of the pipeline that was open at a moment."""

    at: DayOrMoment | None = None
    rates: Text = "current"
    seed: Seed = 0


class AdoptParams(Params):
    """Adopting a candidate of a record."""

    reason: Reason
    effective_from: Annotated[
        Moment | None, Field(description="From when on the rates are in force. Default: now.")
    ] = None
