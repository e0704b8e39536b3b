"""The process of which those of the airports are copies. This module loads nothing heavy itself."""

from __future__ import annotations

import multiprocessing
from multiprocessing import forkserver

PRELOAD = "asyncmachine.flights.process"


def warm_up() -> None:
    """Begin to load there what the airports need, while this process does something else."""
    multiprocessing.get_context("forkserver").set_forkserver_preload([PRELOAD])
    forkserver.ensure_running()
