"""Join a running network for a moment, as a guest: a peer with a key for once, which shares nothing and is no member.

Whoever looks at a network wants all of it, and soon. So `settled` waits for a neighbour, for a repair with it, and for
the schemas of all machines that came; it says why, if that takes too long.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import trio

from asyncmachine.config import Settings
from asyncmachine.errors import ConfigError, SetupError
from pubsub.events import Committed
from pubsub.names import is_internal
from pubsub.opening import OpenTransport, open_peer
from pubsub.peer import Peer
from pubsub.replica import Replica
from pubsub.state import OwnerState

LOOK: Final = 0.1  # s between two looks at what has come
ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # where who listens everywhere is reached on this computer


class NobodyError(SetupError):
    """Report that no peer of the topic was found in time; says what may be the reason."""


class Guest:
    """A peer that looks at a network. Made by `join`.

    Attributes:
        peer: the peer itself.
    """

    def __init__(self, peer: Peer, settings: Settings) -> None:
        self.peer = peer
        self._settings = settings
        self._states: dict[bytes, OwnerState] = {}
        self._rung = trio.Event()

    async def news(self) -> None:
        """Wait for the next event, which may bring a machine."""
        await self._rung.wait()

    def hear(self, event: object) -> None:
        """Note an event of the peer."""
        if isinstance(event, Committed):
            self._states[event.state.owner] = event.state
        rung, self._rung = self._rung, trio.Event()
        rung.set()

    @property
    def is_settled(self) -> bool:
        """Whether all is here that a neighbour had."""
        counters = self.peer.statistics()
        if not counters["links"]["links"] or not counters["repair"]["finished"]:
            return False
        return all(
            len(self.peer.replicas(owner=owner))
            == len({m.description.id for m in state.values() if not is_internal(m.description.id)})
            for owner, state in self._states.items()
        )

    async def settled(self, patience: float) -> bool:
        """Wait until all is here; tell whether it is. At least something is.

        Raises:
            NobodyError: there is no neighbour yet.
        """
        with trio.move_on_after(patience):
            while not self.is_settled:
                with trio.move_on_after(LOOK):  # not all of it is an event
                    await self.news()
            return True
        if not self.peer.statistics()["links"]["links"]:
            raise NobodyError(self.nobody(patience))
        return False

    def nobody(self, patience: float) -> str:
        """Return why there may be no neighbour."""
        config, counters = self._settings.config, self.peer.statistics()
        told = f"no peer of the topic {self._settings.topic!r} was found within {patience:g} s"
        strangers = counters.get("transport", {}).get("strangers", 0)
        if strangers:
            return f"{told}, and {strangers} connections were of strangers: does the topic, or its key, differ?"
        if config.allow is not None and config.key is None:
            return f"{told}: the topic is closed (allow), so give --key FILE of a peer that it allows"
        where = f" at {', '.join(config.connect)}" if config.connect else ""
        return f"{told}{where}: is it there, with this topic and topic key, and does it allow this guest (--key)?"

    def find(self, id: str, owner: str | None) -> list[Replica]:
        """Return the machines of an id that are known, of all owners or of one, given by the end of its peer id."""
        found = self.peer.replicas(id=id)
        return found if owner is None else [one for one in found if is_owner(one, owner)]


def is_owner(replica: Replica, owner: str) -> bool:
    """Tell whether a machine is of a peer, given by its peer id or the end of it."""
    from pubsub.names import peer_id_of

    return peer_id_of(replica.owner).endswith(owner.lstrip("…."))


@asynccontextmanager
async def join(settings: Settings, *, transport: OpenTransport | None = None) -> AsyncIterator[Guest]:
    """Open a guest for as long as the block lasts.

    With the configuration of a peer, the guest begins with that peer itself, where it listens on a fixed port, and with
    those that it connects with. It has a key of its own: that of the peer is in use.

    Args:
        settings: what to join.
        transport: another one than libp2p; for tests.

    Raises:
        ConfigError: they say neither of which network, nor where it is.
    """
    config = settings.config
    if transport is None:
        settings.check_network()
    connect = [*own_addresses(settings), *config.connect]
    if not connect and not config.mdns and transport is None:
        raise ConfigError(
            "nobody to begin with: give --connect ADDRESS of a peer, --mdns, or --config FILE of one that"
            " listens on a fixed port"
        )
    guests: list[Guest] = []
    async with open_peer(
        settings.topic,
        key_file=config.key if settings.places.get("key") == "--key" else None,
        listen=(),
        connect=connect,
        topic_key=settings.topic_key,
        mdns=config.mdns,
        notify=lambda event: guests[0].hear(event) if guests else None,
        transport=transport,
        is_guest=True,
    ) as peer:
        guests.append(Guest(peer, settings))
        try:
            yield guests[0]
        finally:
            if any(member.owner == peer.owner for member in peer.members()):  # its key has lived before
                with trio.CancelScope(shield=True):
                    await peer.leave()


def own_addresses(settings: Settings) -> list[str]:
    """Return where the peer of a configuration file is reached on this computer; none, if that cannot be told."""
    from pubsub.keys import read_identity
    from pubsub.names import peer_id_of

    config = settings.config
    if config.key is None or "key" not in settings.places or not Path(config.key).exists():
        return []
    if settings.places["key"] == "--key":
        return []  # that of the guest
    with settings.blame("key"):
        id = peer_id_of(read_identity(Path(config.key)).owner)
    found = []
    for address in config.listen:
        _, kind, host, *rest = [*address.split("/"), "", ""][:5]
        if rest[0] == "tcp" and rest[1] not in ("", "0"):
            found.append(f"/{kind}/{ANY.get(host, host)}/tcp/{rest[1]}/p2p/{id}")
    return found
