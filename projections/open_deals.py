"""SQL over deal states: the rows of open deals in force at (T, K), and their counts by stage.

Placeholders: `as_of`, `known_at` (where there is a K), `funnel` (where there is one), and those of the filters.
"""

from datetime import datetime
from typing import Any

from psycopg import Connection, sql

from projections.filters import Filters
from projections.playbook import MACRO_STAGES, funnels_at, stages_at

_COUNTED = sql.SQL("stage, account_id, amount_thousandths")
_STAGES = sql.SQL(
    "SELECT stage, count(*) AS deals, sum(amount_thousandths) AS amount FROM {} r GROUP BY stage"
)
_CUSTOMERS = sql.SQL(
    "SELECT stage, count(account_id) AS customers FROM (SELECT DISTINCT stage, account_id FROM {} r) c GROUP BY stage"
)


class OpenDeals:
    """The open deals of a funnel, or of all, that pass the filters at (T, K).

    Their rows are of two kinds, with an index each: those that are still the last of their deal, and those that
    another one followed, but after T or unknown at K.
    """

    def __init__(
        self, states: sql.Composable, filters: Filters, *, one_funnel: bool, with_known_at: bool
    ) -> None:
        then = sql.SQL("status = 'open' AND occurred_at <= %(as_of)s") + filters.where("s")
        followed = sql.SQL("next_occurred_at > %(as_of)s")
        if one_funnel:
            then += sql.SQL(" AND funnel = %(funnel)s")
        if with_known_at:
            then += sql.SQL(" AND known_at <= %(known_at)s")
            followed = sql.SQL("(next_occurred_at > %(as_of)s OR next_known_at > %(known_at)s)")
        self._last = sql.SQL("FROM {} s WHERE {} AND next_occurred_at IS NULL").format(states, then)
        self._followed = sql.SQL("FROM {} s WHERE {} AND next_occurred_at IS NOT NULL AND {}").format(
            states, then, followed
        )

    def rows(self) -> sql.Composed:
        """All of them, with every column."""
        return sql.SQL("SELECT * {} UNION ALL SELECT * {}").format(self._last, self._followed)

    def counts(self) -> sql.Composed:
        """Of each stage with deals: the key, deals, customers, and amount in thousandths; and the customers of all."""
        rows = sql.SQL("SELECT {columns} {} UNION ALL SELECT {columns} {}").format(
            self._last, self._followed, columns=_COUNTED
        )
        return sql.SQL(
            "WITH rows AS MATERIALIZED ({}) SELECT stage, deals, customers, amount,"
            " (SELECT count(*) FROM (SELECT DISTINCT account_id FROM rows WHERE account_id IS NOT NULL) c)"
            " FROM ({}) s JOIN ({}) c USING (stage)"
        ).format(rows, _STAGES.format(sql.SQL("rows")), _CUSTOMERS.format(sql.SQL("rows")))

    def counts_of_last_rows(self) -> sql.Composed:
        """The same of the first kind of rows alone; no rows when there are any of the second kind.

        Near the present there are none, and these are two passes over indexes alone, each in the order of the customers.
        """
        rows = self._last + sql.SQL(" AND NOT ({})").format(self.followed())
        return sql.SQL(
            "SELECT s.*, (SELECT count(DISTINCT account_id) {rows}) FROM (SELECT stage, count(*),"
            " count(DISTINCT account_id), sum(amount_thousandths) {rows} GROUP BY stage) s"
        ).format(rows=rows)

    def followed(self) -> sql.Composed:
        """Whether there are rows of the second kind."""
        return sql.SQL("SELECT EXISTS (SELECT {})").format(self._followed)


STAGES = sql.SQL("unnest(%(stage_funnels)s::text[], %(stage_keys)s::text[], %(stage_macros)s::int[])")
"""SQL for a table of every stage: its funnel, its key, and its macro-stage's place in the order of those."""


def places_of_stages(
    conn: Connection[Any], funnel: str | None, as_of: datetime, known_at: datetime | None
) -> dict[str, Any]:
    """The parameters of `STAGES`, for one funnel or for all. Raises UnknownFunnel."""
    keys = [funnel] if funnel else [f.key for f in funnels_at(conn, as_of, known_at)]
    stages = [(key, stage) for key in keys for stage in stages_at(conn, key, as_of, known_at).all]
    return {
        "stage_funnels": [key for key, _ in stages],
        "stage_keys": [stage.key for _, stage in stages],
        "stage_macros": [MACRO_STAGES.index(stage.macro_stage) for _, stage in stages],
    }
