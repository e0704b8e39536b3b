"""Keep what a peer believed: each update of each replica, at the moment when it came.

    async with open_history(url) as history, open_peer("flights", connect=[…]) as peer:
        with record_beliefs(history, peer):
            …

Beside the log of an owner, which says what its machines were, this says what somebody else knew of them at the same
moment: who believed what, and since when it was wrong. Rows are those of an owner ``updates of X by Y``, both peer ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from history import History, QuestionError, Recorder
from pubsub.catalog import SchemaKnown
from pubsub.events import Committed
from pubsub.names import peer_id_of
from pubsub.peer import Peer
from pubsub.replica import Replica
from pubsub.state import OwnerState


class Beliefs:
    """Records the replicas of a peer. Made by `record_beliefs`.

    Attributes:
        refused: replicas that could not be recorded; the history has something else under that name.
    """

    def __init__(self, history: History, peer: Peer, wants: Callable[[Replica], bool] | None = None) -> None:
        self.refused = 0
        self._wants = wants
        self._history = history
        self._peer = peer
        self._recorders: dict[Replica, Recorder | None] = {}  # None: refused
        self._seen: dict[bytes, frozenset[int]] = {}  # by owner, indexes of the machines of which all were looked at

    def __repr__(self) -> str:
        return f"<Beliefs of {self._peer.id}, {self.recorders} replicas>"

    @property
    def recorders(self) -> int:
        """How many replicas are being recorded."""
        return sum(recorder is not None for recorder in self._recorders.values())

    def look(self) -> None:
        """Record all replicas that are not recorded yet."""
        self._record(self._peer.replicas())

    def hear(self, event: object) -> None:
        """Take an event of the peer."""
        if isinstance(event, Committed) and event.state.owner != self._peer.owner:
            self._hear_of(event.state)
        elif isinstance(event, SchemaKnown):  # replicas wait for theirs
            self.look()

    def stop(self) -> None:
        """Record no more. What was recorded stays."""
        for recorder in self._recorders.values():
            if recorder is not None:
                recorder.stop()
        self._recorders.clear()

    def _hear_of(self, state: OwnerState) -> None:
        """Look at an owner's machines if others have come or gone: most records only change clocks."""
        owner, indexes = state.owner, frozenset(state.keys())
        if self._seen.get(owner) == indexes:
            return
        self._seen[owner] = indexes
        for replica in [one for one in self._recorders if one.is_gone]:
            recorder = self._recorders.pop(replica)
            if recorder is not None:
                recorder.stop()
        self._record(self._peer.replicas(owner=owner))

    def _record(self, replicas: list[Replica]) -> None:
        for replica in replicas:
            if replica in self._recorders or not (self._wants is None or self._wants(replica)):
                continue
            name = f"updates of {peer_id_of(replica.owner)} by {self._peer.id}"
            try:
                self._recorders[replica] = self._history.record(replica, owner=name, beside=True)
            except QuestionError:
                self._recorders[replica] = None
                self.refused += 1


@contextmanager
def record_beliefs(
    history: History, peer: Peer, *, wants: Callable[[Replica], bool] | None = None
) -> Iterator[Beliefs]:
    """Record what a peer believes of the machines of others, for as long as the block lasts.

    That is a row for each update that gossip brings, beside those of an observer.

    Args:
        history: where it is kept.
        peer: whose replicas these are.
        wants: tells of which replicas; None: of all.
    """
    beliefs = Beliefs(history, peer, wants)
    peer.listen(beliefs.hear)
    try:
        beliefs.look()
        yield beliefs
    finally:
        peer.unlisten(beliefs.hear)
        beliefs.stop()
