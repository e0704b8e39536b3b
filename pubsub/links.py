"""All links of a peer, and the outbox that they share: what is flushed to whom, and when."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import fields
from typing import TypeVar

from pubsub.boundary import LINK, NEVER, SEND, Output
from pubsub.lazy import Lazy
from pubsub.ledger import Ledger
from pubsub.link import PACE, Item, Link, LinkCounts, Outbox
from pubsub.messages import Notice, Parcel
from pubsub.state import OwnerState

P = TypeVar("P", bound=Hashable)


class Links(dict[P, Link]):
    """Neighbour -> its link.

    Args:
        ledger: what there is to be told.
        tau, pace: how often to flush, us; see `Outbox`.
        owner_of: returns the key of a neighbour, as the connection with it has proven; None: that is not known.
        lazy: whether neighbours are told of which owners there are enough copies without theirs.

    Attributes:
        outbox: what all neighbours are to be told.
        lazy: the ways that records come; see `pubsub.lazy`.
        ended: what the links have done that are gone.
        due_alone: when to `flush` what some neighbour alone is to be told, us; NEVER: nothing. It may be early. The
            outbox has a time of its own.
    """

    __slots__ = ("_ledger", "_streams", "due_alone", "ended", "lazy", "outbox", "owner_of", "tau")

    def __init__(
        self,
        ledger: Ledger,
        tau: int,
        pace: int = PACE,
        owner_of: Callable[[P], bytes | None] | None = None,
        *,
        lazy: bool = True,
    ) -> None:
        super().__init__()
        self.owner_of = owner_of
        self.ended = LinkCounts()
        self.outbox = Outbox(tau, pace)
        self.lazy: Lazy[P] = Lazy(prunes=lazy)
        self.tau = tau
        self._ledger = ledger
        self._streams: dict[P, int] = {}  # the newest one that was opened from this side
        self.due_alone = NEVER

    def up(self, peer: P, now: int, dialed_by_us: bool) -> Link:
        """Begin to talk to a neighbour."""
        self._streams[peer] = -1 if dialed_by_us else 0
        link = self[peer] = Link(self.tau, now)
        return link

    def down(self, peer: P) -> None:
        """Talk to a neighbour no more, if it is one."""
        link = self.pop(peer, None)
        self._streams.pop(peer, None)
        if link is not None:
            for field in fields(LinkCounts):
                setattr(self.ended, field.name, getattr(self.ended, field.name) + getattr(link.counts, field.name))

    def open_stream(self, peer: P) -> int:
        """Return the number of a new stream to a neighbour."""
        self._streams[peer] += 2
        return self._streams[peer]

    def peer_of(self, owner: bytes) -> P | None:
        """Return the neighbour that an owner is; None: it is not connected, or nobody can tell."""
        if self.owner_of is None:
            return None
        return next((peer for peer in self if self.owner_of(peer) == owner), None)

    def look(self, link: Link) -> None:
        """Note when a link is to be flushed: to be called after it was given something to say."""
        if link.due < self.due_alone:
            self.due_alone = link.due

    def announce(self, notice: Notice, source: P | None, now: int) -> int:
        """Tell all neighbours but the source of something beside records; return how many that are."""
        told = 0
        for peer, link in self.items():
            if peer != source:
                told += 1
                link.tell(notice, now)
                self.look(link)
        return told

    def forget(self, number: int) -> None:
        """Drop what is to be told of an owner: its number may soon be another owner's."""
        self.outbox.forget(number)
        self.lazy.forget(number)
        for link in self.values():
            link.forget(number)

    def flush(self, now: int, *, all_at_once: bool = False) -> list[Output[P]]:
        """Tell neighbours what is due: all of them what is in the outbox, or some what they alone are to be told."""
        if all_at_once or self.outbox.due <= now:
            batch = self.outbox.take(now, self._delta)
            out = self._send(self.items(), now, batch, sum([parcel.size for _, _, parcel in batch]))
            for link in self.values():  # only now: what a neighbour said counts until the outbox is empty
                if link.said:
                    link.said = {}
            return out
        if self.due_alone <= now:
            return self._send([(peer, link) for peer, link in self.items() if link.due <= now], now, [], 0)
        return []

    def _send(self, links: Iterable[tuple[P, Link]], now: int, batch: list[Item], total: int) -> list[Output[P]]:
        out: list[Output[P]] = []
        for peer, link in links:
            frame = link.flush(now, batch, total, self._delta)
            if frame is not None:
                out.append((SEND, peer, LINK, 0, frame))
        self.due_alone = min([link.due for link in self.values()], default=NEVER)
        return out

    def _delta(self, number: int, before: OwnerState | None) -> Parcel | None:
        state = self._ledger.states[number]
        if state is None or state is before:
            return None
        # most often there is one: this is `parcel_of` without the call
        key = before.header.root if before is not None and before.header.epoch == state.header.epoch else None
        return state.parcels.get(key) or parcel_of(state, before)


def parcel_of(state: OwnerState, before: OwnerState | None = None) -> Parcel:
    """Return the delta between two states, or a whole state, as a parcel.

    It is made once for all links and, in a simulation, for all peers.
    """
    known = state.parcels
    key = before.header.root if before is not None and before.header.epoch == state.header.epoch else None
    parcel: Parcel | None = known.get(key)
    if parcel is None:
        parcel = known[key] = Parcel.of(state.record(full=key is None, since=before))
    return parcel
