"""P0, the catalog: schemas by the hash of their canonical form (`pubsub.schemas`), fetched once, from whoever has it.

A peer that meets an unknown hash asks who told it, then two other neighbours, then leaves it for a while and tries
again as long as somebody's machine has that schema. Nothing else depends on it: records merge without schemas.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from machine import Schema, SchemaError
from pubsub.boundary import NEVER, SECOND
from pubsub.errors import WireError
from pubsub.messages import MAX_FRAME, Bodies, SchemaAsk
from pubsub.schemas import decode_schema, encode_schema, hash_of_body

P = TypeVar("P", bound=Hashable)

TIMEOUT = 5 * SECOND  # for an answer
# Before a hash that nobody knew is asked for again; doubled each time. Neighbours that pass a record on need a while to
# fetch its schema themselves, so that the first round often comes too early.
FIRST_RETRY, RETRY = SECOND, 10 * SECOND
MAX_TRIES = 3  # the sender, then two others
MAX_ASK = 16  # hashes in one session
MAX_SESSIONS = 4  # of this peer at a time
MAX_WANTED = 4096  # hashes; those beyond are looked for later
MAX_TOTAL = 4 << 20  # bytes of all schemas together; as objects they take some ten times that
MAX_SERVED = 1 << 20  # bytes to one neighbour in each `SERVED_TIME`
SERVED_TIME = 4 * SECOND


@dataclass(frozen=True, slots=True)
class SchemaKnown:
    """An event: the schema with this hash can be read from now on."""

    hash: bytes


@dataclass(slots=True)
class CatalogCounts:
    """What the catalog has done, and refused."""

    asked: int = 0
    """Sessions that this peer began."""
    answered: int = 0
    served: int = 0
    """Schemas that were handed out."""
    learned: int = 0
    late: int = 0
    """Sessions without an answer in time."""
    missing: int = 0
    """Hashes that a neighbour did not know."""
    given_up: int = 0
    """Hashes that nobody knew, for now."""
    bad: int = 0
    """Bodies that are no schema, though their hash is right: their owner made them so."""
    unasked: int = 0
    """Bodies with another hash than any that was asked for."""
    crowded: int = 0
    """Schemas for which there was no room."""
    overflown: int = 0
    """Hashes that had to wait because too many were wanted."""
    throttled: int = 0
    """Sessions of neighbours that asked for too much at once."""
    misplaced: int = 0
    """Messages without a session."""


@dataclass(slots=True)
class _Want(Generic[P]):
    """A hash that is looked for.

    ``due``: when to ask; NEVER while somebody is being asked. ``left``: a round of asking was in vain. ``short``: for
    lack of neighbours. ``pause``: before the next round, us.
    """

    due: int
    source: P | None
    tried: list[P] = field(default_factory=list)
    left: bool = False
    short: bool = False
    pause: int = FIRST_RETRY


@dataclass(slots=True)
class _Session:
    hashes: dict[bytes, None]
    deadline: int


class Catalog(Generic[P]):
    """The schemas that one peer knows, and those that it looks for.

    Args:
        rng: chooses whom to ask.
        needed: returns the hashes of all machines' schemas, own ones included. Called rarely.

    Attributes:
        schemas: by hash.
        due: when there is something to do, us.
    """

    def __init__(self, rng: random.Random, needed: Callable[[], set[bytes]]) -> None:
        self.schemas: dict[bytes, Schema] = {}
        self.counts = CatalogCounts()
        self.due = NEVER
        self._rng = rng
        self._needed = needed
        self._bodies: dict[bytes, bytes] = {}
        self._size = 0
        self._wants: dict[bytes, _Want[P]] = {}
        self._sessions: dict[tuple[P, int], _Session] = {}
        self._served: dict[P, tuple[int, int]] = {}  # since when (us), and how many bytes
        self._overflown = False

    def find(self, hash: bytes) -> Schema | None:
        """Return the schema with this hash, if it is known."""
        return self.schemas.get(hash)

    @property
    def wanted(self) -> int:
        """How many hashes are looked for."""
        return len(self._wants)

    def own(self, schema: Schema) -> bytes:
        """Take in a schema of this peer's own, and return its hash.

        Raises:
            ExposeError: it cannot be published.
        """
        body = encode_schema(schema)
        hash = hash_of_body(body)
        if hash not in self.schemas:
            if self._size + len(body) > MAX_TOTAL:
                self._prune()
            self._put(hash, body, schema)
        return hash

    def want(self, hashes: Iterable[bytes], source: P | None, now: int) -> None:
        """Look for schemas that a neighbour, or (None) the topic, spoke of; known ones cost nothing."""
        for hash in hashes:
            if hash in self.schemas or hash in self._wants:
                continue
            if len(self._wants) >= MAX_WANTED:
                self.counts.overflown += 1
                self._overflown = True
                continue
            self._wants[hash] = _Want(now, source)
            self.due = min(self.due, now)

    # -- asking

    def ask(self, now: int, peers: Iterable[P]) -> list[tuple[P, SchemaAsk]]:
        """Return whom to ask for what now: a session each, to be told of by `begin`. To be called when due."""
        self._expire(now)
        batches: dict[P, list[bytes]] = {}
        room = MAX_SESSIONS - len(self._sessions)
        everybody = list(peers)
        needed: set[bytes] | None = None
        if self._has_room_again:
            self._overflown = False
            needed = self._needed()
            self.want(sorted(needed), None, now)  # sorted: the same calls give the same outputs
        for hash, want in list(self._wants.items()):
            if want.due > now:
                continue
            if want.left:  # nobody knew it: is it worth another round?
                needed = self._needed() if needed is None else needed
                if hash not in needed:
                    del self._wants[hash]
                    continue
                want.left = want.short = False
            target = self._choose(want, everybody)
            if target is None:
                self._leave(want, now, short=True)
            elif target in batches or len(batches) < room:
                batch = batches.setdefault(target, [])
                if len(batch) < MAX_ASK:
                    batch.append(hash)
                    want.tried.append(target)
                    want.due = NEVER
        self.schedule(now)
        return [(peer, SchemaAsk(tuple(batch))) for peer, batch in batches.items()]

    def _choose(self, want: _Want[P], everybody: list[P]) -> P | None:
        if want.source is not None and want.source not in want.tried and want.source in everybody:
            return want.source
        others = [peer for peer in everybody if peer not in want.tried]
        return self._rng.choice(others) if others else None

    def begin(self, peer: P, stream: int, ask: SchemaAsk, now: int) -> None:
        """Note that a session was opened."""
        self.counts.asked += 1
        self._sessions[peer, stream] = _Session(dict.fromkeys(ask.hashes), now + TIMEOUT)
        self.schedule(now)

    def schedule(self, now: int) -> None:
        """Find out when there is something to do next."""
        due = min([session.deadline for session in self._sessions.values()], default=NEVER)
        if len(self._sessions) < MAX_SESSIONS:  # else the next answer, or the lack of one, makes room
            due = min(due, min([want.due for want in self._wants.values()], default=NEVER))
        self.due = now if self._has_room_again else due

    @property
    def _has_room_again(self) -> bool:
        return self._overflown and len(self._wants) <= MAX_WANTED // 2

    def _expire(self, now: int) -> None:
        for key, session in list(self._sessions.items()):
            if session.deadline <= now:
                self.counts.late += 1
                self._end(key, now)

    def _end(self, key: tuple[P, int], now: int) -> None:
        """Close a session; what it did not bring is looked for elsewhere."""
        for hash in self._sessions.pop(key).hashes:
            want = self._wants.get(hash)
            if want is not None:
                self._next(want, now)

    def _next(self, want: _Want[P], now: int) -> None:
        if len(want.tried) < MAX_TRIES:
            want.due = now
        else:
            self._leave(want, now)

    def _leave(self, want: _Want[P], now: int, *, short: bool = False) -> None:
        want.due, want.left, want.short = now + want.pause, True, short
        want.pause = min(2 * want.pause, RETRY)
        want.tried = []
        self.counts.given_up += 1

    def linked(self, now: int) -> None:
        """Note a new neighbour, who may know what too few others could be asked for."""
        for want in self._wants.values():
            if want.short:
                want.due = now
        self.schedule(now)

    def unlinked(self, peer: P, now: int) -> None:
        """Give up the sessions with a neighbour that is gone."""
        self._served.pop(peer, None)
        for key in [key for key in self._sessions if key[0] == peer]:
            self._end(key, now)
        self.schedule(now)

    # -- answers

    def learn(self, peer: P, stream: int, message: Bodies, now: int) -> list[SchemaKnown]:
        """Take an answer; return what is known now."""
        session = self._sessions.get((peer, stream))
        if session is None:
            self.counts.misplaced += 1
            return []
        known = []
        for body in message.bodies:
            hash = hash_of_body(body)
            if hash not in session.hashes:
                self.counts.unasked += 1
                continue
            del session.hashes[hash]
            if hash in self._wants and self._take(hash, body, now):
                known.append(SchemaKnown(hash))
        session.deadline = now + TIMEOUT
        if message.last:
            self.counts.missing += len(session.hashes)
            self._end((peer, stream), now)
        self.schedule(now)
        return known

    def _take(self, hash: bytes, body: bytes, now: int) -> bool:
        want = self._wants[hash]
        try:
            schema = decode_schema(body)
        except (WireError, SchemaError):
            self.counts.bad += 1  # the same bytes come from everybody else: asking again soon is no use
            want.pause = RETRY
            self._leave(want, now)
            return False
        if self._size + len(body) > MAX_TOTAL and not self._prune(len(body)):
            self.counts.crowded += 1
            want.pause = RETRY
            self._leave(want, now)
            return False
        del self._wants[hash]
        self._put(hash, body, schema)
        self.counts.learned += 1
        return True

    def _put(self, hash: bytes, body: bytes, schema: Schema) -> None:
        self.schemas[hash] = schema
        self._bodies[hash] = body
        self._size += len(body)
        self._wants.pop(hash, None)

    def _prune(self, room: int = 0) -> bool:
        """Drop what no machine has any more; tell whether there is room now."""
        needed = self._needed()
        for hash in [hash for hash in self._bodies if hash not in needed]:
            self._size -= len(self._bodies.pop(hash))
            del self.schemas[hash]
        return self._size + room <= MAX_TOTAL

    # -- serving

    def answer(self, peer: P, message: SchemaAsk, now: int) -> list[Bodies]:
        """Return what this peer has of what a neighbour asks for, in pages; nothing if it asks for too much."""
        since, served = self._served.get(peer, (now, 0))
        if now - since >= SERVED_TIME:
            since, served = now, 0
        if served > MAX_SERVED or len(message.hashes) > MAX_ASK:
            self.counts.throttled += 1
            return []
        found = [body for hash in dict.fromkeys(message.hashes) if (body := self._bodies.get(hash)) is not None]
        self._served[peer] = (since, served + sum(map(len, found)))
        self.counts.answered += 1
        self.counts.served += len(found)
        pages: list[list[bytes]] = [[]]
        size = 0
        for body in found:
            if pages[-1] and size + len(body) > MAX_FRAME:
                pages.append([])
                size = 0
            pages[-1].append(body)
            size += len(body)
        return [Bodies(tuple(page), page is pages[-1]) for page in pages]
