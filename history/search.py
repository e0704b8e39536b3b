"""Find the first row of a machine that has come so far, by looking at few of its rows."""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt

from history.codec import Row
from history.store import EVERY, Store

NEAR = 8  # rows that are read at once where the end is near: a question costs as much as reading three more
PATIENCE = 12  # looks at places worked out, before every other one halves the rest


def find_first(
    store: Store,
    machine_id: int,
    ends: tuple[Row, Row],
    reached: Callable[[Row], bool],
    measure: Callable[[Row], int | None],
    target: int,
) -> Row | None:
    """Return the first row for which a monotonic predicate holds, None if it holds for none.

    Rows are known by time, not by number. Between two of them the place of the wanted one is worked out as if all had
    come in regular steps, and then looked for a square root of the rest before or behind it, whichever closes it in.
    After Perl and Reingold, "Understanding the complexity of interpolation search" (1977): log log n looks if steps are
    regular at random, and by halving never more than twice the logarithm of the time in between.

    Args:
        store: where it is.
        machine_id: whose rows.
        ends: the oldest and the newest row.
        reached: false up to some row, true from there on.
        measure: how far a row is, None if that cannot be compared. A help only, nothing rests on it.
        target: the measure at about which `reached` becomes true.
    """
    low, high = ends
    if not reached(high):
        return None
    if reached(low):
        return low
    begin, looks, was_late = low.at, 0, False  # not reached up to begin, reached at high
    while begin + 1 < high.at:
        middle, chunk = (begin + high.at) // 2, NEAR
        from_, to = measure(low), measure(high)
        if from_ is not None and to is not None and from_ < to and (looks < PATIENCE or looks % 2):
            rest = to - from_
            margin = isqrt(rest)
            aim = min(max(target - from_ + (-margin if was_late else margin), 0), rest)
            middle = min(max(low.at + (high.at - low.at) * aim // rest, begin + 1), high.at - 1)
            chunk = NEAR if rest <= 4 * NEAR else 1
        looks += 1
        rows = store.scan(machine_id, begin, middle, EVERY, chunk, True)
        was_late = bool(rows) and reached(rows[0])
        if was_late:
            for row in rows:
                if not reached(row):
                    return high
                high = row
            if len(rows) < chunk:
                return high
            continue
        low, begin = (rows[0] if rows else low), middle
        if chunk == NEAR:
            rows = store.scan(machine_id, middle, high.at - 1, EVERY, chunk, False)
            for row in rows:
                if reached(row):
                    return row
                low, begin = row, row.at
            if len(rows) < chunk:
                return high
    return high
