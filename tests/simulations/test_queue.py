"""The queue of events: in order of ticks, first in first out within one, near and far alike."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from simulations.queue import SLOTS, Queue

TIMES = st.one_of(st.integers(0, 50), st.integers(0, 3 * SLOTS), st.integers(SLOTS - 2, SLOTS + 2))


def drain(queue: Queue[int], last: int) -> list[tuple[int, int]]:
    done = []
    while (bucket := queue.advance(last)) is not None:
        done += [(queue.tick, event) for event in bucket]
    return done


@given(st.lists(TIMES, max_size=40), st.integers(1, 7))
def test_events_come_in_the_order_of_their_ticks_and_then_of_their_pushes(times: list[int], tick_us: int) -> None:
    queue: Queue[int] = Queue(tick_us)
    for number, at in enumerate(times):
        queue.push(at, number)
    expected = sorted((-(-at // tick_us), number) for number, at in enumerate(times))
    assert sorted(queue) == list(range(len(times)))
    assert drain(queue, 4 * SLOTS) == expected
    assert list(queue) == []


@given(st.lists(st.tuples(TIMES, TIMES), min_size=1, max_size=40))
def test_what_is_pushed_while_events_are_worked_off_finds_its_place_as_well(pairs: list[tuple[int, int]]) -> None:
    queue: Queue[tuple[int, int]] = Queue(1)
    order = 0
    expected = []
    for first, _ in pairs:
        queue.push(first, (first, order))
        order += 1
    followers = {number: later for number, (_, later) in enumerate(pairs)}
    done = []
    while (bucket := queue.advance(8 * SLOTS)) is not None:
        for due, number in bucket:
            assert due == queue.tick
            done.append((due, number))
            if number in followers:
                queue.push(due + followers[number], (due + followers[number], order))
                expected.append((due + followers[number], order))
                order += 1
    expected += [(first, number) for number, (first, _) in enumerate(pairs)]
    assert done == sorted(expected)


@given(TIMES, st.lists(TIMES, max_size=20))
def test_nothing_is_lost_between_two_runs(pause: int, times: list[int]) -> None:
    queue: Queue[int] = Queue(1)
    for at in times:
        queue.push(at, at)
    before = drain(queue, pause)
    assert queue.tick == pause
    queue.push(pause, -1)
    after = drain(queue, 4 * SLOTS)
    assert after[0] == (pause, -1)
    assert [event for _, event in before + after[1:]] == sorted(times)


def test_what_is_late_happens_now() -> None:
    queue: Queue[str] = Queue(1)
    queue.advance(100)
    queue.push(50, "late")
    assert queue.advance(100) == ["late"]
    assert queue.advance(100) is None


def test_an_event_is_never_before_its_time() -> None:
    queue: Queue[str] = Queue(100)
    queue.push(101, "a")
    assert queue.advance(1) is None
    assert queue.advance(2) == ["a"]
