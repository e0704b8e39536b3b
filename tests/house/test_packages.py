"""The wheel, the folders and the committed text agree with each other."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES: list[str] = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


def test_the_wheel_holds_exactly_the_folders_with_an_init() -> None:
    folders = {init.parent.name for init in ROOT.glob("*/__init__.py")}
    assert sorted(PACKAGES) == sorted(folders)


def test_the_floors_are_checked_for_every_package_of_the_wheel() -> None:
    assert sorted(PYPROJECT["tool"]["importlinter"]["root_packages"]) == sorted(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_tells_type_checkers_that_it_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").exists()


def test_no_init_stands_below_tests() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))
