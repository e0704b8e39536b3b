"""Debian's chromium, as everything here starts it: tests, benchmarks, and what makes the pictures of the pages.

It is driven by playwright, which never downloads one of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PATH: Final = "/usr/bin/chromium"
MISSING: Final = "there is no chromium: apt-get install -y chromium"
#: It asks nobody for anything but the page: not for updates, not for lists of bad sites, and not by UDP.
FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def is_there() -> bool:
    """Tell whether it is installed."""
    return shutil.which(PATH) is not None


@contextmanager
def launched(*more: str) -> Iterator[Browser]:
    """Run it for as long as the block lasts, with a fresh profile. ``more``: flags beside the usual ones."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PATH, args=[*FLAGS, *more])
        try:
            yield browser
        finally:
            browser.close()
