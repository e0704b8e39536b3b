"""FILE.py:NAME: machines, lists, functions and programs; and what is said of everything else."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncmachine.errors import TargetError
from asyncmachine.target import Loaded, load, parse_target
from machine import Machine

HOUSE = """
import asyncmachine as am

LAMP = am.Schema({"On": am.State()})
lamp = am.Machine(LAMP, id="lamp")
bell = am.Machine(LAMP, id="bell")
both = [lamp, bell]
twins = (lamp, am.Machine(LAMP, id="lamp"))
number = 3


def build():
    return both


def one():
    return am.Machine(LAMP, id="built")


def wants(peer):
    return both


def breaks():
    raise KeyError("lost")


def nothing():
    pass


async def program(peer):
    return ("program", peer)


async def with_history(peer, history):
    return (peer, history)


async def with_default(peer, speed=3):
    return (peer, speed)


async def with_keyword(peer, *, speed=3):
    return (peer, speed)


async def takes_none():
    pass


async def takes_three(peer, history, more):
    pass
"""


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    """Forget what a test has imported."""
    modules, path = dict(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    for name in sys.modules.keys() - modules.keys():
        del sys.modules[name]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    (tmp_path / "house.py").write_text(HOUSE)
    return tmp_path


def loaded(folder: Path, *texts: str) -> Loaded:
    return load([parse_target(text, folder) for text in texts])


def ids(machines: list[Machine]) -> list[str]:
    return [machine.id for machine in machines]


@pytest.mark.parametrize(
    ("name", "found"), [("lamp", ["lamp"]), ("both", ["lamp", "bell"]), ("build", ["lamp", "bell"]), ("one", ["built"])]
)
def test_a_name_gives_machines(name: str, found: list[str], house: Path) -> None:
    assert ids(loaded(house, f"house.py:{name}").machines) == found


def test_several_names_of_a_file_are_of_one_import(house: Path) -> None:
    both = loaded(house, "house.py:lamp", "house.py:both", f"{house}/house.py:build")
    assert ids(both.machines) == ["lamp", "bell"]


async def test_a_program_gets_the_peer_and_the_history_if_it_wants_that(house: Path) -> None:
    names = ("program", "with_history", "with_default", "with_keyword")
    programs = loaded(house, *[f"house.py:{name}" for name in names]).programs
    assert [name for name, _ in programs] == [f"{house}/house.py:{name}" for name in names]
    assert [await program("peer", "history") for _, program in programs] == [
        ("program", "peer"),
        ("peer", "history"),
        ("peer", 3),
        ("peer", 3),
    ]


WRONG = [
    ("house.py", "'house.py' names no machines: write FILE.py:NAME"),
    ("house.py:", "names no machines"),
    ("house.py:a.b", "names no machines"),
    ("garage.py:lamp", "there is no file {}/garage.py"),
    ("house.py:lmap", "has no 'lmap' — did you mean 'lamp'?"),
    ("house.py:zzzz", "has no 'zzzz'; there are: lamp, bell, build, one, "),
    ("house.py:number", "gives int 3: it should be a Machine, a list of them, or a function that returns them"),
    ("house.py:am", "gives module"),
    ("house.py:LAMP", "gives Schema"),
    ("house.py:nothing", "gives NoneType None"),
    ("house.py:twins", "two machines are called 'lamp'"),
    ("house.py:wants", "wants peer: a function that returns machines takes nothing"),
    ("house.py:breaks", "failed, line 25: KeyError: 'lost'"),
    ("house.py:takes_none", "takes (): it gets the peer, or the peer and the history"),
    ("house.py:takes_three", "takes (peer, history, more): it gets the peer"),
]


@pytest.mark.parametrize(("text", "told"), WRONG, ids=[text for text, _ in WRONG])
def test_what_gives_no_machines_is_told(text: str, told: str, house: Path) -> None:
    with pytest.raises(TargetError, match=re.escape(told.format(house))):
        loaded(house, text)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("x = 1\ny = 1 / 0\n", "line 2: cannot be imported: ZeroDivisionError: division by zero"),
        ("x = (\n", "line 1: cannot be imported: SyntaxError: '(' was never closed"),
        ("import nowhere_to_be_found\n", "line 1: cannot be imported: ModuleNotFoundError"),
        ("raise SystemExit(3)\n", "line 1: cannot be imported: SystemExit: 3"),
    ],
)
def test_a_file_that_cannot_be_imported_is_told_with_the_line(code: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(code)
    for _ in range(2):  # a second time as well
        with pytest.raises(TargetError, match=re.escape(told)):
            loaded(tmp_path, "broken.py:x")


def test_a_file_may_import_what_lies_beside_it_and_replaces_none_of_our_packages(tmp_path: Path) -> None:
    (tmp_path / "parts_of_a_house.py").write_text("WORD = 'lamp'\n")
    (tmp_path / "machine.py").write_text(
        "import asyncmachine as am\nfrom parts_of_a_house import WORD\n"
        "it = am.Machine(am.Schema({'On': am.State()}), id=WORD)\n"
    )
    before = sys.modules["machine"]
    (machine,) = loaded(tmp_path, "machine.py:it").machines
    assert machine.id == "lamp"
    assert sys.modules["machine"] is before
    assert isinstance(machine, Machine)


def test_no_python_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "house.txt").write_text("x = 1\n")
    with pytest.raises(TargetError, match=r"is no Python file: its name should end in \.py"):
        loaded(tmp_path, "house.txt:x")
