"""How to lie in the gossip protocol: what the wrappers of `simulations.byzantine` say in place of the truth.

network = GossipNetwork(seed=7, peers=16, rate=10, liars={3: lying(Forge)})
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from pubsub.boundary import Host, Message
from pubsub.core import Core
from pubsub.identity import SIGNATURE_BYTES, Domain, Identity, short_of
from pubsub.messages import Exchange, Frame, Parcel
from pubsub.state import MachineState, OwnerState, root_of
from simulations.byzantine import Byzantine

Carrier: TypeAlias = Frame | Exchange
MakeLiar: TypeAlias = Callable[[Core[int], Host], Byzantine]


class GossipForger:
    """Lies with records, wherever they are: in frames, in exchanges and on the topic.

    Args:
        identity: whose records it can sign: its own.
        domain: the topic.
        state_of: returns what it has published last.
    """

    def __init__(self, identity: Identity, domain: Domain, state_of: Callable[[], OwnerState | None]) -> None:
        self._identity = identity
        self._domain = domain
        self._state_of = state_of
        self._heard_of: dict[bytes, int] = {}  # owner -> epoch

    def forge(self, message: Message, rng: random.Random) -> Message | None:
        """Return the message with a record that its owner never signed: a newer version, another root, a mixed body.

        A frame without records says that there are some, of whoever was heard of before, which nobody has signed.
        """

        def forged(parcel: Parcel) -> Parcel:
            header = parcel.record.header
            kind = rng.randrange(4)
            if kind == 0:
                header = replace(header, version=header.version + 1, signature=rng.randbytes(SIGNATURE_BYTES))
            elif kind == 1:
                header = replace(header, root=rng.randbytes(len(header.root)))
            elif kind == 2:
                header = replace(header, epoch=header.epoch + 1)
            else:  # what is signed is kept, and what it covers is not
                return Parcel.of(replace(parcel.record, parts=parcel.record.parts[:-1]))
            return Parcel.of(replace(parcel.record, header=header))

        if isinstance(message, Frame | Exchange):
            for parcel in message.parcels[:1]:
                self._heard_of[parcel.record.header.owner] = parcel.record.header.epoch
        if isinstance(message, Frame) and not message.parcels and self._heard_of:
            return self._boast(message, rng)
        return _with_one_changed(message, rng, lambda parcel: True, forged)

    def _boast(self, frame: Frame, rng: random.Random) -> Frame:
        """Say that it has newer records of one owner than there are; and that it wants none of another one."""
        owners = list(self._heard_of)
        owner = rng.choice(owners)
        has = (short_of(owner), self._heard_of[owner], rng.randrange(1 << 32))
        return replace(frame, prunes=(*frame.prunes, short_of(rng.choice(owners))), haves=(*frame.haves, has))

    def equivocate(self, message: Message, rng: random.Random) -> Message | None:
        """Return the message with a record of its own that contradicts what it has published, and is as well signed."""
        state = self._state_of()
        if state is None or not state:
            return None
        own = self._identity.owner

        def other(parcel: Parcel) -> Parcel:
            machines = list(state.values())
            first = machines[0]
            ticks = first.ticks or (0,)
            machines[0] = MachineState.build(
                first.index, first.description, first.schema, (ticks[0] + 2 * rng.randint(1, 3), *ticks[1:])
            )
            header = replace(parcel.record.header, root=root_of(machines)).sign(self._identity, self._domain)
            return Parcel.of(OwnerState(header, {machine.index: machine for machine in machines}).record())

        def is_newest(parcel: Parcel) -> bool:
            header = parcel.record.header
            return header.owner == own and header.order == state.order

        return _with_one_changed(message, rng, is_newest, other)

    def hide(self, message: Message, rng: random.Random) -> Message | None:
        """Return the message without the records of half of all owners; the others go through."""
        if isinstance(message, Parcel):
            return message if _is_shown(message) else None
        if not isinstance(message, Frame | Exchange):
            return message
        shown = tuple([parcel for parcel in message.parcels if _is_shown(parcel)])
        return message if len(shown) == len(message.parcels) else replace(message, parcels=shown)


def _is_shown(parcel: Parcel) -> bool:
    return parcel.record.header.owner[0] & 1 == 0


def _with_one_changed(
    message: Message, rng: random.Random, which: Callable[[Parcel], bool], change: Callable[[Parcel], Parcel]
) -> Message | None:
    if isinstance(message, Parcel):
        return change(message) if which(message) else None
    if not isinstance(message, Frame | Exchange):
        return None
    places = [at for at, parcel in enumerate(message.parcels) if which(parcel)]
    if not places:
        return None
    at = rng.choice(places)
    parcels = (*message.parcels[:at], change(message.parcels[at]), *message.parcels[at + 1 :])
    return replace(message, parcels=parcels)


def lying(kind: type[Byzantine], domain: Domain, rate: float = 0.5) -> MakeLiar:
    """Return what makes a core a liar of one kind, which lies with a share of its messages."""

    def make(core: Core[int], host: Host) -> Byzantine:
        forger = GossipForger(core.identity, domain, lambda: core.publisher.state)
        return kind(core, host, forger, rate=rate)

    return make
