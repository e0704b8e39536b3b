"""Ticks, time vectors and clocks.

A state's *tick* is a counter that never decreases: odd means active, even means inactive. A machine's *time* is the
vector of its ticks in the order of its states, and a *clock* is that vector with the names on it. Both are values:
once read they never change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import ge, gt, le, lt


def is_active_tick(tick: int) -> bool:
    """Tell whether a tick stands for an active state."""
    return tick & 1 == 1


def next_active(tick: int) -> int:
    """Return the tick of the next activation after `tick`; the current activation does not count."""
    return tick + 2 if tick & 1 else tick + 1


def next_inactive(tick: int) -> int:
    """Return the tick of the next deactivation after `tick`; the current inactivity does not count."""
    return tick + 1 if tick & 1 else tick + 2


def next_active_in(tick: int) -> int:
    """Return how many ticks away the next activation is: 1 or 2."""
    return next_active(tick) - tick


def next_inactive_in(tick: int) -> int:
    """Return how many ticks away the next deactivation is: 1 or 2."""
    return next_inactive(tick) - tick


def activations(tick: int) -> int:
    """Return how often a state has been activated when its counter is at `tick`."""
    return (tick + 1) // 2


class Time(tuple[int, ...]):
    """A vector of ticks, one a state, in the order of the machine's states.

    Vectors of machines whose schema grew may differ in length; comparisons then look at the common front, and say so.
    """

    __slots__ = ()

    @property
    def sum(self) -> int:
        """The machine time as one number."""
        return sum(self)

    def sum_of(self, indexes: Iterable[int]) -> int:
        """Return the sum of the ticks at `indexes`."""
        return sum(self[i] for i in indexes)

    def plus(self, other: Sequence[int]) -> Time:
        """Return the element-wise sum; this vector itself when the lengths differ."""
        return Time(a + b for a, b in zip(self, other, strict=True)) if len(self) == len(other) else self

    def diff_since(self, before: Sequence[int]) -> Time:
        """Return how much each tick grew since `before`; zeros when the lengths differ."""
        if len(self) != len(before):
            return Time(0 for _ in self)
        return Time(a - b for a, b in zip(self, before, strict=True))

    def non_zero(self) -> tuple[int, ...]:
        """Return the indexes of the ticks that are not zero."""
        return tuple(i for i, tick in enumerate(self) if tick)

    def filter(self, indexes: Iterable[int]) -> Time:
        """Return the ticks at `indexes`, in that order."""
        return Time(self[i] for i in indexes)

    def increment(self, index: int) -> Time:
        """Return this vector with one tick more at `index`."""
        return Time(tick + (i == index) for i, tick in enumerate(self))

    def after(self, other: Sequence[int], *, or_equal: bool = False) -> bool:
        """Tell whether *every* tick of the common front is later than (or, on request, equal to) that of `other`."""
        op = ge if or_equal else gt
        return all(op(a, b) for a, b in zip(self, other, strict=False))

    def before(self, other: Sequence[int], *, or_equal: bool = False) -> bool:
        """Tell whether *every* tick of the common front is earlier than (or equal to) that of `other`."""
        op = le if or_equal else lt
        return all(op(a, b) for a, b in zip(self, other, strict=False))

    def equal(self, other: Sequence[int], *, strict: bool = True) -> bool:
        """Tell whether the ticks are equal; a different length counts as different only when `strict`."""
        return (not strict or len(self) == len(other)) and all(a == b for a, b in zip(self, other, strict=False))

    def is_active(self, indexes: Iterable[int]) -> bool:
        """Tell whether the states at `indexes` are all active. No indexes, or an unknown one (-1): False."""
        wanted = list(indexes)
        return bool(wanted) and all(self._odd(i) for i in wanted)

    def is_inactive(self, indexes: Iterable[int]) -> bool:
        """Tell whether none of the states at `indexes` is active. No indexes: True; an unknown one (-1): False."""
        return all(0 <= i < len(self) and not self._odd(i) for i in indexes)

    def any_active(self, indexes: Iterable[int]) -> bool:
        """Tell whether at least one of the states at `indexes` is active."""
        return any(self._odd(i) for i in indexes)

    def active(self) -> tuple[int, ...]:
        """Return the indexes of all active states."""
        return tuple(i for i, tick in enumerate(self) if tick & 1)

    def _odd(self, index: int) -> bool:
        return 0 <= index < len(self) and self[index] & 1 == 1


class Clock(Mapping[str, int]):
    """A moment of one machine: a frozen mapping from state name to tick, in the order of the states.

    Equal to any mapping with the same items. `time` is the bare vector.
    """

    __slots__ = ("_names", "time")

    def __init__(self, names: Sequence[str], time: Iterable[int]) -> None:
        self._names = names
        self.time = Time(time)

    @property
    def sum(self) -> int:
        """The machine time as one number."""
        return sum(self.time)

    def is_active(self, *states: str) -> bool:
        """Tell whether the states were all active at this moment."""
        return all(self[s] & 1 for s in states)

    def is_inactive(self, *states: str) -> bool:
        """Tell whether none of the states was active at this moment."""
        return not any(self[s] & 1 for s in states)

    def any_active(self, *states: str) -> bool:
        """Tell whether at least one of the states was active at this moment."""
        return any(self[s] & 1 for s in states)

    def active_states(self) -> tuple[str, ...]:
        """Return the names of the active states, in the order of the states."""
        return tuple(n for n, tick in zip(self._names, self.time, strict=True) if tick & 1)

    def __getitem__(self, name: str) -> int:
        try:
            return self.time[self._names.index(name)]
        except ValueError:
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self.time)

    def __eq__(self, other: object) -> bool:
        # what a mapping does looks for each name anew, which is slow for thousands
        if isinstance(other, Clock) and tuple(self._names) == tuple(other._names):
            return self.time == other.time
        return super().__eq__(other)

    def __hash__(self) -> int:
        return hash((tuple(self._names), self.time))

    def __str__(self) -> str:
        return format_states((n, t) for n, t in self.items() if t & 1)

    def __repr__(self) -> str:
        return f"Clock({', '.join(f'{n}={t}' for n, t in self.items())})"


def format_states(items: Iterable[tuple[str, int]], brackets: str = "()") -> str:
    """Return names and ticks as ``(A:1 B:3)``, or between other `brackets`."""
    return brackets[0] + " ".join(f"{name}:{tick}" for name, tick in items) + brackets[1]
