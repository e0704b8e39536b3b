"""`docs/peers.md` runs, and names every counter that there is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import trio
import trio.lowlevel

from pubsub.opening import open_peer
from tests.pubsub.transports import PATIENCE

PAGE = Path(__file__).parents[2] / "docs" / "peers.md"


def test_the_first_program_of_the_page_runs(tmp_path: Path) -> None:
    program = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)[0]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert "Open" in done.stdout


async def test_the_page_names_every_counter() -> None:
    async with open_peer("doc") as peer:
        await trio.lowlevel.checkpoint()
        counters = peer.statistics()
    told: dict[str, set[str]] = {}
    part = ""
    for line in PAGE.read_text().split("## Counters")[1].split("## Measured")[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and "`" in cells[1]:
            part = cells[0] or part
            told.setdefault(part, set()).update(re.findall(r"`([^`]+)`", cells[1]))
    assert told == {part: set(names) for part, names in counters.items()}
