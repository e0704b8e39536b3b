"""The search for the first row that has come so far, against looking at each row in turn."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history.codec import Row
from history.memory import MemoryStore
from history.search import find_first
from history.store import Condition


class Counting(MemoryStore):
    """A store that counts how often it is looked at."""

    looks = 0

    def scan(
        self, machine_id: int, low: int, high: int, condition: Condition, limit: int, newest_first: bool
    ) -> list[Row]:
        self.looks += 1
        return super().scan(machine_id, low, high, condition, limit, newest_first)


def stored(steps: Sequence[tuple[int, int, int]]) -> tuple[Counting, list[Row]]:
    """Return a machine's rows: by how much later each is, in which epoch (relative), and how far it came."""
    store, at, epoch, time_sum = Counting(), 0, 1, 0
    rows = []
    for seq, (later, lives, ticks) in enumerate(steps):
        at, epoch, time_sum = at + later, epoch + lives, ticks if lives else time_sum + ticks
        rows.append((1, at, epoch, seq, 0, 0, 0, 0, None, time_sum, ticks, b"", None, None, None, None))
    store.write(rows, [])
    return store, store.scan(1, -1, at, Condition(), len(rows), False)


def find(store: MemoryStore, rows: list[Row], epoch: int, time_sum: int) -> Row | None:
    return find_first(
        store,
        1,
        (rows[0], rows[-1]),
        lambda row: (row.epoch, row.time_sum) >= (epoch, time_sum),
        lambda row: row.time_sum if row.epoch == epoch else None,
        time_sum,
    )


gaps = st.one_of(st.integers(1, 3), st.integers(1, 10**6), st.integers(10**12, 10**15))
steps = st.lists(
    st.tuples(gaps, st.sampled_from([0] * 20 + [1, 2]), st.sampled_from([0, 1, 1, 1, 2, 50])), min_size=1, max_size=80
)


@given(steps, st.integers(1, 5), st.integers(-1, 120))
def test_it_finds_the_row_that_looking_at_each_in_turn_finds(
    steps: list[tuple[int, int, int]], epoch: int, time_sum: int
) -> None:
    store, rows = stored(steps)
    expected = next((row for row in rows if (row.epoch, row.time_sum) >= (epoch, time_sum)), None)
    assert find(store, rows, epoch, time_sum) == expected


@pytest.mark.parametrize("time_sum", [2, 17, 5_000, 12_345, 19_998])
def test_it_looks_a_few_times_where_steps_are_regular(time_sum: int) -> None:
    store, rows = stored([(1000 + at % 7, 0, 1) for at in range(20_000)])
    store.looks = 0
    assert find(store, rows, 1, time_sum) is rows[time_sum - 1]
    assert store.looks <= 8


@pytest.mark.parametrize("time_sum", [2, 17, 1_000, 1_999, 2_000])
def test_it_halves_what_is_left_where_steps_say_nothing(time_sum: int) -> None:
    store, rows = stored([(1 if at % 20 else 10**15, 0, 1 if at % 3 else 0) for at in range(3000)])
    store.looks = 0
    found = find(store, rows, 1, time_sum)
    assert found == next(row for row in rows if row.time_sum >= time_sum)
    assert store.looks <= 130  # two reads for each of 57 halves, and a few before
