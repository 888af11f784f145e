"""The filters that the figures share: whose deals, of which account, product line, segment, region."""

from uuid import UUID

import msgspec
from psycopg import sql


class Filters(msgspec.Struct, frozen=True):
    """Only deals that have every value given. None filters nothing."""

    owner: str | None = None
    account_id: UUID | None = None
    product_line: str | None = None
    customer_segment: str | None = None
    region: str | None = None

    def where(self, alias: str, *, instead: dict[str, sql.Composable] | None = None) -> sql.Composed:
        """SQL conditions on the columns of a table's alias, to follow other conditions.

        `instead` names another expression for a field.
        """
        given = [f for f in self.__struct_fields__ if getattr(self, f) is not None]
        columns = {f: (instead or {}).get(f, sql.Identifier(alias, f)) for f in given}
        return sql.SQL("").join(
            sql.SQL(" AND {} = {}").format(columns[f], sql.Placeholder(f"filter_{f}")) for f in given
        )

    def parameters(self) -> dict[str, object]:
        """The values of the placeholders in `where`."""
        return {f"filter_{f}": getattr(self, f) for f in self.__struct_fields__}


NO_FILTERS = Filters()
