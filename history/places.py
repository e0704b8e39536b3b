"""Where files go by default."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def data_directory() -> Path:
    """Return the user's data directory for this program, by the conventions of the system; not created yet."""
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "asyncmachine"
