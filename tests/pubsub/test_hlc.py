"""The hybrid clock only goes forward, never far from the wall, and past all that it has seen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pubsub import HybridClock
from pubsub.hlc import COUNTER_BITS, MAX_SKEW_MS, stamp_of, wall_ms_of

NOON = 1_700_000_000_000
walls = st.integers(NOON - 10**6, NOON + 10**6)


class Wall:
    """A wall clock that somebody sets."""

    def __init__(self, ms: int = NOON) -> None:
        self.ms = ms

    def __call__(self) -> int:
        return self.ms


@given(walls, st.integers(0, (1 << COUNTER_BITS) - 1))
def test_a_stamp_holds_milliseconds_and_a_counter(ms: int, counter: int) -> None:
    assert wall_ms_of(stamp_of(ms, counter)) == ms
    assert stamp_of(ms, counter) < stamp_of(ms + 1)


@given(st.lists(st.tuples(walls, st.none() | walls)))
def test_stamps_increase_whatever_the_wall_clock_does_and_others_send(steps: list[tuple[int, int | None]]) -> None:
    wall = Wall()
    clock = HybridClock(wall)
    last = 0
    for ms, heard in steps:
        wall.ms = ms
        if heard is not None:
            clock.observe(stamp_of(heard))
        stamp = clock.stamp()
        assert stamp > last
        assert stamp >= stamp_of(ms)
        last = stamp


@given(walls, st.integers(0, 3))
def test_an_effect_is_stamped_after_its_cause(other: int, counter: int) -> None:
    clock = HybridClock(Wall())
    cause = stamp_of(other, counter)
    taken = clock.observe(cause)
    assert taken == (other <= NOON + MAX_SKEW_MS)
    assert clock.skewed == (not taken)
    if taken:
        assert clock.stamp() > cause


@given(st.lists(st.integers(0, (1 << 64) - 1)))
def test_nobody_moves_a_clock_further_than_the_allowed_skew(stamps: list[int]) -> None:
    clock = HybridClock(Wall(), max_skew_ms=500)
    for stamp in stamps:
        clock.observe(stamp)
    assert wall_ms_of(clock.last) <= NOON + 500
    assert clock.skewed == sum(wall_ms_of(s) > NOON + 500 for s in stamps)


def test_a_full_counter_runs_into_the_next_millisecond() -> None:
    clock = HybridClock(Wall())
    first = clock.stamp()
    clock.last = stamp_of(NOON, (1 << COUNTER_BITS) - 1)
    assert clock.stamp() == stamp_of(NOON + 1) > first


def test_a_clock_before_1970_still_goes_forward() -> None:
    clock = HybridClock(Wall(-5))
    assert 0 < clock.stamp() < clock.stamp()


def test_a_stamp_that_is_old_is_no_skew() -> None:
    clock = HybridClock(Wall())
    late = clock.stamp()
    assert clock.observe(late)
    assert clock.observe(0)
    assert clock.last == late
