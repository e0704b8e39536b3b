"""The process of which those of the airports are copies. This module loads nothing heavy itself."""

from __future__ import annotations

import multiprocessing
import signal
from multiprocessing import forkserver

PRELOAD = "asyncmachine.flights.process"


def warm_up() -> None:
    """Begin to load there what the airports need, while this process does something else."""
    multiprocessing.get_context("forkserver").set_forkserver_preload([PRELOAD])
    # a Ctrl-C on the terminal goes to all processes there; this one ends when ours does, and without a word
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)
