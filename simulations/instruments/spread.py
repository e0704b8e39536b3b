"""How news spread: how far, how fast, along how many links, and what is missing meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from simulations.instruments.arrivals import BIN, FAR, MAX_WAYS, SHARES, STEP, Arrivals, Mark
from simulations.instruments.base import Findings, Instrument
from simulations.instruments.bounds import quantile
from simulations.outcome import Curve, Measure

POINTS = 240  # of a curve: more than a screen shows apart
NO_HEAL = "no partition was healed while something was missing, so there is no heal time"

Floats = npt.NDArray[np.float64]


def ms(us: float | None) -> float | None:
    """Return us as ms; None where there is none, or it never came."""
    return None if us is None or not np.isfinite(us) else round(float(us) / 1000, 3)


def seconds(us: float | None) -> float | None:
    """Return us as s."""
    return None if us is None or not np.isfinite(us) else round(float(us) / 1e6, 6)


def of_bins(bins: Sequence[int] | npt.NDArray[np.int64], share: float) -> int | None:
    """Return the bin in which a share of all is reached; None: there are none."""
    sums = np.cumsum(np.asarray(bins, dtype=np.int64))
    if not len(sums) or not sums[-1]:
        return None
    return int(np.searchsorted(sums, max(share * float(sums[-1]) - 1e-6, 1)))


class Coverage(Instrument):
    """How many of those who should have an update have it, at the end and by the age of the update."""

    def find(self, found: Findings) -> None:
        """Compare what arrived with what was expected."""
        arrivals = self.board.arrivals
        expected = arrivals.expected()
        share = None if not expected else round(100 * (expected - arrivals.missing()) / expected, 6)
        found.measures["updates"] = Measure(value=len(arrivals.changed), about="changes that were published")
        found.measures["coverage"] = Measure(
            value=share, unit="%", bound=100.0, better="higher", about="of the peers that ran then have an update"
        )
        if arrivals.unpublished:
            found.notes.append(f"{arrivals.unpublished} updates ended with their peer before it published them")
        if expected:
            found.curves["coverage"] = self._curve(arrivals, expected)

    def _curve(self, arrivals: Arrivals, expected: int) -> Curve:
        sums = np.cumsum(arrivals.latency)
        last = of_bins(arrivals.latency, 0.9999) or 0
        at = np.unique(np.linspace(0, last, POINTS).astype(int))
        ways = self.board.ways
        delays = np.sort(np.concatenate(ways.delays)) if ways.delays else np.zeros(0)
        bound = np.searchsorted(delays, (at + 1) * BIN, side="right") / max(len(delays), 1)
        return Curve(
            x=[round(float(bin_ + 1) * BIN / 1000, 3) for bin_ in at],
            y=[round(100 * float(sums[bin_]) / expected, 4) for bin_ in at],
            bound=[round(100 * float(share), 4) for share in bound] if len(delays) else [],
            x_unit="ms",
            y_unit="%",
            about="of the peers have an update, by its age",
        )


class TimeTo(Instrument):
    """How long an update takes until a share of all peers have it: the median of the updates, and of the slowest."""

    def find(self, found: Findings) -> None:
        """Take quantiles."""
        took = np.zeros(0)
        for share in SHARES:
            took = np.sort(self.board.arrivals.time_to(share))
            self._add(found, f"time_to_{share}", share, took, 0.5, "median of the updates")
        self._add(found, "time_to_100_p99", 100, took, 0.99, "of 100 updates the slowest but one")
        late = int(np.isinf(took).sum())
        if late:
            found.notes.append(f"{late} of {len(took)} updates did not come to all peers before the run ended")

    def _add(self, found: Findings, name: str, share: int, took: Floats, which: float, words: str) -> None:
        found.measures[name] = Measure(
            value=ms(quantile(took, which)) if len(took) else None,
            unit="ms",
            bound=ms(self.board.ways.time_to(share)) if len(took) else None,
            better="lower",
            about=f"until {share} % of the peers have an update, {words}",
        )


class Latency(Instrument):
    """How long it takes from a change to a peer that has it, over all changes and peers."""

    def find(self, found: Findings) -> None:
        """Take quantiles; what did not arrive is in `coverage`."""
        bins = self.board.arrivals.latency
        for name, share in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999)):
            at = of_bins(bins, share)
            found.measures[f"latency_{name}"] = Measure(
                value=None if at is None else ms((at + 0.5) * BIN),
                unit="ms",
                bound=None if at is None else ms(self.board.ways.delay(share)),
                better="lower",
                about=f"from a change to a peer that has it, {share * 100:g} % take no longer",
            )


class Hops(Instrument):
    """Along how many links a new state has come, by what its sender had come along then."""

    def find(self, found: Findings) -> None:
        """Take the mean and quantiles."""
        bins = self.board.arrivals.hops
        total = sum(bins)
        if self.board.largest > MAX_WAYS:
            found.notes.append(f"hops are counted up to {MAX_WAYS:,} peers: they take a byte for each pair")
        mean = sum(far * count for far, count in enumerate(bins)) / total if total else None
        ways = self.board.ways
        best = ways.mean_links() if total else None
        far = of_bins(bins, 1.0)
        found.measures["hops_mean"] = Measure(
            value=None if mean is None else round(mean, 4),
            bound=None if best is None else round(best, 4),
            better="lower",
            about="links that a new state came along; the bound: the fewest there are",
        )
        found.measures["hops_p99"] = Measure(
            value=of_bins(bins, 0.99), better="lower", about="of 100 new states 99 came along no more links"
        )
        found.measures["hops_max"] = Measure(
            value=far,
            bound=ways.rounds if total else None,
            better="lower",
            about=f"the most{f', {FAR} or more' if far == FAR else ''}; the bound: log N rounds",
        )


class Missing(Instrument):
    """How many pairs of an update and a peer are missing, over time."""

    def find(self, found: Findings) -> None:
        """Add up what was due and what came."""
        board, arrivals = self.board, self.board.arrivals
        first, last = board.began // STEP, max(board.until - 1, board.began) // STEP
        due = _dense(arrivals.due, last + 1)
        came = np.zeros(last + 1, dtype=np.int64)
        size = min(len(arrivals.came), last + 1)
        came[:size] = arrivals.came[:size]
        excused = _dense(arrivals.excused, last + 1)
        missing = np.cumsum(due - came - excused)[first:]
        found.measures["missing_most"] = Measure(
            value=int(missing.max()), better="lower", about="pairs of an update and a peer that were missing at once"
        )
        found.measures["missing_at_end"] = Measure(
            value=arrivals.missing(), bound=0.0, better="lower", about="the same, when the run ended"
        )
        if not len(arrivals.changed):
            return
        ideal = self._ideal(due)[first:]
        every = -(-len(missing) // POINTS)
        at = range(0, len(missing), every)
        found.curves["missing_updates"] = Curve(
            x=[round((point + 1) * STEP / 1e6, 3) for point in at],
            y=[float(missing[point : point + every].max()) for point in at],
            bound=[round(float(ideal[point : point + every].max()), 1) for point in at],
            y_unit="updates x peers",
            about="missing, by time since the measuring began; the bound: by the delay of the network alone",
        )

    def _ideal(self, due: npt.NDArray[np.int64]) -> Floats:
        """Return what would be missing if each update took the shortest ways: the same updates, each some time ago."""
        ways = self.board.ways
        delays = np.concatenate(ways.delays) if ways.delays else np.zeros(0)
        if not len(delays):
            return np.zeros(len(due))
        # An update was made, on average, in the middle of its step; it is counted at the end of the step.
        ages = (np.arange(int(delays.max() // STEP) + 2) + 0.5) * STEP
        still = np.array([(delays > age).mean() for age in ages])
        return np.convolve(due, still)[: len(due)].astype(np.float64)


def _dense(sparse: dict[int, int], size: int) -> npt.NDArray[np.int64]:
    out = np.zeros(size, dtype=np.int64)
    for at, value in sparse.items():
        if at < size:
            out[at] += value
    return out


class Heals(Instrument):
    """How long it takes from the end of a partition until what was missing is there; of several, the longest."""

    def find(self, found: Findings) -> None:
        """Look at all marks."""
        marks = self.board.arrivals.marks
        if not marks:
            return
        bound = seconds(self.board.ways.delay(1.0))
        for name, share, ends in (
            ("heal_99", "99 % of what was missing", [mark.most for mark in marks]),
            ("heal_100", "all of it", [mark.rest for mark in marks]),
        ):
            took = [None if end is None else end - mark.at for mark, end in zip(marks, ends, strict=True)]
            never = sum(each is None for each in took)
            value = None if never else max(each for each in took if each is not None)
            about = f"from the end of a partition until {share} is there"
            found.measures[name] = Measure(value=seconds(value), unit="s", bound=bound, better="lower", about=about)
            if never:
                heals = len(_missing_at(marks))
                shards = f", in {never} shards" if len(marks) > heals else ""
                late = len({mark.at for mark, end in zip(marks, ends, strict=True) if end is None})
                found.notes.append(f"after {late} of {heals} heals, {share} was not there before the run ended{shards}")
        found.measures["heal_missing"] = Measure(
            value=max(_missing_at(marks).values()), about="pairs of an update and a peer missing at a heal"
        )


def _missing_at(marks: Sequence[Mark]) -> dict[int, int]:
    """Return how much was missing at each heal, in all shards together."""
    found: dict[int, int] = {}
    for mark in marks:
        found[mark.at] = found.get(mark.at, 0) + mark.missing
    return found
