"""The command lines of `docs/graph.md` are commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from click.testing import CliRunner

from asyncmachine.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "graph.md"
TEXT = PAGE.read_text()


def test_the_commands_of_the_page_are_commands(tmp_path: Path) -> None:
    commands = re.findall(r"^\$ am (graph .*?)(?: +#.*)?$", TEXT, re.MULTILINE)
    assert len(commands) > 5
    for command in commands:
        words = shlex.split(command.replace("house.db", str(tmp_path / "house.db")))
        result = CliRunner().invoke(main, words)
        assert "there is no history at" in result.stderr, command
