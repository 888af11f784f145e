"""What a small sample borrows from its parent, and rates that rise along the stages."""

import numpy as np

from domain.recalibration.columns import Floats

PRIOR_DEALS = 20.0
"""Default m: a sample of fewer deals than this shrinks, as if it held m further deals of the parent's rate."""


def shrink(share: Floats, deals: Floats, parent: Floats | float, m: float = PRIOR_DEALS) -> Floats:
    """(deals x share + m x parent) / (deals + m) where a sample is small, which is fewer than m deals.

    A larger sample keeps its share: the textbook figures stay what a textbook says. A sample of no deals has
    its parent's rate, which may be unknown (NaN) too.
    """
    known = np.where(deals > 0, share, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        borrowed = (deals * known + m * parent) / (deals + m)
    return np.where((deals < m) & ~np.isnan(borrowed), borrowed, np.where(deals > 0, share, np.nan))


def estimated_m(wins: Floats, deals: Floats) -> float:
    """How many deals of the parent samples borrow, by the method of moments of a beta-binomial model.

    From the spread between the samples beyond what chance alone gives (Kleinman 1973, "Proportions with
    extraneous variance"): no such spread means that they are all alike, infinite m, given as 10^6.
    """
    used = deals > 0
    wins, deals = wins[used], deals[used]
    if len(deals) < 2:
        return PRIOR_DEALS
    pooled = wins.sum() / deals.sum()
    chance = pooled * (1 - pooled)
    if chance == 0:
        return 1e6
    spread = float((deals * (wins / deals - pooled) ** 2).sum())
    size = float(deals.sum() - (deals**2).sum() / deals.sum())
    between = (
        (spread - chance * (len(deals) - 1)) / (size - (len(deals) - 1)) if size > len(deals) - 1 else 0.0
    )
    rho = min(max(between / chance, 1e-6), 1.0)
    return float((1 - rho) / rho)


def isotonic(rates: Floats, weight: Floats) -> Floats:
    """The rates closest to the given ones, by weighted squares, that never fall along the stages.

    Pool adjacent violators (Barlow and others 1972). Unknown rates (NaN) stay unknown and hold nothing up.
    """
    known = ~np.isnan(rates)
    blocks: list[tuple[float, float, int]] = []
    for rate, mass in zip(rates[known], np.maximum(weight[known], 1e-12), strict=True):
        blocks.append((float(rate), float(mass), 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (low, light, few), (high, heavy, many) = blocks[-2:]
            blocks[-2:] = [((low * light + high * heavy) / (light + heavy), light + heavy, few + many)]
    result = rates.copy()
    result[known] = [rate for rate, _, size in blocks for _ in range(size)]
    return result
