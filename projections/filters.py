"""The filters that the figures share: whose deals, of which account, product line, segment, region, grade."""

from uuid import UUID

import msgspec
from psycopg import sql

from domain.playbook import Grade


class Filters(msgspec.Struct, frozen=True):
    """Only deals that have every value given, the owner one of `owners`. None filters nothing.

    What a deal has, and had at the time asked about, is compared; `owners` are the people of a team then.
    """

    owner: str | None = None
    account_id: UUID | None = None
    product_line: str | None = None
    customer_segment: str | None = None
    region: str | None = None
    grade: Grade | None = None
    owners: frozenset[str] | None = None

    def where(self, alias: str, *, instead: dict[str, sql.Composable] | None = None) -> sql.Composed:
        """SQL conditions on the columns of a table's alias, to follow other conditions.

        `instead` names another expression for a column.
        """
        given = [f for f in self.__struct_fields__ if getattr(self, f) is not None]
        return sql.SQL("").join(
            sql.SQL(" AND {} = ANY({}::text[])" if f == "owners" else " AND {} = {}").format(
                (instead or {}).get(column, sql.Identifier(alias, column)), sql.Placeholder(f"filter_{f}")
            )
            for f in given
            for column in ("owner" if f == "owners" else f,)
        )

    def parameters(self) -> dict[str, object]:
        """The values of the placeholders in `where`."""
        owners = None if self.owners is None else sorted(self.owners)
        values = {f: getattr(self, f) for f in self.__struct_fields__} | {"owners": owners}
        return {f"filter_{f}": value for f, value in values.items()}


NO_FILTERS = Filters()
