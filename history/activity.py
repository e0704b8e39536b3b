"""Questions about a state over time: when it was active, whether at all, for which share of a window."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from history.answers import Interval, as_interval
from history.codec import Row, unpack_masks
from history.directory import Entry, Name
from history.errors import QuestionError
from history.moments import FIRST, Moments
from history.times import When
from machine.errors import did_you_mean


class Activity(Moments):
    """Ask a store when states were active. Windows are ``t1 < at <= t2``."""

    def intervals(
        self, machine: Name, state: str, t1: When | None = None, t2: When | None = None
    ) -> Iterator[Interval]:
        """Yield when a state was active in a window, an activity that spans all of it included, cut at its ends."""
        found = self._directory.one(machine)
        self._check_state(found, state)
        low, high = FIRST if t1 is None else self._at(t1, found), self._at(t2, found)
        row = self._store.newest(found.id, low)
        start = low if row is not None and self._is_active(found, row, state) else None
        if row is None and (horizon := self._directory.row(found).horizon) > low:
            base = self._store.newest(found.id, horizon)  # what came before is not known
            start = horizon if base is not None and self._is_active(found, base, state) else None
            low = horizon
        began = False
        for at, active in self._flips(found, state, low, high):
            if active and start is None:
                start, began = at, True
            elif not active and start is not None:
                yield as_interval(found.name, state, start, at, began, True)
                start, began = None, False
        if start is not None:
            yield as_interval(found.name, state, start, high if t2 is not None else None, began, False)

    def _flips(self, machine: Entry, state: str, low: int, high: int) -> Iterator[tuple[int, bool]]:
        """Yield when a state changed: by its transitions, and where a new recording found it other than it was."""
        for part in self._directory.segments(machine, low, high):
            if part.start > low:
                before, base = (self._store.newest(machine.id, at) for at in (part.start - 1, part.start))
                if before is not None and base is not None:  # else nothing is known to have changed
                    was, now = (self._is_active(machine, row, state) for row in (before, base))
                    if was is not now:
                        yield part.start, now
            if state in part.schema.states:
                yield from self._store.flips(machine.id, part.schema.states.index(state), part.low, part.high)

    def _is_active(self, machine: Entry, row: Row, state: str) -> bool:
        states = self._directory.schema_at(machine, row.at).states
        return state in states and bool(unpack_masks(row)[2] >> states.index(state) & 1)

    def _check_state(self, machine: Entry, state: str) -> None:
        known = dict.fromkeys(s for schema in machine.schemas for s in schema.states)
        if state not in known:
            raise QuestionError(f"{machine.name} has no state {state!r}{did_you_mean(state, known)}")

    def activated_between(self, machine: Name, state: str, t1: When, t2: When | None = None) -> bool:
        """Tell whether a state became active in the window."""
        return self._changed_between(machine, state, t1, t2, active=True)

    def deactivated_between(self, machine: Name, state: str, t1: When, t2: When | None = None) -> bool:
        """Tell whether a state became inactive in the window."""
        return self._changed_between(machine, state, t1, t2, active=False)

    def _changed_between(self, machine: Name, state: str, t1: When, t2: When | None, *, active: bool) -> bool:
        found = self._directory.one(machine)
        self._check_state(found, state)
        low, high = self._at(t1, found), self._at(t2, found)
        return any(now is active for _, now in self._flips(found, state, low, high))

    def active_between(self, machine: Name, state: str, t1: When, t2: When | None = None) -> bool:
        """Tell whether a state was active at any time in the window, its beginning included."""
        return next(self.intervals(machine, state, t1, self._end(machine, t2)), None) is not None

    def inactive_between(self, machine: Name, state: str, t1: When, t2: When | None = None) -> bool:
        """Tell whether a state was inactive at any time in the window, its beginning included."""
        found = self._directory.one(machine)
        low, high = self._at(t1, found), self._at(t2, found)
        whole = [i for i in self.intervals(machine, state, low, high) if i.start == low and i.end == high]
        return not whole or whole[0].ended

    def uptime(
        self, state: str, t1: When, t2: When | None = None, machines: Name | Iterable[Name] | None = None
    ) -> float:
        """Return the share of a window in which a state was active, 0 to 1: the mean over the machines that have it.

        A machine counts from when it is first known, and from its horizon on.
        """
        shares, chosen = [], self._directory.several(machines)
        for m in chosen:
            if all(state not in schema.states for schema in m.schemas):
                continue
            low, high = max(self._at(t1, m), self._directory.row(m).horizon), self._at(t2, m)
            if low < high:
                spans = self.intervals((m.owner, m.name), state, low, high)
                shares.append(sum((high if i.end is None else i.end) - i.start for i in spans) / (high - low))
        if not shares:
            known = sorted({s for m in chosen for schema in m.schemas for s in schema.states})
            hint = "" if state in known else did_you_mean(state, known)
            raise QuestionError(f"no machine asked about has a state {state!r} in that window{hint}")
        return sum(shares) / len(shares)

    def _end(self, machine: Name, when: When | None) -> int:
        return self._at(when, self._directory.one(machine))
