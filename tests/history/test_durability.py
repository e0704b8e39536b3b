"""What sync acknowledges survives kill -9: a child records, tells what was acknowledged, and is killed at any time."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from history import Questions, Record, open_store

if TYPE_CHECKING:
    from tests.history.conftest import Fresh, Place

CHILD = Path(__file__).with_name("scribe.py")
KILLS = {"sqlite-file": 50, "postgresql": 8}
LIVES = 5  # in the same place, one after the other
ROUNDS = 40  # of a life that nobody ends
ENDLESS = 10_000  # of one that is killed: it must not be over before, on however fast a computer


class Scribes:
    """The process that forks children which record."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(CHILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def live(self, url: str, seed: int, seconds: float | None, early: bool = False) -> tuple[list[list[str]], int]:
        """Let a child record until it is killed; return what it told of, line by line, and how it ended.

        It is killed some seconds after it has told something for the first time, or `early`: after it came to be.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{url} {ROUNDS if seconds is None else ENDLESS} {seed}\n")
        told: list[list[str]] = []
        pid = 0
        for line in self.process.stdout:
            word, *rest = line.split()
            if word == "end":
                self.process.stdin.write("\n")
                return told, int(rest[0])
            if word == "pid":
                pid = int(rest[0])
            else:
                told.append(line.split())
            if seconds is not None and (word == "pid" if early else len(told) == 1):
                time.sleep(seconds)  # the moment of the kill is the random input of this test
                os.kill(pid, signal.SIGKILL)  # ours: it is not waited for before `end` is told
        pytest.fail("the process that forks has ended")


@pytest.fixture(scope="module")
def scribes() -> Iterator[Scribes]:
    """Return the process that forks children, and end it after these tests."""
    scribes = Scribes()
    try:
        yield scribes
    finally:
        scribes.process.communicate()


def read(url: str) -> list[Record]:
    """Open a place again, and return all that is in it."""
    store = open_store(url)
    store.open()
    try:
        return list(Questions(store, time.time_ns).between())
    finally:
        store.close()


def check(records: list[Record], acknowledged: dict[tuple[str, int], int]) -> None:
    """Hold what is there against the laws of the log."""
    lives: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        lives.setdefault((record.machine, record.epoch), []).append(record)
    for life, found in lives.items():
        # no gap, and no row of the future without all of its past
        assert [r.seq for r in found] == list(range(1, len(found) + 1)), life
        # nothing is half written: each row follows from the one before
        for before, after in pairwise(found):
            assert after.at > before.at
            assert after.time_sum == after.clock.sum == before.time_sum + after.time_diff
    for life, seq in acknowledged.items():
        assert len(lives.get(life, ())) >= seq, f"{life} was acknowledged up to {seq}"


@pytest.mark.parametrize("kind", KILLS)
def test_every_acknowledged_transition_survives_a_kill(fresh: Fresh, scribes: Scribes, kind: str, seed: int) -> None:
    place = fresh(kind)
    rng = random.Random(seed)
    told_of = 0
    kills = KILLS[kind]
    acknowledged: dict[tuple[str, int], int] = {}
    for death in range(kills):
        if death % LIVES == 0:
            place = fresh(kind)
            acknowledged = {}
        told, code = scribes.live(place.url, rng.getrandbits(32), rng.random() * 0.1, early=death % 2 == 0)
        assert code == -signal.SIGKILL
        told_of += bool(told)
        for name, epoch, seq in told:
            assert acknowledged.get((name, int(epoch)), 0) <= int(seq)
            acknowledged[name, int(epoch)] = int(seq)
        if kind == "sqlite-file":
            with closing(sqlite3.connect(place.url.removeprefix("sqlite:///"))) as file:
                assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        check(read(place.url), acknowledged)
    assert told_of > kills // 4, "many of them had something to tell"


def test_a_life_that_nobody_ends(lasting: Place, scribes: Scribes, seed: int) -> None:
    """The same without a kill, so that the laws are held against complete lives too."""
    acknowledged: dict[tuple[str, int], int] = {}
    for life in (1, 2):
        told, code = scribes.live(lasting.url, seed + life, None)
        assert code == 0
        acknowledged |= {(name, int(epoch)): int(seq) for name, epoch, seq in told}
        assert {epoch for _, epoch in acknowledged} == set(range(1, life + 1))
    records = read(lasting.url)
    check(records, acknowledged)
    assert len(records) == sum(acknowledged.values())
    engine = sa.create_engine(lasting.url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM transition")) == len(records)
