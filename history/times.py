"""Moments as people write them: ``2013-02-09T02:00Z``, ``5m ago``, ``now``, ``@1234`` (a machine time)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from history.errors import QuestionError

_UNITS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9, "w": 7 * 86400 * 10**9}
_AGO = re.compile(r"((?:\d+(?:\.\d+)?\s*(?:ms|[smhdw])\s*)+)\s*ago", re.IGNORECASE)
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[smhdw])", re.IGNORECASE)
_FRACTION = re.compile(r"(?<=:\d\d[.,])(\d{6})(\d{1,3})(?!\d)")  # what datetime cannot hold: ns
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = -(1 << 63), (1 << 63) - 1  # what a 64-bit column can hold: 1677 to 2262


@dataclass(frozen=True, slots=True)
class LogicalTime:
    """A moment by a machine's own clock: when its time first reached `time_sum`, in `epoch` (None: any)."""

    time_sum: int
    epoch: int | None = None

    def __str__(self) -> str:
        return f"@{self.time_sum}" if self.epoch is None else f"@{self.time_sum} in epoch {self.epoch}"


When = datetime | timedelta | int | str | LogicalTime


def to_ns(moment: datetime) -> int:
    """Return a datetime as ns since 1970. Without a zone it is refused: it means another moment elsewhere."""
    if moment.tzinfo is None:
        raise QuestionError(f"{moment.isoformat()} has no time zone: add one, such as tzinfo=UTC")
    span = moment - _EPOCH
    return (span.days * 86400 + span.seconds) * 10**9 + span.microseconds * 1000


def to_datetime(at: int) -> datetime:
    """Return ns since 1970 as a datetime in UTC, cut to microseconds."""
    return _EPOCH + timedelta(microseconds=at // 1000)


def format_time(at: int) -> str:
    """Return ns since 1970 as ISO 8601 in UTC, with as many digits as it needs."""
    try:
        moment = to_datetime(at)
    except OverflowError:
        return f"{at} ns"
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{at % 10**9:09d}".rstrip("0")
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"


def parse_when(when: When | None, now: int) -> int | LogicalTime:
    """Return a moment as ns since 1970, or as a logical time.

    Args:
        when: a datetime with a zone, a timedelta before now, ns, a `LogicalTime`, None for now, or a text: ISO 8601
            (UTC if it has no zone), ``5m ago``, ``1h30m ago``, ``now``, ``@TIME`` for a machine time.
        now: ns since 1970.

    Raises:
        QuestionError: it is none of these.
    """
    if when is None:
        return now
    if isinstance(when, bool):
        raise QuestionError(f"{when!r} is no moment: {_HINT}")
    if isinstance(when, LogicalTime):
        return when
    if isinstance(when, int):
        return _checked(when, when)
    if isinstance(when, timedelta):
        return _checked(now - (when // timedelta(microseconds=1)) * 1000, when)
    if isinstance(when, datetime):
        return _checked(to_ns(when), when)
    if not isinstance(when, str):
        raise QuestionError(f"{when!r} is no moment: {_HINT}")
    moment = _parse_text(when.strip(), now)
    return moment if isinstance(moment, LogicalTime) else _checked(moment, when)


def _checked(at: int, when: object) -> int:
    if _FIRST <= at <= _LAST:
        return at
    raise QuestionError(f"{when!s} is beyond what can be recorded: the years 1678 to 2261")


_HINT = "write 2013-02-09T02:00Z, '5m ago', now, or @1234 for a machine time"


def _parse_text(text: str, now: int) -> int | LogicalTime:
    if text.lower() == "now":
        return now
    if re.fullmatch(r"@\d+", text):
        return LogicalTime(int(text[1:]))
    if ago := _AGO.fullmatch(text):
        return now - sum(int(float(n) * _UNITS[u.lower()]) for n, u in _SPAN.findall(ago[1]))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise QuestionError(f"{text!r} is no moment: {_HINT}") from None
    fraction = _FRACTION.search(text)
    beyond = int(fraction[2].ljust(3, "0")) if fraction else 0  # so that what `format_time` wrote is read as it was
    return to_ns(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) + beyond


def parse_span(text: str | timedelta | float) -> int:
    """Return a span such as ``90d``, ``1h30m``, a timedelta or seconds, in ns."""
    if isinstance(text, timedelta):
        return (text // timedelta(microseconds=1)) * 1000
    if isinstance(text, int | float) and not isinstance(text, bool):
        return int(text * 10**9)
    parts = _SPAN.findall(text) if isinstance(text, str) else []
    if not parts or _SPAN.sub("", str(text)).strip():
        raise QuestionError(f"{text!r} is no span of time: write 90d, 12h, 1h30m, 500ms")
    return sum(int(float(n) * _UNITS[u.lower()]) for n, u in parts)
