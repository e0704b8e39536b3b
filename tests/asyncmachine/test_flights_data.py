"""The flights of the package, and files that are none."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import pytest

from asyncmachine.flights.data import COLUMNS, HOUR, MINUTE, DataError, read_legs
from asyncmachine.flights.timeline import Kind, events_of, timeline

HEADER = ",".join(COLUMNS)
LINE = "2013-02-07T10:00Z,2013-02-07T09:58Z,2013-02-07T11:48Z,2013-02-07T11:42Z,US,1117,N165US,EWR,CLT,529"


def test_the_package_has_the_flights_of_the_blizzard() -> None:
    legs = read_legs()
    assert len(legs) == 3375
    assert sum(leg.departed is None for leg in legs) == 895
    assert Counter(leg.origin for leg in legs) == {"EWR": 1213, "JFK": 1176, "LGA": 986}
    assert legs[0].id == "US1117-EWR-20130207T1000"


@pytest.mark.parametrize("pack", [False, True], ids=["as it is", "gzip"])
def test_a_file_is_read_with_its_columns_in_any_order(tmp_path: Path, pack: bool) -> None:
    columns, values = reversed(COLUMNS), reversed(LINE.split(","))
    text = f"{','.join(columns)},more\n{','.join(values)},?\n\n".encode()
    path = tmp_path / "flights.csv"
    path.write_bytes(gzip.compress(text) if pack else text)
    (leg,) = read_legs(path)
    assert (leg.carrier, leg.number, leg.aircraft, leg.origin, leg.destination) == (
        "US",
        "1117",
        "N165US",
        "EWR",
        "CLT",
    )
    assert leg.miles == 529
    assert leg.landed is not None
    assert leg.landed - leg.scheduled == 102 * MINUTE


def change(column: str, value: str) -> str:
    fields = LINE.split(",")
    fields[COLUMNS.index(column)] = value
    return ",".join(fields)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: no column sched_dep, dep"),
        (HEADER.replace("tailnum", "tail"), "line 1: no column tailnum; there should be sched_dep,"),
        (HEADER, "has no flights in it"),
        (f"{HEADER}\n{LINE}\n{LINE}", "line 3: US1117-EWR-20130207T1000 was in line 2 already"),
        (f"{HEADER}\n{LINE},1", "line 2: 11 fields, but line 1 names 10"),
        (f'{HEADER}\n{LINE[:-3]}"529" ', "line 2: "),
        (f"{HEADER}\n{change('sched_dep', '7 Feb')}", "line 2: sched_dep is '7 Feb': a time such as"),
        (f"{HEADER}\n{change('dep', '2013-02-07T09:58')}", "line 2: dep is '2013-02-07T09:58'"),
        (f"{HEADER}\n{change('sched_arr', '2013-02-07T10:00Z')}", "is not after sched_dep"),
        (f"{HEADER}\n{change('dep', '')}", "which is not after dep, which is empty"),
        (f"{HEADER}\n{change('carrier', 'U S')}", "carrier is 'U S'"),
        (f"{HEADER}\n{change('origin', '')}", "origin is ''"),
        (f"{HEADER}\n{change('tailnum', 'N-1')}", "tailnum is 'N-1'"),
        (f"{HEADER}\n{change('distance_mi', '-5')}", "distance_mi is '-5'"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "flights.csv"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_legs(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(("content", "message"), [(b"\x1f\x8b\x08broken", "is broken"), (b"\xff\xfe", "UTF-8")])
def test_bytes_that_are_no_text_are_said_to_be_none(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "flights.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_legs(path)


def test_a_file_that_is_not_there_is_said_not_to_be(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv cannot be read: No such file"):
        read_legs(tmp_path / "none.csv")


def test_each_flight_appears_first_and_is_retired_last() -> None:
    for leg in read_legs():
        kinds = [event.kind for event in events_of(leg)]
        assert kinds[0] is Kind.APPEAR
        assert kinds[-1] is Kind.RETIRE
        assert sum(kind in (Kind.LAND, Kind.DIVERT, Kind.CANCEL) for kind in kinds) == 1


def test_the_timeline_is_in_order_and_whole() -> None:
    legs = read_legs()
    events = timeline(reversed(legs))
    assert [event.at for event in events] == sorted(event.at for event in events)
    counts = Counter(event.kind for event in events)
    assert counts[Kind.APPEAR] == counts[Kind.RETIRE] == counts[Kind.OVERDUE] == 3375
    assert (counts[Kind.LAND], counts[Kind.DIVERT], counts[Kind.CANCEL]) == (2472, 8, 895)
    assert events[-1].at - events[0].at == 99 * HOUR + 55 * MINUTE
