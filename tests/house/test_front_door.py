"""`import asyncmachine as am` reaches everything public and loads nothing heavy."""

import subprocess
import sys

import asyncmachine
import machine

#: Loaded at the point of use: libp2p alone takes a second.
HEAVY = {"libp2p", "rich", "click", "sqlalchemy", "trio"}


def test_every_public_name_of_machine_is_the_same_object_at_the_front_door() -> None:
    strangers = [
        name
        for name in machine.__all__
        if getattr(asyncmachine, name, None) is not getattr(machine, name) or name not in asyncmachine.__all__
    ]
    assert strangers == []


def test_the_front_door_promises_only_what_it_has() -> None:
    assert [name for name in asyncmachine.__all__ if not hasattr(asyncmachine, name)] == []


def test_importing_the_front_door_loads_nothing_heavy() -> None:
    program = "import sys, asyncmachine; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert HEAVY & set(loaded.stdout.split()) == set()
