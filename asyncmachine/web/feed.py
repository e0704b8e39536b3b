"""What is new, told to whoever listens: read once from the store, and put into a bounded queue for each client.

A client that does not read loses its oldest events, and is told how many records these were (``gap``). Nobody waits for
it: neither who records, nor other clients. One that takes nothing for too long is hung up, see `stream`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec
import trio

from asyncmachine.web.answers import Answer, Ns, RecordAnswer
from asyncmachine.web.records import record_answer, record_of
from asyncmachine.web.roster import UPDATES
from asyncmachine.web.source import Source
from history import HistoryError

PAUSE: Final = 0.2  # s between two looks
BATCH: Final = 500  # records of an event, and of a look
CLIENTS: Final = 16
LAG: Final = 20_000  # ids that the feed may be behind before it goes on from the end


class Hello(Answer, frozen=True, kw_only=True):
    """The first event: the moment from which on there are records."""

    at: Ns


class Records(Answer, frozen=True, kw_only=True):
    """Records, in the order in which they were stored."""

    records: list[RecordAnswer]


class GraphChanged(Answer, frozen=True, kw_only=True):
    """The graph is known up to here now, and may be another one."""

    at: Ns


class Gap(Answer, frozen=True, kw_only=True):
    """So many records were left out here, as they came faster than they were taken: load what is shown anew."""

    dropped: int


EVENTS: Final[dict[str, type[Answer]]] = {"hello": Hello, "records": Records, "graph": GraphChanged, "gap": Gap}


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it goes to clients. ``weight``: how many records it holds, at least 1."""

    data: bytes
    weight: int


def event(value: Answer, *, weight: int = 1, id: int | None = None) -> Event:
    """Return a value as an event. ``id``: where a client goes on that comes again."""
    name = next(name for name, kind in EVENTS.items() if isinstance(value, kind))
    number = b"" if id is None else b"id: %d\n" % id
    return Event(b"event: %s\n%sdata: %s\n\n" % (name.encode(), number, msgspec.json.encode(value)), weight)


class Client:
    """One who listens.

    Args:
        room: records that may wait.
    """

    def __init__(self, room: int) -> None:
        self.dropped = 0
        self.is_closed = False
        self._room = room
        self._waiting: deque[Event] = deque()
        self._weight = 0
        self._missed = 0  # records that were dropped, and of which it was not told
        self._rung = trio.Event()

    def put(self, event: Event) -> None:
        """Let an event wait for it; the oldest ones go if there is no room."""
        self._waiting.append(event)
        self._weight += event.weight
        while self._weight > self._room and len(self._waiting) > 1:
            gone = self._waiting.popleft()
            self._weight -= gone.weight
            self._missed += gone.weight
            self.dropped += gone.weight
        self._ring()

    def close(self) -> None:
        """End its feed."""
        self.is_closed = True
        self._ring()

    def _ring(self) -> None:
        self._rung.set()

    async def next(self) -> bytes | None:
        """Wait for what there is to be told, and take all of it; None: the feed has ended."""
        await self._rung.wait()
        if self.is_closed:
            return None
        parts = [event(Gap(dropped=self._missed)).data] if self._missed else []
        parts += [waiting.data for waiting in self._waiting]
        self._waiting.clear()
        self._weight = self._missed = 0
        self._rung = trio.Event()
        return b"".join(parts)


class InThread(Protocol):
    """Runs a function where it holds nobody up."""

    async def __call__(self, function: Callable[..., Any], /, *args: Any) -> Any:
        """Return what it returns."""


class Hub:
    """Reads what is new while somebody listens, and tells all who do.

    Args:
        source: whose records.
        in_thread: runs what asks the store.
        room: records that may wait for a client.
    """

    def __init__(self, source: Source, in_thread: InThread, *, room: int, clients: int = CLIENTS) -> None:
        self.failures = 0
        self._source = source
        self._in_thread = in_thread
        self._room = room
        self._most = clients
        self._clients: dict[Client, None] = {}
        self._after = 0  # the last row that was told
        self._graph = 0  # up to when the graph was told
        self._wanted = trio.Event()
        self._place = trio.Lock()  # who moves `_after`, or begins there: nobody may look while somebody joins
        self._is_closed = False

    @property
    def is_full(self) -> bool:
        """Whether there are as many clients as there may be."""
        return len(self._clients) >= self._most

    @property
    def clients(self) -> int:
        """How many listen."""
        return len(self._clients)

    async def join(self, since: int | None, after_id: int | None) -> Client:
        """Return a new client, which gets what came after a moment, or a row; of too much, the newest.

        Args:
            since: the moment, ns; None: from now on.
            after_id: the row that it has seen last.
        """
        client = Client(self._room)
        if self._is_over(client):
            return client
        async with self._place:
            if not self._clients:
                self._after, self._graph = await self._in_thread(self._position)
            upto = begin = self._after
            found: list[RecordAnswer] = []
            if since is not None or after_id is not None:
                begin, found, dropped = await self._in_thread(self._backlog, since, after_id, upto)
                client._missed += dropped
            # who is cut off right behind it still gets what it has missed
            client.put(event(Hello(at=str(self._source.now())), id=begin))
            for chunk in _chunks(found):
                client.put(chunk)
            self._clients[client] = None
        self._is_over(client)  # it may have been closed meanwhile
        self._wanted.set()
        return client

    def _is_over(self, client: Client) -> bool:
        if self._is_closed:
            client.close()
        return self._is_closed

    def leave(self, client: Client) -> None:
        """Tell it nothing more."""
        self._clients.pop(client, None)

    def close(self) -> None:
        """End all feeds."""
        self._is_closed = True
        for client in self._clients:
            client.close()

    async def run(self) -> None:
        """Look for what is new, for ever."""
        while True:
            if not self._clients:
                self._wanted = trio.Event()
                await self._wanted.wait()
            async with self._place:
                try:
                    events = await self._in_thread(self._look)
                except HistoryError:
                    self.failures += 1
                    events = []
                for made in events:
                    for client in self._clients:
                        client.put(made)
            await trio.sleep(PAUSE)

    # -- in a thread

    def _position(self) -> tuple[int, int]:
        return self._source.store.last_id(), self._graph_at()

    def _graph_at(self) -> int:
        return max((life.last for life in self._source.lives()), default=0)

    def _look(self) -> list[Event]:
        """Return what is new since the last look."""
        store, events = self._source.store, []
        last = store.last_id()
        if last > self._after + LAG:
            dropped, self._after = last - self._after - BATCH, last - BATCH
            events.append(event(Gap(dropped=dropped), weight=1))
        if last > self._after:
            rows = store.feed(self._after, BATCH, None)
            if rows:
                self._after = rows[-1].id
                events += _chunks(self._told(rows))
        graph_at = self._graph_at()
        if graph_at > self._graph:
            changed = any(
                self._source.store.graphs.changes_between(life.id, self._graph, graph_at, 1)
                for life in self._source.lives()
            )
            self._graph = graph_at
            if changed:
                events.append(event(GraphChanged(at=str(graph_at))))
        return events

    def _backlog(self, since: int | None, after_id: int | None, upto: int) -> tuple[int, list[RecordAnswer], int]:
        """Return the row behind which somebody missed records, these records, and how many more there were."""
        store = self._source.store
        begin = after_id if after_id is not None else self._source.questions.position(since or 0)
        begin = min(begin, upto)
        first = max(begin, upto - self._room)
        found: list[RecordAnswer] = []
        while first < upto:
            rows = [row for row in store.feed(first, BATCH, None) if row.id <= upto]
            if not rows:
                break
            first = rows[-1].id
            found += self._told([row for row in rows if since is None or row.at > since])
        return begin, found, max(upto - self._room - begin, 0)

    def _told(self, rows: Sequence[Any]) -> list[RecordAnswer]:
        """Return rows as the page gets them, but for what others believed."""
        listed = [(self._source.roster.get(row.machine_id), row) for row in rows]
        return [record_answer(record_of(self._source, one, row)) for one, row in listed if one.rank != UPDATES]


def _chunks(records: list[RecordAnswer]) -> list[Event]:
    parts = [records[n : n + BATCH] for n in range(0, len(records), BATCH)]
    return [event(Records(records=part), weight=len(part), id=part[-1].id) for part in parts]
