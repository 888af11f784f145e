"""A version that is to answer beside the one that does: what was declared to be equal, at one position of the log."""

from collections.abc import Sequence
from typing import Any

from psycopg import Connection, sql

from projections.engine.checkpoints import Checkpoint
from projections.engine.description import SCHEMA, Invariant, Projection

Figure = tuple[Any, ...]


class Disagreement(Exception):
    """The new versions differ from those that answer where they must not. `findings` are sentences."""

    def __init__(self, findings: Sequence[str]) -> None:
        super().__init__(" ".join(findings))
        self.findings = tuple(findings)


def disagreements(
    conn: Connection[Any],
    projections: Sequence[Projection],
    own: Sequence[Checkpoint],
    others: Sequence[Checkpoint],
) -> tuple[str, ...]:
    """What speaks against letting these versions answer, each as a sentence that begins with the projection's name.

    `own` and `others` are the checkpoints of these versions and of those that answer now, which somebody holds.
    """
    found: list[str] = []
    for projection in projections:
        name = projection.name
        ours = [c for c in own if c.projection == name]
        theirs = [c for c in others if c.projection == name]
        if not theirs:
            continue
        found += _parked(projection, ours, theirs)
        late = min(c.position for c in theirs) < min(c.position for c in ours)
        for invariant in projection.invariants:
            if late:
                found.append(
                    f"{name} v{theirs[0].version} stands at position {min(c.position for c in theirs):,} and nobody"
                    f" brings it up, so that '{invariant.name}' can not be compared."
                )
            else:
                found += _differing(conn, projection, invariant, ours[0], theirs[0])
    return tuple(found)


def _parked(projection: Projection, ours: Sequence[Checkpoint], theirs: Sequence[Checkpoint]) -> list[str]:
    now, before = sum(c.parked for c in ours), sum(c.parked for c in theirs)
    if now <= before:
        return []
    return [
        (
            f"{projection.name} v{projection.version} lets {now:,} events wait because their fold fails,"
            f" v{theirs[0].version} {before:,}."
        )
    ]


def _differing(
    conn: Connection[Any], projection: Projection, invariant: Invariant, ours: Checkpoint, theirs: Checkpoint
) -> list[str]:
    own_tables = {t.name: projection.physical(t, ours.generation) for t in projection.tables}
    (names,) = conn.execute(
        "SELECT tables FROM projection.versions WHERE (projection, version) = (%s, %s)",
        [theirs.projection, theirs.version],
    ).fetchone() or ([],)
    their_tables = {name: sql.Identifier(SCHEMA, f"{name}_v{theirs.version}") for name in names}
    now = _figure(conn, invariant.figure, own_tables)
    before = _figure(conn, invariant.before or invariant.figure, their_tables)
    if now == before:
        return []
    return [
        (
            f"{projection.name} v{projection.version}: '{invariant.name}' is {_spelt(now)}, and {_spelt(before)} in"
            f" v{theirs.version} at the same position {ours.position:,}."
        )
    ]


def _figure(conn: Connection[Any], figure: str, tables: dict[str, sql.Identifier]) -> list[Figure]:
    return conn.execute(sql.SQL(figure).format(**tables)).fetchall()


def _spelt(figure: Sequence[Figure]) -> str:
    return "; ".join(", ".join(map(str, row)) for row in figure) or "nothing"
