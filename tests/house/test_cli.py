"""The command `am`, run as a user runs it: in a process of its own."""

import subprocess
import sys
from pathlib import Path

import asyncmachine

AM = Path(sys.executable).with_name("am")


def am(*arguments: str) -> str:
    """Return what `am` prints; a leaving code other than 0 is an error that shows what it said."""
    done = subprocess.run([AM, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_tells_its_version() -> None:
    assert asyncmachine.__version__ in am("--version")


def test_help_lists_the_commands() -> None:
    assert "demo" in am("--help")


def test_help_imports_no_command() -> None:
    program = (
        "import sys; from asyncmachine.cli import main; main(['--help'], standalone_mode=False);"
        "print(*(name for name in sys.modules if name in {'asyncmachine.demo', 'rich', 'trio'}), sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "asyncmachine.demo" not in done.stdout.split()
    assert {"rich", "trio"} & set(done.stdout.split()) == set()


def test_an_unknown_command_is_the_users_error() -> None:
    done = subprocess.run([AM, "nothing"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "nothing" in done.stderr
    assert "Traceback" not in done.stderr
