"""Ticks are encoded in the shorter one of their two forms, and in no other."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pubsub.record import DENSE, MAX_STATES, Part
from pubsub.wire import varints


def both(part: Part) -> tuple[bytes, bytes]:
    """Return the ticks of a part as sparse, and as dense ones."""
    states = [-1, *[state for state, _ in part.ticks]]
    gaps = [later - state - 1 for state, later in pairwise(states)]
    pairs = [item for gap, (_, tick) in zip(gaps, part.ticks, strict=True) for item in (gap, tick)]
    vector = [0] * (states[-1] + 1)
    for state, tick in part.ticks:
        vector[state] = tick
    return varints((len(part.ticks), *pairs)), varints((len(vector), *vector))


def check(gaps: list[int], ticks: list[int]) -> bool:
    """Check the form that is taken; return whether it is the dense one."""
    listed, state = [], -1
    for at, gap in enumerate(gaps):
        state += gap + 1
        listed.append((state, ticks[at % len(ticks)]))
    part = Part(0, tuple(listed))
    sparse, dense = both(part)
    is_dense = len(dense) < len(sparse)
    assert part.encode() == b"\0" + bytes((DENSE if is_dense else 0,)) + b"\0" + (dense if is_dense else sparse)
    return is_dense


@given(
    st.lists(st.integers(0, 3) | st.sampled_from((126, 127, 128, 129)), max_size=30),
    st.lists(st.integers(1, 2**53 - 1), min_size=1, max_size=5),
)
def test_the_shorter_form_is_taken(gaps: list[int], ticks: list[int]) -> None:
    check(gaps, ticks)


@pytest.mark.parametrize("count", [127, 128, 129, 255, 256, 300, 900])
def test_the_shorter_form_is_taken_where_they_are_nearly_as_long(count: int) -> None:
    seen = set()
    for wide in range(5):
        for size in (127, 128, 129):
            for single in range(count - wide):
                gaps = [size] * wide + [1] * single + [0] * (count - wide - single)
                if sum(gaps) + count <= MAX_STATES and abs(sum(gaps) - count) < 5:
                    seen.add(check(gaps, [1]))
    assert seen == {True, False}
