"""The detector notices silence in time, and is patient with links that lose frames."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pubsub.boundary import SECOND
from pubsub.detector import AGAIN, FIRST_MEAN, MAX_LIMIT, OFTEN, PING, THRESHOLD, Detector, Detectors

RTT = SECOND // 10


def silence_until(detector: Detector, phi: float = THRESHOLD) -> float:
    """Return after how many seconds of silence phi is above a value."""
    at = detector.last
    while detector.phi(at) <= phi:
        at += SECOND // 100
    return (at - detector.last) / SECOND


def test_a_link_that_always_answers_is_given_up_after_eight_seconds() -> None:
    detector = Detector(0)
    for n in range(1, 200):
        detector.heard(n * (PING + RTT))
    assert silence_until(detector) == pytest.approx(8, abs=0.3)


def test_a_new_link_is_given_up_as_soon() -> None:
    assert silence_until(Detector(0)) == pytest.approx(8, abs=0.3)


def test_a_busy_link_teaches_no_impatience() -> None:
    detector, now = Detector(0), 0
    for _ in range(10_000):
        now += 10_000
        detector.heard(now)
    assert silence_until(detector) == pytest.approx(8, abs=0.3)


def test_a_slow_link_teaches_patience() -> None:
    detector, now = Detector(0), 0
    for _ in range(100):
        now += PING + 2 * SECOND + (SECOND // 2 if now % 2 else 0)
        detector.heard(now)
    assert silence_until(detector) > 9


def test_the_limit_is_where_phi_passes_the_threshold() -> None:
    detector = Detector(0)
    assert detector.phi(detector.limit) == pytest.approx(THRESHOLD, abs=0.01)
    assert not detector.is_silent(detector.limit)
    assert detector.is_silent(detector.limit + 1)
    assert detector.phi(10**12) == 300
    assert detector.phi(FIRST_MEAN) == pytest.approx(0.3, abs=0.01)


@given(st.lists(st.integers(0, 10**10), max_size=60))
def test_phi_grows_with_silence_whatever_was_heard(pauses: list[int]) -> None:
    detector, now = Detector(0), 0
    for pause in pauses:
        now += pause
        detector.heard(now)
    phis = [detector.phi(now + n * SECOND // 4) for n in range(80)]
    assert phis == sorted(phis)
    assert detector.limit > PING
    assert detector.limit <= MAX_LIMIT


def test_nobody_teaches_it_to_wait_for_ever() -> None:
    """Whoever answers at the last moment each time is given up after half a minute all the same."""
    detector, now = Detector(0), 0
    for _ in range(1000):
        now += detector.limit
        assert not detector.is_silent(now)
        detector.heard(now)
    assert detector.limit == MAX_LIMIT
    assert detector.is_silent(now + MAX_LIMIT + 1)


def lossy(seed: int, loss: float, seconds: int) -> int:
    """Run one idle link whose pings and answers are lost, and return how often it is given up."""
    rng = random.Random(seed)
    detectors: Detectors[int] = Detectors()
    detector, given_up = detectors.link_up(0, 0), 0
    answers: list[int] = []
    now = 0
    while now < seconds * SECOND:
        now = min([detectors.due, *answers])
        if now in answers:
            answers.remove(now)
            detector.heard(now)
            continue
        ask, silent = detectors.look(now)
        if silent:
            given_up += 1
            detectors.link_down(0)
            detector = detectors.link_up(0, now)
        if ask and rng.random() > loss and rng.random() > loss:
            answers.append(now + RTT)
    return given_up


def test_a_tenth_of_all_frames_may_be_lost(seed: int) -> None:
    assert sum(lossy(seed + n, 0.1, 3600) for n in range(10)) <= 3  # in ten hours of one idle link


def test_two_fifths_of_all_frames_may_be_lost(seed: int) -> None:
    assert sum(lossy(seed + n, 0.4, 3600) for n in range(10)) <= 3


def test_half_of_all_frames_may_be_lost_most_of_the_time(seed: int) -> None:
    assert sum(lossy(seed + n, 0.5, 3600) for n in range(10)) <= 10


# -- all links together


def test_who_is_heard_is_not_asked() -> None:
    detectors: Detectors[str] = Detectors()
    detector = detectors.link_up("anna", 0)
    for now in range(0, 60 * SECOND, SECOND):
        detector.heard(now)
        if detectors.due <= now:
            assert detectors.look(now) == ([], [])
    assert detectors.pings == 0


def test_who_has_answered_is_asked_at_leisure_again() -> None:
    detectors: Detectors[str] = Detectors()
    detectors.link_up("anna", 0)
    for begin in (0, 7 * SECOND):
        asked: list[int] = []
        while len(asked) < 3:
            now = detectors.due
            asked += [now for _ in detectors.look(now)[0]]
        assert asked == [begin + PING, begin + PING + AGAIN, begin + PING + AGAIN + AGAIN // 2]
        detectors.heard("anna", begin + 7 * SECOND)


def test_who_is_silent_is_asked_more_and_more_often_and_then_given_up() -> None:
    detectors: Detectors[str] = Detectors()
    detectors.link_up("anna", 0)
    asked: list[int] = []
    silent: list[str] = []
    now = 0
    while not silent:
        now = detectors.due
        ask, silent = detectors.look(now)
        asked += [now for _ in ask]
    pauses = [after - before for before, after in itertools.pairwise(asked)]
    assert pauses[:5] == [AGAIN, AGAIN // 2, AGAIN // 4, AGAIN // 8, OFTEN]
    assert set(pauses[4:]) == {OFTEN}
    assert asked[0] == PING
    assert len(asked) >= 40
    assert now == pytest.approx(8 * SECOND, abs=0.3 * SECOND)


def test_each_link_is_looked_at_for_itself() -> None:
    detectors: Detectors[str] = Detectors()
    anna, _ = detectors.link_up("anna", 0), detectors.link_up("ben", SECOND)
    detectors.heard("anna", 4 * SECOND)
    assert anna.last == 4 * SECOND
    assert detectors.look(detectors.due) == ([], [])
    assert detectors.due == 6 * SECOND
    assert detectors.look(6 * SECOND) == (["ben"], [])
    detectors.link_down("ben")
    assert len(detectors) == 1
    assert detectors.look(10 * SECOND) == (["anna"], [])


def test_who_was_asleep_blames_nobody() -> None:
    detectors: Detectors[str] = Detectors()
    detectors.link_up("anna", 0)
    assert detectors.look(3600 * SECOND) == (["anna"], [])
    assert detectors.stalls == 1


def test_nobody_is_asked_where_nobody_is() -> None:
    detectors: Detectors[str] = Detectors()
    assert detectors.look(SECOND) == ([], [])
    assert detectors.due > 10**15
