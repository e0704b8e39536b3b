"""What is asked: the store of a history, and what else is known about it. Its methods run in any thread."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from typing import Final, Literal

from asyncmachine.web.asked import WrongError
from asyncmachine.web.live import Live
from asyncmachine.web.numbering import Numbering
from asyncmachine.web.roster import Listed, Roster
from graph.errors import NotRecordedError
from graph.past import PastGraph
from history import LogicalTime, QuestionError, Questions, parse_when
from history.graphs import GraphLife
from history.store import Store

_NUMBER: Final = re.compile(r"-?\d{1,19}", re.ASCII)
FIRST, LAST = -(1 << 63), (1 << 63) - 1

Mode = Literal["history", "peer", "window"]


class Source:
    """A history to be asked.

    Args:
        store: an open one.
        mode: a stored history, that of a live peer, or a window of one.
        title: what to call it.
        now: the present, ns; None: there is none, and the last moment that is known stands for it.
        names: what to call owners.

    Attributes:
        graph: what it has of graphs.
        roster: its machines.
        numbering: the numbers of what is in its graphs.
        questions: those of `history`.
        live: what the live peer knew when it was asked last.
    """

    def __init__(
        self,
        store: Store,
        *,
        mode: Mode,
        title: str,
        now: Callable[[], int] | None = None,
        names: Callable[[], Mapping[str, str]] | None = None,
    ) -> None:
        self.store = store
        self.mode: Mode = mode
        self.title = title
        self.roster = Roster(store)
        self.graph = PastGraph(store)
        self.numbering = Numbering(self.roster)
        self.questions = Questions(store, self.now)
        self.live: Live | None = None
        self._now = now
        self._names = names
        self._graphs: dict[str, PastGraph] = {}

    def __repr__(self) -> str:
        return f"<Source {self.mode} {self.store.url}>"

    def beside(self, live: Live) -> Source:
        """Return the same, with how things are for a live peer at this moment."""
        made = copy(self)
        made.live = live
        return made

    def now(self) -> int:
        """Return the moment that a question is about if it names none."""
        return self._now() if self._now is not None else self.span()[1]

    def names(self) -> Mapping[str, str]:
        """Return what to call owners."""
        return self._names() if self._names is not None else {}

    def span(self) -> tuple[int, int]:
        """Return the first and the last moment that are known; 0 and 0: none is."""
        own = [one.row for one in self.roster.all() if one.observer is None]
        lives = self.lives()
        firsts = [row.first_at for row in own] + [life.began for life in lives]
        lasts = [row.last_at for row in own] + [life.last for life in lives]
        return min(firsts, default=0), max(lasts, default=0)

    def lives(self) -> list[GraphLife]:
        """Return the recordings of graphs, by age."""
        return self.store.graphs.lives()

    def recorded_graph(self, name: str | None) -> PastGraph:
        """Return a graph that was recorded; None: all of them as one.

        Raises:
            WrongError: there is none of this name.
        """
        if name is None:
            return self.graph
        graph = self._graphs.get(name) or PastGraph(self.store, name)
        try:
            graph.lives()
        except NotRecordedError as error:
            raise WrongError(str(error), "name", 404) from None
        self._graphs[name] = graph
        return graph

    def moment(self, text: str | None, parameter: str = "at", machine: Listed | None = None) -> int:
        """Return a moment in ns.

        Raises:
            WrongError: it is none.
        """
        if text is None:
            return self.now()
        if _NUMBER.fullmatch(text):
            at = int(text)
            if not FIRST <= at <= LAST:
                raise WrongError(f"{parameter}={text} is beyond what can be recorded: 64 bits of ns", parameter)
            return at
        try:
            when = parse_when(text, self.now())
            if not isinstance(when, LogicalTime):
                return when
            if machine is None:
                raise QuestionError(f"{when} is a time of one machine, and this is about many: give a wall time")
            return self.questions.moment(when, (machine.row.owner, machine.row.name))
        except (QuestionError, OverflowError) as error:
            raise WrongError(f"{parameter}: {error}", parameter) from error

    def window(self, since: str | None, until: str | None, machine: Listed | None = None) -> tuple[int, int]:
        """Return the ends of a window in ns.

        Raises:
            WrongError: it ends before it begins.
        """
        high = self.moment(until, "until", machine)
        low = self.span()[0] - 1 if since is None else self.moment(since, "since", machine)
        if low > high:
            raise WrongError(f"since {since or low} is after until {until or high}: turn them round", "since")
        return low, high

    def chosen(self, owner: str | None) -> Iterable[Listed]:
        """Return the machines of an owner; None: of all.

        Raises:
            WrongError: there is no such owner.
        """
        if owner is None:
            return self.roster.all()
        found = [one for one in self.roster.all() if owner in (one.row.owner, one.peer)]
        if not found:
            raise WrongError(f"nothing of {owner[:80]!r} was recorded here: see owners of /api/info", "owner", 404)
        return found
