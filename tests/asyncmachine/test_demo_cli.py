"""What `am demo` says to what it cannot do: one line, before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from asyncmachine.cli import main
from asyncmachine.flights.data import COLUMNS
from asyncmachine.flights.place import NAME, PlaceError, place_for
from history import open_history
from machine import Machine, State

FIRST, LAST = "2013-02-07T10:00Z", "2013-02-11T04:59Z"


def refused(*options: str) -> str:
    """Return the line in which it refuses."""
    done = CliRunner().invoke(main, ["demo", *options])
    assert done.exit_code == 2
    assert "Traceback" not in done.output
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--speed fast", "'fast' is neither max nor a number from 1"),
        ("--speed 0", "'0' is neither max"),
        ("--speed nan", "'nan' is neither max"),
        (
            "--from soon",
            f"--from 'soon' is no time such as 2013-02-08T12:00Z: there are flights from {FIRST} to {LAST}",
        ),
        ("--from 2014-01-01", f"--from 2014-01-01 is after the last flight: there are flights from {FIRST} to {LAST}"),
        (f"--until {FIRST}", f"--until {FIRST} is before the first flight"),
        ("--from 2013-02-09 --until 2013-02-08", "--from 2013-02-09 is not before --until 2013-02-08"),
        ("--from 2013-02-08T08:00Z --until 2013-02-08T08:01Z", "no flight is scheduled from"),
        ("--data /nowhere.csv", "/nowhere.csv cannot be read"),
    ],
)
def test_what_cannot_be_is_said_in_a_line_that_names_what_can(options: str, message: str) -> None:
    assert message in refused(*options.split())


def test_a_broken_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "flights.csv"
    path.write_text(f"{','.join(COLUMNS)}\nsoon,,,,,,,,,\n")
    assert f"{path}, line 2: sched_dep is 'soon'" in refused("--data", str(path))


def test_a_file_of_very_many_airports_is_too_much(tmp_path: Path) -> None:
    path = tmp_path / "flights.csv"
    line = "2013-02-07T10:00Z,,2013-02-07T11:48Z,,US,1117,N165US,X{},CLT,529"
    path.write_text("\n".join([",".join(COLUMNS), *(line.format(number) for number in range(9))]))
    assert "from 9 airports" in refused("--data", str(path))


async def recorded(path: Path, tag: str) -> None:
    async with open_history(f"sqlite:///{path}") as history:
        history.record(Machine({"On": State()}, id="m", tags=[tag]))


def test_a_place_that_is_named_may_be_a_file_that_is_not_there(tmp_path: Path) -> None:
    with place_for(str(tmp_path / "new.db")) as url:
        assert url == f"sqlite:///{tmp_path / 'new.db'}"
    assert not (tmp_path / "new.db").exists()


async def test_a_history_that_is_there_is_not_recorded_into(tmp_path: Path) -> None:
    await recorded(tmp_path / "old.db", "flight")
    with (
        pytest.raises(PlaceError, match=r"there is a history of 1 machines at .*old\.db already"),
        place_for(str(tmp_path / "old.db")),
    ):
        pass


async def test_the_default_place_is_made_anew_and_nobody_else_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    path = tmp_path / "asyncmachine" / NAME
    await recorded(path, "flight")
    with place_for(None) as url:
        assert url == f"sqlite:///{path}"
        assert not path.exists()
        with pytest.raises(PlaceError, match=f"another demo records in {path}"), place_for(None):
            pass


@pytest.mark.parametrize("content", ["machines of somebody", "text"])
async def test_what_is_not_ours_is_left_where_it_is(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    path = tmp_path / "asyncmachine" / NAME
    if content == "text":
        path.parent.mkdir()
        path.write_text("no database")
    else:
        await recorded(path, "somebody's")
    before = path.read_bytes()
    with pytest.raises(PlaceError, match="is not the history of a demo: move it away"), place_for(None):
        pass
    assert path.read_bytes() == before
