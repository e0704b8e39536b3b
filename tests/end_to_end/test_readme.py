"""The ladder of the README, step by step, as somebody would climb it: programs in a folder, side by side."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.history.conftest import Place, fresh, postgresql, server

__all__ = ["fresh", "postgresql", "server"]  # fixtures

README = Path(__file__).parents[2] / "README.md"
AM = Path(sys.executable).with_name("am")
PATIENCE = 300  # s for anything at all: a bound, not a measure


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the programs of the README."""
    for source in re.findall(r"^```py\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL):
        name = re.match(r"# (\w+\.py)\n", source)
        assert name is not None, source
        (tmp_path / name[1]).write_text(source)
    return tmp_path


def run(folder: Path, *command: str | Path) -> str:
    """Run a program to its end, and return what it printed."""
    program = [sys.executable, *command] if str(command[0]).endswith(".py") else [*command]
    done = subprocess.run(program, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def running(folder: Path, *command: str) -> Iterator[str]:
    """Run a program in the background; yield its first line."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, *command], cwd=folder, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def test_two_machines_in_one_process(folder: Path) -> None:
    assert run(folder, "house.py") == "(Open:1) (On:1)\n"


def test_the_past_of_both(folder: Path) -> None:
    told = [line.split(maxsplit=1)[1] for line in run(folder, "past.py").splitlines()]
    assert told[2:] == [
        "door add Open: +Open",
        "light add On: +On",
        "door add Closed: +Closed -Open",
        "light remove On: -On",
    ]


def test_a_reader_follows_an_owner(folder: Path) -> None:
    with running(folder, "owner.py") as address:
        lines = run(folder, "reader.py", address).splitlines()
    assert len(lines) == 3
    assert all(re.fullmatch(r"door \(Open:\d*[13579]\)", line) for line in lines)


def test_an_owner_that_listens_everywhere_tells_where_it_can_be_reached(folder: Path) -> None:
    with running(folder, "owner.py", "/ip4/0.0.0.0/tcp/0") as addresses:
        assert "/ip4/0.0.0.0/" not in addresses
        near = [address for address in addresses.split() if address.startswith("/ip4/127.")]
        assert len(run(folder, "reader.py", *(near or addresses.split())).splitlines()) == 3


def test_a_keeper_has_the_whole_past_in_postgresql_though_it_came_late(folder: Path, postgresql: Place) -> None:
    with running(folder, "owner.py") as address:
        run(folder, "reader.py", address)  # meanwhile things happen
        with running(folder, "keeper.py", postgresql.url, address) as ready:
            assert ready == "keeping"
            deadline = time.monotonic() + PATIENCE
            while not (log := run(folder, AM, "history", "-H", postgresql.url, "log", "door")).count("add Open"):
                assert time.monotonic() < deadline
                time.sleep(0.5)
    assert "base" in log
