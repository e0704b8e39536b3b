"""`am demo` as a user runs it, on a part of the blizzard: real processes, real gossip, and answers equal to the file's.

What is true is computed here from the CSV file, with none of the code that replays it.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import pytest

from history import Questions, open_store
from history.sql import SqlStore
from tests.ports import free_port

AM = Path(sys.executable).with_name("am")
DATA = Path(__file__).parents[2] / "asyncmachine" / "flights" / "flights-2013-02.csv.gz"
SINCE, UNTIL = "2013-02-09T13:00Z", "2013-02-09T21:00Z"  # the end of the blizzard, and the first departures
PATIENCE = 300.0  # s for anything at all: a bound, not a measure
MINUTE = timedelta(minutes=1)


# -- what the file says


@dataclass(frozen=True)
class Flight:
    """One line of the file. ``ended``: when it came down, or, if it never arrived, was given up."""

    scheduled: datetime
    departed: datetime | None
    landed: datetime | None
    ended: datetime
    carrier: str
    origin: str

    @property
    def outcome(self) -> str:
        return "cancelled" if self.departed is None else "diverted" if self.landed is None else "landed"

    def is_airborne(self, at: datetime) -> bool:
        return self.departed is not None and self.departed <= at < self.ended


def read(line: dict[str, str]) -> Flight:
    def moment(column: str) -> datetime | None:
        return datetime.fromisoformat(line[column]) if line[column] else None

    scheduled, departed, due, landed = (moment(c) for c in ("sched_dep", "dep", "sched_arr", "arr"))
    assert scheduled is not None
    assert due is not None
    late = max(due, due + ((departed or scheduled) - scheduled))
    return Flight(scheduled, departed, landed, landed or late + 60 * MINUTE, line["carrier"], line["origin"])


@pytest.fixture(scope="module")
def flights() -> list[Flight]:
    low, high = datetime.fromisoformat(SINCE), datetime.fromisoformat(UNTIL)
    with gzip.open(DATA, "rt", encoding="utf-8", newline="") as file:
        every = [read(line) for line in csv.DictReader(file)]
    return [flight for flight in every if low <= flight.scheduled < high]


def closed(flights: list[Flight], origin: str) -> list[tuple[datetime, datetime | None]]:
    """Return from when to when: eight cancellations in a row close an airport, and one departure opens it."""
    here = [flight for flight in flights if flight.origin == origin]
    # of one minute, departures come first
    events = sorted((f.departed or f.scheduled, f.departed is None) for f in here)
    spans: list[tuple[datetime, datetime | None]] = []
    row, since = 0, None
    for at, is_cancelled in events:
        row = row + 1 if is_cancelled else 0
        if row == 8:
            since = at
        elif since is not None and not is_cancelled:
            spans.append((since, at))
            since = None
    return spans if since is None else [*spans, (since, None)]


# -- the command


class Demo:
    """A demo that runs. Its lines are on stderr, its report on stdout."""

    def __init__(self, process: subprocess.Popen[str], report: IO[str], url: str) -> None:
        self.process = process
        self.url = url
        self.pids: dict[str, int] = {}
        self._report = report

    def lines(self) -> Iterator[str]:
        """Yield what it says meanwhile, and note the processes of its airports."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if "processes:" in line:
                self.pids = {code: int(pid) for code, pid in re.findall(r"([A-Z]{3}) (\d+)", line)}
            yield line

    def until(self, part: int) -> None:
        """Wait until so many of 100 parts are replayed."""
        for line in self.lines():
            found = re.search(r" (\d+)%", line)
            if found and int(found[1]) >= part:
                return
        raise AssertionError("it has ended before")

    def report(self) -> dict[str, Any]:
        """Wait for the end, which is a good one, and return the report."""
        rest = list(self.lines())
        assert self.process.wait(PATIENCE) == 0, rest
        self._report.seek(0)
        found: dict[str, Any] = json.load(self._report)
        return found


@contextmanager
def demo(folder: Path, *options: str) -> Iterator[Demo]:
    """Run `am demo`, and see to it that nothing of it is left."""
    url = f"sqlite:///{folder / 'new.db'}"
    command = [
        str(AM),
        "demo",
        "--json",
        "--speed",
        "max",
        "--from",
        SINCE,
        "--until",
        UNTIL,
        "--history",
        url,
        *options,
    ]
    own = Path(tempfile.mkdtemp(prefix="am-"))  # not in `folder`: sockets lie in it, whose paths have to be short
    env = {**os.environ, "PYTHONUNBUFFERED": "1", "TMPDIR": str(own)}
    with (folder / "report").open("w+") as report:
        process = subprocess.Popen(command, stdout=report, stderr=subprocess.PIPE, text=True, env=env)
        running = Demo(process, report, url)
        try:
            yield running
        finally:
            process.kill()
            process.wait()
            assert process.stderr is not None
            process.stderr.close()
    assert running.pids
    wait_for(lambda: not any(is_alive(pid) for pid in running.pids.values()))
    wait_for(lambda: not list(own.glob("am-demo-*")))
    shutil.rmtree(own)


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that nobody has asked about since its end does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@contextmanager
def asked(url: str) -> Iterator[Questions]:
    store = open_store(url)
    assert isinstance(store, SqlStore)
    store.open()
    try:
        with store.engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
        yield Questions(store, time.time_ns)
    finally:
        store.close()


def ns(at: datetime) -> int:
    return int(at.timestamp()) * 10**9


def check_moments(url: str, flights: list[Flight], low: datetime, high: datetime, seed: int) -> None:
    """Compare what is in the air, and what was cancelled, at moments between two minutes."""
    rng = random.Random(seed)
    minutes = int((high - low) / MINUTE)
    with asked(url) as ask:
        for minute in sorted(rng.sample(range(minutes), 12)):
            at = low + minute * MINUTE + timedelta(seconds=30)
            network = ask.network(ns(at))
            airborne = Counter(name.split("-")[1] for name in network.active("Airborne"))
            assert airborne == Counter(f.origin for f in flights if f.is_airborne(at)), at
            cancelled = Counter(name.split("-")[1] for name in network.active("Cancelled"))
            assert cancelled == Counter(f.origin for f in flights if f.departed is None and f.scheduled <= at), at


def check_all(report: dict[str, Any], url: str, flights: list[Flight], seed: int) -> None:
    """Compare everything that is told in the end with the file."""
    assert report["whole"]
    assert report["complete"]
    assert report["latency_ms"]["p50"] is not None
    for key, attribute in (("airports", "origin"), ("carriers", "carrier")):
        told = {
            (name, word): count
            for name, counts in report[key].items()
            for word, count in counts.items()
            if word != "delayed"
        }
        assert told == Counter((getattr(f, attribute), f.outcome) for f in flights)
    late = [f for f in flights if f.departed is not None and f.departed - f.scheduled >= 15 * MINUTE]
    assert report["flights"]["delayed"] == len(late)
    for code, spans in report["closed"].items():
        told_spans = [
            tuple(s[f"{end}_at"] and s[f"{end}_at"] // (60 * 10**9) for end in ("start", "end")) for s in spans
        ]
        file_spans = [tuple(at and ns(at) // (60 * 10**9) for at in span) for span in closed(flights, code)]
        assert told_spans == file_spans, code
    assert any(report["closed"].values())
    low, high = (datetime.fromtimestamp(report[f"{end}_at"] // 10**9, UTC) for end in ("start", "end"))
    check_moments(url, flights, low, high, seed)


def check_beliefs(report: dict[str, Any], url: str) -> None:
    """Each airport has heard of both others, in the end of all, and of nothing before it happened."""
    with asked(url) as ask:
        owners = {machine.name: machine.owner for machine in ask.machines() if machine.owner.startswith("12D3")}
        truths = {
            code: {r.clock.sum: r for r in ask.between(machines=[(owners[code], code)])} for code in report["closed"]
        }
        count = 0
        for seen in [machine for machine in ask.machines() if machine.owner.startswith("updates of ")]:
            rows = list(ask.between(machines=[(seen.owner, seen.name)]))
            count += len(rows)
            if seen.name in truths:
                truth = truths[seen.name]
                assert all(row.at >= truth[row.clock.sum].at for row in rows), seen.owner
                assert rows[-1].clock == truth[max(truth)].clock, seen.owner
        assert {(one.owner, one.name) for one in ask.machines() if one.name in truths} == {
            *((owners[code], code) for code in truths),
            *((f"updates of {owners[a]} by {owners[b]}", a) for a in truths for b in truths if a != b),
        }
    assert report["beliefs"] == count > 100


def test_its_answers_are_those_of_the_file(flights: list[Flight], tmp_path: Path, seed: int) -> None:
    with demo(tmp_path) as running:
        report = running.report()
        assert report["restarts"] == 0
        check_all(report, running.url, flights, seed)
        assert set(report["peers"]) == {"EWR", "JFK", "LGA", "observer"}
        check_beliefs(report, running.url)


def test_an_airport_that_is_killed_comes_back_and_the_answers_are_the_same(
    flights: list[Flight], tmp_path: Path, seed: int
) -> None:
    with demo(tmp_path) as running:
        running.until(40)
        os.kill(running.pids["JFK"], signal.SIGKILL)
        report = running.report()
        assert report["restarts"] == 1
        check_all(report, running.url, flights, seed)


def test_an_interruption_ends_it_and_nothing_that_happened_is_lost(
    flights: list[Flight], tmp_path: Path, seed: int
) -> None:
    with demo(tmp_path) as running:
        running.until(40)
        running.process.send_signal(signal.SIGINT)
        report = running.report()
        assert not report["whole"]
        assert report["complete"]
        assert not any(is_alive(pid) for pid in running.pids.values())
        low, high = (datetime.fromtimestamp(report[f"{end}_at"] // 10**9, UTC) for end in ("start", "until"))
        # no airport is more than a step ahead of another
        check_moments(running.url, flights, low, high - 60 * MINUTE, seed)


def test_when_it_is_killed_nothing_is_left_running(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        running.until(10)
        running.process.kill()
        wait_for(lambda: not any(is_alive(pid) for pid in running.pids.values()))


PROGRAM = """
import sys
from pathlib import Path

import trio
from rich.console import Console

from asyncmachine.flights.data import read_legs
from asyncmachine.flights.fleet import FleetError
from asyncmachine.flights.process import describe
from asyncmachine.flights.supervisor import Settings, run
from asyncmachine.flights.view import Screen

if __name__ == "__main__":
    legs = tuple(leg for leg in read_legs() if leg.origin == "EWR")[:50]
    listen = (f"/ip4/127.0.0.1/tcp/{sys.argv[1]}",)  # where the observer is then, so the airport cannot be
    settings = Settings(legs=legs, speed=None, url="memory:", listen=listen)
    try:
        trio.run(run, settings, Screen(Console(), live=False))
    except* FleetError as error:
        print(describe(error))
"""


def test_an_airport_that_cannot_be_there_ends_all_with_one_line(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(program), str(free_port())],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
        env={**os.environ, "PYTHONPATH": str(DATA.parents[2])},
    )
    assert re.search(r"EWR has ended: .*/tcp/\d+", done.stdout), done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert "Traceback" not in done.stderr
