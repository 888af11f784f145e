"""How many identical rows came before a row: what tells rows apart that say the same."""

from collections import Counter


class OfTheFile:
    """Counts over the whole file, whose order may be any: about 100 bytes per row."""

    def __init__(self) -> None:
        self._counts: Counter[bytes] = Counter()

    def before(self, digest: bytes, _cells: tuple[str, ...]) -> int:
        """How often the digest was asked for before."""
        before = self._counts[digest]
        self._counts[digest] = before + 1
        return before


class OfTheMoment:
    """Counts within the current moment of each deal: its rows come in the order of time, so identical ones can
    only be of one moment, whatever rows of other deals lie between. About half a kilobyte per deal."""

    def __init__(self) -> None:
        self._deals: dict[str, tuple[str, bytes | dict[bytes, int]]] = {}
        """The deal's moment, and the one digest of it, or several of them with how often each came."""

    def before(self, digest: bytes, cells: tuple[str, ...]) -> int:
        """How often the digest was asked for before, at the time in the second cell."""
        found = self._deals.get(cells[0])
        if found is None or found[0] != cells[1]:
            self._deals[cells[0]] = cells[1], digest
            return 0
        counts = found[1]
        if isinstance(counts, bytes):
            counts = {counts: 1}
            self._deals[cells[0]] = cells[1], counts
        before = counts.get(digest, 0)
        counts[digest] = before + 1
        return before
