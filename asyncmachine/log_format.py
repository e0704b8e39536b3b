"""The log of a service: a line a message on stderr, as text or as a JSON object.

Keys of an object: ``time`` (ISO 8601, UTC), ``level``, ``logger``, ``message``, and ``error`` with a traceback where
there is one.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from asyncmachine.config import LogFormat, LogLevel

#: Libraries that tell what they do; of them only warnings are shown, unless all is.
CHATTY: Final = ("alembic", "hypercorn", "sqlalchemy", "zeroconf")
#: libp2p logs as an error what is one for the network only, and our transport counts it.
NOISY: Final = ("libp2p", "multiaddr")


class JsonFormatter(logging.Formatter):
    """Write a message as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


class TextFormatter(logging.Formatter):
    """Write a message for people: time, level, logger, text; a traceback on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines."""
        message = record.getMessage()
        if not message.isprintable():  # names come from other people's machines: one message is one line
            message = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in message)
        line = f"{_time(record)} {record.levelname.lower():<7} {record.name}: {message}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _time(record: logging.LogRecord) -> str:
    from history.times import format_time

    return format_time(int(record.created * 1000) * 1_000_000)


@contextmanager
def logged(format: LogFormat, level: LogLevel) -> Iterator[None]:
    """Send the log of this process to stderr, from a level on, for as long as the block lasts."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    levels: dict[str, int | str] = {"": level.upper()}  # "" is the root
    if level != "debug":
        levels |= dict.fromkeys(CHATTY, logging.WARNING) | dict.fromkeys(NOISY, logging.CRITICAL)
    before = {name: logging.getLogger(name).level for name in levels}
    for name, chosen in levels.items():
        logging.getLogger(name).setLevel(chosen)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
        for name, was in before.items():
            logging.getLogger(name).setLevel(was)
