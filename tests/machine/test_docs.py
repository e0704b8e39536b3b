"""What docs/ and examples/ say about machines is true today.

The code of the pages runs in tests/house/test_text.py, with that of all documents.
"""

import re
import runpy
from functools import reduce
from pathlib import Path

import pytest

import asyncmachine

ROOT = Path(__file__).parents[2]
FROM_GO = ROOT / "docs" / "from-go.md"


def rows() -> list[list[str]]:
    """Return the cells of all tables of the page, without headings."""
    lines = [line for line in FROM_GO.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if not line.startswith("| Go |")]


def ours() -> list[str]:
    """Return the names of the middle column."""
    return [name for _, here, _ in rows() for name in re.findall(r"`([^`]+)`", here)]


def exists(name: str) -> bool:
    """Tell whether `Machine.add`, say, is there at the front door."""
    try:
        reduce(getattr, name.split("."), asyncmachine)
    except AttributeError:
        return False
    return True


def test_every_name_of_ours_in_the_table_exists() -> None:
    assert [name for name in ours() if not exists(name)] == []


def test_each_row_names_ours_or_says_why_there_is_nothing() -> None:
    assert len(rows()) > 100
    assert [row for row in rows() if row[1] == "—" and not row[2]] == []


def run(example: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Run a script of examples/ as `python examples/….py` does, and return the lines that it prints."""
    runpy.run_path(str(ROOT / "examples" / f"{example}.py"), run_name="__main__")
    return capsys.readouterr().out.splitlines()


def test_the_turnstile_lets_through_who_has_paid(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("turnstile", capsys) == [
        "Push: canceled, now (Locked:1) [Unlocked:0 Coin:0 Push:0 Exception:0]",
        "Coin: executed, now (Unlocked:1) [Locked:2 Coin:2 Push:0 Exception:0]",
        "Coin: executed, now (Unlocked:1) [Locked:2 Coin:4 Push:0 Exception:0]",
        "Push: executed, now (Locked:3) [Unlocked:2 Coin:4 Push:2 Exception:0]",
        "Push: canceled, now (Locked:3) [Unlocked:2 Coin:4 Push:2 Exception:0]",
        "2 coins, 1 passed",
    ]


def test_the_downloader_retries_and_can_be_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("downloader", capsys) == [
        "  wait: the server is down",
        "  wait: the server is down",
        "  done: 'contents of small.txt' at attempt 3",
        "waited until (Start:1 Done:1)",
        "stopped: () [Exception:4 Start:2 Loading:8 Done:2 Waiting:4]",
        "  load: cancelled",
        "disposed: True",
    ]


def test_smoke_calls_the_brigade_unless_the_alarm_is_muted(capsys: pytest.CaptureFixture[str]) -> None:
    printed = run("pipes", capsys)
    assert printed[:3] == [
        "sensor:0:0 add Smoke: +Smoke",
        "alarm:0:0 add Ringing: +Ringing   because of sensor:0:0",
        "brigade:0:0 add Called: +Called   because of alarm:0:0",
    ]
    assert "Ringing removed by Muted" in printed[-4]
    assert printed[-1] == "brigade: (Called:1), fed by 1 pipes"


def test_the_crossing_refuses_what_is_not_safe_and_pipes_do_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    printed = run("crossing", capsys)
    assert [line for line in printed if "canceled" in line] == [
        "  (Near:1)                  train:0:2 add Passing: canceled by relations (Passing lacks Go)",
        "  (Alert:1 Closed:1)        gate:0:4 add Open: canceled by relations "
        "(Closed removed by Open, Open removed by Alert)",
    ]
    assert "  (Near:1 Go:1)             train:0:3 add Go: +Go, by gate" in printed
    assert printed[-1] == "  (Away:3)                  train:0:6 remove Go: -Go, by gate"
