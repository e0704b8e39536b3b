"""Confidence over seeds: means with 95 % intervals, and whether two sets of runs differ.

Seeds are independent draws, so a measure over n of them has mean and deviation, and the interval of Student's t
distribution with n - 1 degrees of freedom. Two sets with the same seeds are compared pair by pair; others by Welch's
test (1947), with the degrees of freedom of Satterthwaite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isclose, sqrt
from statistics import fmean, variance

# Quantiles 0.975 of Student's t, for 1 to 30 degrees of freedom, and for more of them; from any table.
_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
_MORE = ((40, 2.021), (60, 2.000), (120, 1.980), (10**9, 1.960))


def t_quantile(freedom: float) -> float:
    """Return the 97.5 % quantile of Student's t; that of fewer degrees of freedom where the table has a gap."""
    whole = int(freedom)
    if whole < 1:
        return float("inf")
    if whole <= len(_T):
        return _T[whole - 1]
    below = [value for least, value in ((31, _T[-1]), *_MORE) if least <= whole]
    return below[-1]


@dataclass(frozen=True, slots=True)
class Interval:
    """The mean of some runs, and how far from it the true one may be, with a confidence of 95 %.

    Attributes:
        half: half of the width; 0 for a single run, which says nothing about others.
        count: how many runs had a value, and `of`: how many there were.
    """

    mean: float
    half: float
    count: int
    of: int

    @property
    def low(self) -> float:
        """Return the lower end."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """Return the upper end."""
        return self.mean + self.half


def interval(values: Sequence[float | None]) -> Interval | None:
    """Return the mean of the values that there are, with its interval; None: there are none."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    half = t_quantile(len(known) - 1) * sqrt(variance(known) / len(known)) if len(known) > 1 else 0.0
    return Interval(fmean(known), half, len(known), len(values))


@dataclass(frozen=True, slots=True)
class Difference:
    """Two sets of runs, compared.

    Attributes:
        change: of the mean, relative to the first; None where that is 0.
        significant: whether 0 is outside of the 95 % interval of the difference. A single run on a side: whether there
            is any difference, as a simulation repeats itself exactly.
        how: "paired", "Welch" or "exact".
    """

    before: float
    after: float
    change: float | None
    significant: bool
    how: str


def compare_values(before: Mapping[int, float], after: Mapping[int, float]) -> Difference | None:
    """Compare values by seed; None if a side has none."""
    if not before or not after:
        return None
    old, new = list(before.values()), list(after.values())
    first, second = fmean(old), fmean(new)
    change = (second - first) / abs(first) if first else (0.0 if not second else None)
    if before.keys() == after.keys() and len(old) > 1:
        gaps = [after[seed] - before[seed] for seed in before]
        half = t_quantile(len(gaps) - 1) * sqrt(variance(gaps) / len(gaps))
        return Difference(first, second, change, abs(fmean(gaps)) > half, "paired")
    if min(len(old), len(new)) < 2:
        return Difference(first, second, change, not isclose(first, second, rel_tol=1e-9), "exact")
    parts = variance(old) / len(old), variance(new) / len(new)
    error = sqrt(sum(parts))
    weights = parts[0] ** 2 / (len(old) - 1) + parts[1] ** 2 / (len(new) - 1)
    freedom = sum(parts) ** 2 / weights if weights else float(len(old) + len(new) - 2)
    return Difference(first, second, change, abs(second - first) > t_quantile(freedom) * error, "Welch")
