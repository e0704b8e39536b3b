"""The name of the code that decides a run: it changes with what runs, and with nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from simulations.errors import SetupError
from simulations.sources import code, code_of

FILES = {
    "engine/__init__.py": "",
    "engine/main.py": '"""Run."""\nfrom wire import bytes_of\nfrom engine.parts import wheel\nimport json\n',
    "engine/parts/__init__.py": "",
    "engine/parts/wheel.py": "def turn():\n    from wire.deep import hidden\n    return hidden\n",
    "engine/report.py": "from engine import main\n",
    "wire/__init__.py": "def bytes_of(): return b''\n",
    "wire/deep.py": "hidden = 1\n",
}


Named = Callable[..., str]


@pytest.fixture
def named(tmp_path: Path) -> Named:
    """Return what names the code of the files, after some of them were written anew."""
    folders = {"engine": tmp_path / "engine", "wire": tmp_path / "wire"}

    def name(**changes: str) -> str:
        for path, text in (FILES | {path.replace("__", "/") + ".py": text for path, text in changes.items()}).items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        return code_of(folders, "engine.main")

    return name


def test_it_changes_with_all_that_is_imported_however_far_away(named: Named) -> None:
    before = named()
    assert named() == before
    assert named(wire__deep="hidden = 2\n") != before
    assert named(engine__parts__wheel="def turn(): pass\n") != before
    assert named(engine__main=FILES["engine/main.py"] + "x = 1\n") != before
    assert named() == before


def test_it_does_not_change_with_what_does_not_run(named: Named) -> None:
    before = named()
    assert named(engine__report="from engine import main\nprint(main)\n") == before
    assert named(wire__deep='"""Deep."""\n\n# one\nhidden = (\n    1\n)\n') == before
    assert named(engine__main=FILES["engine/main.py"].replace("Run.", "Run it.")) == before


def test_a_file_that_is_no_python_is_named(named: Named) -> None:
    with pytest.raises(SetupError, match=r"deep\.py cannot be read"):
        named(wire__deep="def")


def test_each_process_gives_the_same_name() -> None:
    told = {
        subprocess.run(
            [sys.executable, "-c", "from simulations.sources import code; print(code())"],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
        ).stdout.strip()
        for seed in ("0", "1")
    }
    assert told == {code()}
