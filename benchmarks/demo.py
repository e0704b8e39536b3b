"""What the demo costs: `am demo`, as a user runs it, at full speed and at the speed of a show. One run of each.

Python keeps what it has compiled, as it does for a user from the second start on. That of an airport is a fork's: what
it took to load everything is not in it, and in memory it shares that with the others.

    python benchmarks/demo.py            max: four days at full speed; 2000x: one of them at the default speed
    python benchmarks/demo.py --quick    half a day of each
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.harness import Report

AM = Path(sys.executable).with_name("am")


def run(*options: str) -> dict[str, Any]:
    """Return the report of a demo, with the seconds that all of it took."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(AM), "demo", "--json", "--history", str(Path(folder) / "demo.db"), *options]
        began = time.perf_counter()
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment(), check=True)
        report: dict[str, Any] = json.loads(done.stdout)
        return {"all_seconds": time.perf_counter() - began, **report}


def environment() -> dict[str, str]:
    """Return one in which Python keeps what it has compiled, in a place of our own."""
    kept = {"PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / f"am-benchmarks-{os.getuid()}")}
    return {**{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}, **kept}


def note(report: Report, name: str, found: dict[str, Any], *, whole: bool) -> None:
    """Note what a run took; there are goals for the whole four days."""
    peers, seconds = found["peers"], found["seconds"]
    airports = [peers[code] for code in found["airports"] if code in peers]

    def add(what: str, value: float, unit: str, goal: float | None = None) -> None:
        report.add(f"{name}: {what}", value, unit, goal)

    add("first replica after", found["first_replica_seconds"], "s", 3)
    add("one of each airport after", found["all_replicas_seconds"], "s")
    add("all of it", found["all_seconds"], "s", 60 if whole else None)
    add("transitions", found["transitions"], "")
    add("transitions a second", found["transitions"] / seconds, "")
    add("record heard after, p50", found["latency_ms"]["p50"], "ms")
    add("record heard after, p99", found["latency_ms"]["p99"], "ms")
    add("CPU of an airport", 100 * max(a["cpu_seconds"] for a in airports) / seconds, "%")
    add("CPU of the observer", 100 * peers["observer"]["cpu_seconds"] / seconds, "%")
    add("peak memory of an airport", max(a["memory"] for a in airports) / 1e6, "MB")
    add("peak memory of the observer", peers["observer"]["memory"] / 1e6, "MB", 200 if whole else None)
    add("database", found["bytes"] / 1e6, "MB")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="half a day of each")
    options.add_argument("--json", action="store_true", help="print JSON")
    chosen = options.parse_args()
    report = Report("the demo", "one run each, real processes, wall time")
    run("--speed", "max", "--until", "2013-02-07T11:00Z")  # which compiles everything
    if chosen.quick:
        half = ("--until", "2013-02-07T22:00Z")
        rows = [("max", ("--speed", "max", *half)), ("2000x", half)]
    else:
        rows = [("max", ("--speed", "max")), ("2000x", ("--until", "2013-02-08T10:00Z"))]
    for name, arguments in rows:
        note(report, name, run(*arguments), whole=name == "max" and not chosen.quick)
        print(f"{name} …, load of the machine {os.getloadavg()[0]:.1f}", file=sys.stderr)
    report.show(json_output=chosen.json)


if __name__ == "__main__":
    main()
