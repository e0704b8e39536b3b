"""Exposing: this peer's own machines, from a change to the record that is told; and the epochs in which it speaks.

A machine that is exposed is watched, and looked at when it has changed. An idle peer publishes at once, a busy one in
a while, and then all that came together. Whatever anybody else publishes under this key ends an epoch, see `Epochs`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from machine import Reader, Schema, Tracer, Transition
from pubsub.boundary import NEVER, NOTIFY, PUBLISH, Host, Output
from pubsub.eager import Eager
from pubsub.epochs import Epochs
from pubsub.errors import ExposeError, IdentityError
from pubsub.events import KeyInUse, Published
from pubsub.hlc import HybridClock
from pubsub.identity import Domain, Identity
from pubsub.ledger import Ledger
from pubsub.links import Links, parcel_of
from pubsub.liveness import Liveness
from pubsub.parameters import CoreCounts, Parameters
from pubsub.publisher import Exposure, Publisher
from pubsub.record import Header
from pubsub.state import OwnerState

P = TypeVar("P", bound=Hashable)
OWN_PAUSE = 100_000  # us between two records of this peer: half of the rate at which others take them


class Exposing(Generic[P]):
    """The machines that one peer has others know.

    Args:
        host, identity, domain, clock: what a `Publisher` and `Epochs` need.
        parameters, counts: of the core.
        ledger, links, eager, liveness: are told of what is published.
        hash_of: returns the hash of a schema, and keeps the schema.

    Attributes:
        publisher: signs.
        epochs: which epoch comes next.
        due: when to `publish`, us; NEVER: there is nothing new.
        has_started: whether what is exposed is published now, or by `start`.
    """

    def __init__(
        self,
        host: Host,
        identity: Identity,
        domain: Domain,
        clock: HybridClock,
        *,
        parameters: Parameters,
        counts: CoreCounts,
        ledger: Ledger,
        links: Links[P],
        eager: Eager,
        liveness: Liveness[P],
        hash_of: Callable[[Schema], bytes],
    ) -> None:
        self.publisher = Publisher(identity, domain, clock, 0, hash_of=hash_of)
        self.epochs = Epochs(host.disk, host.wall)
        self.due = NEVER
        self._parameters = parameters
        self._counts = counts
        self._ledger = ledger
        self._links = links
        self._eager = eager
        self._liveness = liveness
        self._last = -NEVER  # when it has published, us
        self._watchers: dict[int, _Watcher] = {}
        self.has_started = False
        self._has_left = False

    # -- life

    def start(self) -> None:
        """Begin a new life, in an epoch above all earlier ones; then `publish`.

        Raises:
            IdentityError: this key has used up all epochs. Nothing was written.
        """
        epoch, has_lived = self.epochs.first()
        self.publisher.epoch = epoch
        self.epochs.save(epoch)
        self.has_started = True
        if has_lived:
            self.publisher.touch()  # a record without machines, if there are none, ends what others have of that life

    def leave(self, now: int, out: list[Output[P]]) -> None:
        """Sign a last record, and tell it to all neighbours at once. Nothing is published after it."""
        before = self.publisher.state
        if not self._has_left and self._flush(out, bye=True):
            self._has_left = True
            self._tell(before, now, out)
            out += self._links.flush(now, all_at_once=True)

    # -- machines

    def expose(self, now: int, machine: Reader, out: list[Output[P]]) -> None:
        """Publish a machine, and all its changes, from now on, or from the start on.

        Raises:
            ExposeError: it cannot be published. Nothing has changed.
        """
        exposure = self.publisher.expose(machine)
        watcher = self._watchers[exposure.index] = _Watcher(self.publisher, exposure, self._watchers)
        machine.add_tracer(watcher)
        if self.has_started:
            self.changed(now, out)

    def unexpose(self, now: int, machine: Reader, out: list[Output[P]]) -> None:
        """Take a machine back.

        Raises:
            ExposeError: it is not exposed.
        """
        exposure = next((e for e in self.publisher.exposures if e.reader is machine), None)
        self.publisher.unexpose(machine)
        watcher = None if exposure is None else self._watchers.pop(exposure.index, None)
        if watcher is not None:
            machine.remove_tracer(watcher)
        self.changed(now, out)

    def changed(self, now: int, out: list[Output[P]]) -> None:
        """Look after the machines, any of which may have changed."""
        if self.publisher.has_news and self.due == NEVER:
            ready = self._last + min(self._parameters.tau, OWN_PAUSE)
            if ready <= now:
                self.publish(now, out)
            else:
                self.due = ready

    def publish(self, now: int, out: list[Output[P]]) -> None:
        """Sign what is new, and have it told."""
        self.due = NEVER
        before = self.publisher.state
        if not self._has_left and self._flush(out):
            self._tell(before, now, out)

    def _flush(self, out: list[Output[P]], *, bye: bool = False) -> bool:
        """Sign what is new; tell whether there was anything. What cannot be published is told, once a change."""
        while bye or self.publisher.has_news:
            try:
                return self.publisher.flush(bye=bye) is not None
            except ExposeError as error:
                self._counts.unpublished += 1
                out.append((NOTIFY, error))
        return False

    def _tell(self, before: OwnerState | None, now: int, out: list[Output[P]]) -> None:
        self._last = now
        state = self.publisher.state
        assert state is not None
        self._liveness.published(now, state.order)
        number = self._ledger.commit(state)
        out.append((NOTIFY, Published(state)))
        is_eager = bool(self._parameters.eager and self._links and self._eager.may_publish(now))
        if is_eager:
            out.append((PUBLISH, parcel_of(state, before)))
        if self._parameters.links and self._links and (self._has_left or not is_eager):
            self._links.lazy.ours(number)
            if self._has_left:  # nobody could ask for it any more
                for link in self._links.values():
                    link.unprune(number)
            self._links.outbox.mark(number, before, now)

    # -- epochs

    def outlive(self, header: Header, now: int, out: list[Output[P]]) -> None:
        """Somebody has records of this very peer, from a life that the disk forgot: see to it that it is over."""
        if header.epoch < self.publisher.epoch:
            if self.publisher.state is None:  # nothing was published in this life that would end that one
                self.publisher.touch()
                self.publish(now, out)
        elif self.epochs.outlive(header.epoch, now):
            self.restart(now, out)

    def restart(self, now: int, out: list[Output[P]]) -> None:
        """Begin an epoch above all that others have shown of this peer."""
        self._counts.restarts += 1
        if not self.epochs.begun(now):
            out.append((NOTIFY, KeyInUse(self.epochs.above)))
        try:
            self.publisher.restart(self.epochs.above + 1)
        except IdentityError as error:  # no epoch is left above it: this key can never speak again
            out.append((NOTIFY, error))
            return
        self.epochs.save(self.publisher.epoch)
        self.publish(now, out)


@dataclass(slots=True, eq=False)
class _Watcher(Tracer):
    """Tells the publisher which machine has changed; it is one of `watchers`, by index, while the machine lives."""

    publisher: Publisher
    exposure: Exposure
    watchers: dict[int, _Watcher] = field(repr=False)
    id: str = field(default="pubsub")

    def transition_end(self, transition: Transition) -> None:
        """Note a change of the clock."""
        if transition.ticks_before != transition.ticks_after:
            self.publisher.changed(self.exposure)

    def schema_change(self, machine: Reader, old: Schema) -> None:
        """Note a new schema, which may come without a change of the clock."""
        self.publisher.changed(self.exposure)

    def machine_restored(self, machine: Reader) -> None:
        """Note a clock that was brought back."""
        self.publisher.changed(self.exposure)

    def machine_dispose(self, machine: Reader) -> None:
        """Note the end, which makes a tombstone."""
        self.publisher.changed(self.exposure)
        self.watchers.pop(self.exposure.index, None)
