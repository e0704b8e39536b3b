"""A soak: real peers in processes of their own that change their machines for minutes, and what they hold meanwhile.

    python benchmarks/soak.py --minutes 10

Memory in the second half may grow by 5 %; at the end there may be no more tasks, threads and descriptors than when all
had met, and all replicas must be as their machines. Exit status 1: one of these is not so. For memory, the medians of
a tenth of the time around the half and of the last tenth are compared, of all peers together and of the one that grew
most: what is resident, and of that what a peer has allocated itself. `--json` is for programs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose names would hide the packages

from benchmarks.harness import Report
from benchmarks.processes import Held, PeerProcess, agree, processes

GROWTH = 5.0  # % that memory may grow by in the second half
SAMPLES = 120  # of each peer
PATIENCE = 60.0  # s for all to meet, and to agree in the end
QUIET = 5.0  # s after the last change: what was on its way is over


@dataclass(frozen=True)
class Sample:
    """What all peers held at a time, s after the first change."""

    at: float
    held: list[Held]


def wait(done: Callable[[], bool], what: str) -> float:
    """Wait until something is so; return how long that took, s."""
    began = time.perf_counter()
    while not done():
        if time.perf_counter() - began > PATIENCE:
            raise SystemExit(f"{what}: not within {PATIENCE:g} s")
        time.sleep(0.2)
    return time.perf_counter() - began


def met(peers: list[PeerProcess]) -> bool:
    """Tell whether all know each other, and have the connections that they will keep."""
    expected = min(len(peers) - 1, 4)
    states = [peer.ask("state") for peer in peers]
    return all(len(s["replicas"]) == len(peers) - 1 and s["connected"] >= expected for s in states) and agree(peers)


def soak(peers: list[PeerProcess], seconds: float, rate: float) -> tuple[list[Sample], float]:
    """Change machines at a rate of all together; return what was held, and how long it took until all were equal, s."""
    wait(lambda: met(peers), "all know each other")
    time.sleep(QUIET)
    each, began = rate / len(peers), time.perf_counter()
    samples = [Sample(0.0, [peer.held() for peer in peers])]
    for peer in peers:
        peer.tell(f"tick {round(seconds * each)} {each}")
    while (at := time.perf_counter() - began) < seconds:
        time.sleep(min(seconds / SAMPLES, seconds - at))
        samples.append(Sample(time.perf_counter() - began, [peer.held() for peer in peers]))
    for peer in peers:
        peer.wait_for_ticks()
    took = wait(lambda: agree(peers), "all replicas are equal to their machines")
    time.sleep(QUIET)
    samples.append(Sample(time.perf_counter() - began, [peer.held() for peer in peers]))
    return samples, took


def memory(samples: Sequence[Sample], kind: str, low: float, high: float) -> list[float]:
    """Return the memory of each peer between two shares of the time: the median, MB."""
    end = samples[-2].at  # the last one is taken when it is over
    chosen = [sample.held for sample in samples[:-1] if low * end <= sample.at <= high * end]
    return [statistics.median(getattr(held, kind) for held in peer) for peer in zip(*chosen, strict=True)]


def tell(report: Report, samples: list[Sample], took: float) -> None:
    """Note what was measured."""
    first, last = samples[0].held, samples[-1].held
    report.add("all replicas equal after the last change", took, "s")
    for kind, what in (("rss", "resident memory"), ("own", "allocated memory")):
        start, half, end = (memory(samples, kind, *span) for span in ((0, 0.1), (0.45, 0.55), (0.9, 1)))
        for name, of in (("at the start", start), ("at the half", half), ("at the end", end)):
            report.add(f"{what} of a peer {name}", statistics.mean(of), "MB")
        report.add(f"  {what} of all: growth in the second half", (sum(end) / sum(half) - 1) * 100, "%", GROWTH)
        most = max((e / h - 1) * 100 for h, e in zip(half, end, strict=True))
        report.add(f"  {what} of the peer that grew most", most, "%", GROWTH)
    report.add("proportional memory of a peer at the end", statistics.mean(held.pss for held in last), "MB")
    for name in ("tasks", "threads", "files"):
        before, after = ([getattr(held, name) for held in each] for each in (first, last))
        what = "descriptors" if name == "files" else name
        report.add(f"{what} of a peer, the most, at the start", max(before), "")
        report.add(
            f"{what} that a peer has more at the end", max(a - b for b, a in zip(before, after, strict=True)), "", 0
        )


def main() -> None:
    """Run what the command line asks for."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=1.0, help="how long; 10 is what the goals are for")
    options.add_argument("--peers", type=int, default=5, help="how many, each in a process")
    options.add_argument("--rate", type=float, default=50.0, help="changes a second, of all together")
    options.add_argument("--json", action="store_true", help="print JSON")
    options.add_argument("--samples", metavar="FILE", help="write what was sampled there, as lines of JSON")
    chosen = options.parse_args()
    if chosen.minutes <= 0 or chosen.peers < 2 or chosen.rate <= 0:
        options.error("there must be two peers at least, some time and some changes")
    report = Report(
        "soak", f"{chosen.peers} processes, {chosen.minutes:g} min, {chosen.rate:g} changes/s of all together"
    )
    report.add("load of the machine before", os.getloadavg()[0], "")
    with tempfile.TemporaryDirectory() as folder, processes(Path(folder), chosen.peers) as peers:
        samples, took = soak(peers, chosen.minutes * 60, chosen.rate)
    tell(report, samples, took)
    if chosen.samples:
        Path(chosen.samples).write_text("".join(json.dumps(asdict(sample)) + "\n" for sample in samples))
    report.add("load of the machine after", os.getloadavg()[0], "")
    report.show(json_output=chosen.json)
    if any(figure.met is False for figure in report.figures):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
