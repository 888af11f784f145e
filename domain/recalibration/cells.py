"""Sums over landmark rows by stage, or by stage and age group, for any weights of the deals.

A deal has many rows in a cell; they are added up once, so that each draw of a bootstrap touches only deals.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from domain.recalibration.columns import Floats, Ints

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True)
class Cells:
    """One matrix per sum, [cell, deal]; cells are stages, or stage x 2 + stalled.

    resolved, won   rows with a label, and those of them that were won
    present         1 where a deal has a resolved row in the cell
    shape           of a table of rates: (stages, 1) or (stages, 2)
    """

    resolved: "csr_array"
    won: "csr_array"
    present: "csr_array"
    shape: tuple[int, int]

    @classmethod
    def of(cls, cell: Ints, deal: Ints, label: Ints, shape: tuple[int, int], deals: int) -> "Cells":
        """Add up rows; `label` is 1, 0, or -1 for a row without one."""
        from scipy.sparse import csr_array  # half a second that no other verb of the program should wait for

        pair, where = np.unique((cell * deals + deal)[label >= 0], return_inverse=True)
        place = (pair // max(deals, 1), pair % max(deals, 1))
        size = (shape[0] * shape[1], deals)
        rows = np.bincount(where, minlength=len(pair)).astype(np.float64)
        won = np.bincount(where, label[label >= 0] == 1, minlength=len(pair)).astype(np.float64)
        matrices = (csr_array((data, place), shape=size) for data in (rows, won, np.ones(len(pair))))
        resolved, wins, present = matrices
        return cls(resolved, wins, present, shape)

    def sums(self, weight: Floats) -> tuple[Floats, Floats, Floats]:
        """Resolved rows, won rows and deals of each cell, each deal counted `weight` times."""
        return (
            (self.resolved @ weight).reshape(self.shape),
            (self.won @ weight).reshape(self.shape),
            (self.present @ weight).reshape(self.shape),
        )
