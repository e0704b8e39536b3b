"""`docs/graph.md` runs: its blocks of Python, in order, in one session; and its command lines are commands."""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from asyncmachine.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "graph.md"
TEXT = PAGE.read_text()


def test_all_blocks_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    blocks = re.findall(r"```(python|pycon)\n(.*?)```", TEXT, re.DOTALL)
    assert {kind for kind, _ in blocks} == {"python", "pycon"}
    for kind, block in blocks:
        if kind == "python":
            exec(compile(block, str(PAGE), "exec", dont_inherit=True), names)
            continue
        part = doctest.DocTestParser().get_doctest(block, names, "graph.md", str(PAGE), 0)
        told: list[str] = []
        result = runner.run(part, out=told.append, clear_globs=False)
        names = part.globs
        assert result.failed == 0, "".join(told)


def test_the_commands_of_the_page_are_commands(tmp_path: Path) -> None:
    commands = re.findall(r"^\$ am (graph .*?)(?: +#.*)?$", TEXT, re.MULTILINE)
    assert len(commands) > 5
    for command in commands:
        words = shlex.split(command.replace("house.db", str(tmp_path / "house.db")))
        result = CliRunner().invoke(main, words)
        assert "there is no history at" in result.stderr, command
