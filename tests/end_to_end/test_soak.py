"""One minute of the soak: nothing is leaked, all replicas are equal in the end, and memory does not run away."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"
SLACK = 15.0  # % of growth in half a minute, at an age when a peer still learns: it is about a leak that shows at once


def test_five_peers_leak_nothing_in_a_minute_of_changes_and_are_equal_in_the_end() -> None:
    command = [sys.executable, str(SOAK), "--minutes", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout, done.stderr  # else it says what was not equal, or which peer has ended
    told = json.loads(done.stdout)["figures"]
    figures = {figure["name"].strip(): figure["value"] for figure in told}
    for what in ("tasks", "threads", "descriptors"):
        assert figures[f"{what} that a peer has more at the end"] <= 0, figures
    grown = [figure["value"] for figure in told if "growth in the second half" in figure["name"]]
    assert grown
    assert all(share < SLACK for share in grown), figures
    assert "all replicas equal after the last change" in figures
