"""Every projection there is: each module of the package `projections` that says `PROJECTION = ...`."""

import pkgutil
from functools import cache
from importlib import import_module

import projections
from projections.engine.description import Projection


@cache
def catalogue() -> dict[str, Projection]:
    """The projections by name, in the order of their names.

    Raises ValueError when two of them share a name or a table.
    """
    found: dict[str, Projection] = {}
    tables: dict[str, str] = {}
    for module in sorted(pkgutil.iter_modules(projections.__path__), key=lambda m: m.name):
        projection = getattr(import_module(f"projections.{module.name}"), "PROJECTION", None)
        if projection is None or any(projection is known for known in found.values()):
            continue  # a file beside a projection's may import it
        if projection.name in found:
            raise ValueError(f"two projections are called {projection.name!r}")
        for table in projection.tables:
            if table.name in tables:
                raise ValueError(
                    f"{projection.name} and {tables[table.name]} both have a table {table.name!r}"
                )
            tables[table.name] = projection.name
        found[projection.name] = projection
    return found


def chosen(names: tuple[str, ...] | list[str] | None = None) -> list[Projection]:
    """The named projections, or all of them. Raises KeyError for a name nobody has."""
    known = catalogue()
    for name in names or ():
        if name not in known:
            raise KeyError(f"there is no projection {name!r}, only {', '.join(known)}")
    return [known[name] for name in names] if names else list(known.values())
