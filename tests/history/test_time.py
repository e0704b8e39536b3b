"""Moments as people write them, and the laws of hybrid logical time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history import HybridClock, LogicalTime, QuestionError, format_time, parse_when
from history.times import parse_span, to_datetime, to_ns

NOW = 1_360_195_200_000_000_000  # 2013-02-07T00:00Z
MINUTE = 60 * 10**9
INT64 = st.integers(-(1 << 62), (1 << 63) - 1)


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (None, NOW),
        ("now", NOW),
        (" NOW ", NOW),
        ("5m ago", NOW - 5 * MINUTE),
        ("1h30m ago", NOW - 90 * MINUTE),
        ("1 h 30 m ago", NOW - 90 * MINUTE),
        ("1.5s ago", NOW - 1_500_000_000),
        ("500ms ago", NOW - 500_000_000),
        ("2D AGO", NOW - 2 * 1440 * MINUTE),
        ("1w ago", NOW - 7 * 1440 * MINUTE),
        ("2013-02-07", NOW),
        ("2013-02-07T00:00Z", NOW),
        ("2013-02-07T01:00+01:00", NOW),
        ("2013-02-07 00:00:00.000001", NOW + 1000),
        (datetime(2013, 2, 7, tzinfo=UTC), NOW),
        (datetime(2013, 2, 6, 19, tzinfo=timezone(timedelta(hours=-5))), NOW),
        (timedelta(minutes=5), NOW - 5 * MINUTE),
        (0, 0),
        (NOW, NOW),
        ("@1234", LogicalTime(1234)),
        (LogicalTime(7, epoch=2), LogicalTime(7, 2)),
    ],
    ids=str,
)
def test_moments(when: Any, expected: object) -> None:
    assert parse_when(when, NOW) == expected


@pytest.mark.parametrize(
    "when", ["", "yesterday", "5 ago", "5m", "ago", "@", "@-3", "2013-13-01", "5x ago", True, 1.5, [], b"now"], ids=repr
)
def test_what_is_no_moment_is_refused_with_an_example(when: Any) -> None:
    with pytest.raises(QuestionError) as caught:
        parse_when(when, NOW)
    assert repr(when) in str(caught.value)
    assert "5m ago" in str(caught.value)


def test_a_datetime_without_a_zone_is_refused() -> None:
    with pytest.raises(QuestionError, match=r"2013-02-07T00:00:00 has no time zone: add one, such as tzinfo=UTC"):
        parse_when(datetime(2013, 2, 7), NOW)


@pytest.mark.parametrize(
    "when",
    [
        1 << 70,
        -(1 << 70),
        datetime.max.replace(tzinfo=UTC),
        datetime.min.replace(tzinfo=UTC),
        "9999999w ago",
        "9999-12-31",
        timedelta.max,
    ],
    ids=str,
)
def test_a_moment_beyond_what_a_database_counts_is_refused(when: Any) -> None:
    with pytest.raises(QuestionError, match="is beyond what can be recorded: the years 1678 to 2261"):
        parse_when(when, NOW)


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ("90d", 90 * 86_400 * 10**9),
        ("12H", 12 * 3600 * 10**9),
        ("1h30m", 5400 * 10**9),
        ("500 ms", 500_000_000),
        (timedelta(days=1), 86_400 * 10**9),
        (2, 2 * 10**9),
        (0.5, 500_000_000),
    ],
    ids=str,
)
def test_spans(span: Any, expected: int) -> None:
    assert parse_span(span) == expected


@pytest.mark.parametrize("span", ["", "90", "d", "90 days", "-5m", "5m ago", None, True, [], "1h, 2m"], ids=repr)
def test_what_is_no_span_is_refused_with_an_example(span: Any) -> None:
    with pytest.raises(QuestionError, match="is no span of time: write 90d, 12h"):
        parse_span(span)


@given(INT64)
def test_a_printed_moment_reads_as_the_same(at: int) -> None:
    text = format_time(at)
    if text.endswith("Z"):
        assert parse_when(text, NOW) == at


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_datetimes_go_and_come_back(moment: datetime) -> None:
    assert to_datetime(to_ns(moment)) == moment
    assert parse_when(moment.isoformat(), NOW) == to_ns(moment)


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (NOW + 1, "2013-02-07T00:00:00.000000001Z"),
        (NOW + 500_000_000, "2013-02-07T00:00:00.5Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
    ],
)
def test_a_moment_has_as_many_digits_as_it_needs(at: int, text: str) -> None:
    assert format_time(at) == text


def test_logical_times_print() -> None:
    assert str(LogicalTime(5)) == "@5"
    assert str(LogicalTime(5, 2)) == "@5 in epoch 2"


# -- hybrid logical time


class Jumping:
    """A wall clock that shows what it is told to, in turn, and then stands still."""

    def __init__(self, times: list[int]) -> None:
        self.times = times

    def __call__(self) -> int:
        return self.times.pop(0) if len(self.times) > 1 else self.times[0]


WALLS = st.lists(st.integers(NOW - 10**6, NOW + 10**6), min_size=1, max_size=30)


@given(WALLS, st.integers(1, 60))
def test_stamps_strictly_increase_whatever_the_wall_clock_does(walls: list[int], count: int) -> None:
    clock = HybridClock(Jumping(list(walls)))
    stamps = [clock.stamp() for _ in range(count)]
    assert all(a < b for a, b in pairwise(stamps))


@given(WALLS)
def test_stamps_are_the_wall_clock_while_it_goes_on(walls: list[int]) -> None:
    walls = sorted(set(walls))
    clock = HybridClock(Jumping(list(walls)))
    assert [clock.stamp() for _ in walls] == walls


@given(st.lists(st.one_of(st.none(), st.integers(NOW - 10**12, NOW + 10**12)), max_size=40), st.integers(0, 10**12))
def test_a_stamp_is_greater_than_every_stamp_that_was_taken_over(events: list[int | None], max_skew: int) -> None:
    clock = HybridClock(lambda: NOW, max_skew)
    seen, ignored = [0], 0
    for event in events:
        if event is None:
            stamp = clock.stamp()
            assert stamp > max(seen)
            seen.append(stamp)
        elif clock.observe(event):
            seen.append(event)
        else:
            ignored += 1
            assert event > NOW + max_skew
        assert clock.ignored == ignored
    assert clock.stamp() <= max(NOW, max(seen) + 1)


@given(WALLS, WALLS, st.lists(st.booleans(), min_size=1, max_size=60))
def test_an_effect_is_stamped_after_its_cause_across_clocks_that_differ(
    ones: list[int], others: list[int], turns: list[bool]
) -> None:
    clocks = HybridClock(Jumping(list(ones))), HybridClock(Jumping(list(others)))
    message = 0
    for turn in turns:
        clock = clocks[turn]
        assert clock.observe(message)
        stamp = clock.stamp()
        assert stamp > message
        message = stamp


def test_a_broken_clock_is_counted_and_not_believed() -> None:
    clock = HybridClock(lambda: NOW, max_skew=1000)
    assert clock.observe(NOW + 1000)
    assert not clock.observe(NOW + 1001)
    assert clock.ignored == 1
    assert clock.stamp() == NOW + 1001


@given(st.integers(0, (1 << 62)))
def test_an_earlier_life_is_believed_however_far_ahead_it_was(last: int) -> None:
    clock = HybridClock(lambda: NOW, max_skew=0)
    clock.resume(last)
    clock.resume(last - 1)
    assert clock.stamp() == max(NOW, last + 1)
    assert clock.now() == NOW
