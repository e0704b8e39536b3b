"""`import asyncmachine as am` reaches everything public and loads nothing heavy."""

import subprocess
import sys
from types import ModuleType

import pytest

import asyncmachine
import history
import machine

#: Loaded at the point of use: libp2p alone takes a second.
HEAVY = {"libp2p", "rich", "click", "sqlalchemy", "trio", "history"}


@pytest.mark.parametrize("package", [machine, history], ids=lambda package: package.__name__)
def test_every_public_name_is_the_same_object_at_the_front_door(package: ModuleType) -> None:
    strangers = [
        name
        for name in package.__all__
        if getattr(asyncmachine, name, None) is not getattr(package, name) or name not in asyncmachine.__all__
    ]
    assert strangers == []


def test_no_two_packages_have_a_public_name_in_common() -> None:
    assert set(machine.__all__) & set(history.__all__) == set()


def test_the_front_door_promises_only_what_it_has() -> None:
    assert [name for name in asyncmachine.__all__ if not hasattr(asyncmachine, name)] == []
    assert set(asyncmachine.__all__) <= set(dir(asyncmachine))


def test_a_name_that_nobody_has_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Histroy"):
        _ = asyncmachine.Histroy  # type: ignore[attr-defined]


def test_importing_the_front_door_loads_nothing_heavy() -> None:
    program = "import sys, asyncmachine; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert HEAVY & set(loaded.stdout.split()) == set()


def test_a_record_of_history_costs_no_database() -> None:
    program = "import sys, asyncmachine; asyncmachine.open_history; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "history" in loaded.stdout.split()
    assert "sqlalchemy" not in loaded.stdout.split()
