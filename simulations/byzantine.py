"""Byzantine peers: wrappers around an honest node that tamper with what it says.

A wrapper knows nothing of the protocol. What a forged or an equivocal message looks like is told by a `Forger`, which
the protocol under test supplies. Wrap in the factory: `lambda peer, host: Replay(Flood(peer, host), host) if peer == 3
else Flood(peer, host)`. All they draw comes from the host, so that a run with liars can be repeated like any other.
"""

from __future__ import annotations

import random
from typing import Protocol

from pubsub.boundary import LINK, PUBLISH, SEND, Host, Message, Node, Output, Outputs

REMEMBERED = 256  # frames that a replayer keeps


class Forger(Protocol):
    """How to lie in a protocol. Each returns None if there is nothing to be made of this message."""

    def forge(self, message: Message, rng: random.Random) -> Message | None:
        """Return the message with something changed that its author did not say."""

    def equivocate(self, message: Message, rng: random.Random) -> Message | None:
        """Return another message of our own in place of this one, as valid as this one."""

    def hide(self, message: Message, rng: random.Random) -> Message | None:
        """Return the message without what shall be hidden; None hides all of it."""


class Byzantine:
    """A wrapper that passes everything on. Each kind of liar overrides `tamper`."""

    def __init__(self, node: Node[int], host: Host, forger: Forger | None = None, *, rate: float = 1.0) -> None:
        self.node = node
        self.rate = rate  # the share of messages that it tampers with
        self.tampered = 0
        self._forger = forger
        self._random = host.random

    def tamper(self, out: Output[int]) -> Outputs[int]:
        """Return what is said in place of a SEND or a PUBLISH."""
        return (out,)

    @property
    def forger(self) -> Forger:
        """The protocol's hooks; not every kind needs them."""
        assert self._forger is not None, f"{type(self).__name__} needs a forger"
        return self._forger

    def _lie(self, outputs: Outputs[int]) -> Outputs[int]:
        told: list[Output[int]] = []
        for out in outputs:
            if (out[0] == SEND or out[0] == PUBLISH) and self._random.random() < self.rate:
                told += self.tamper(out)
            else:
                told.append(out)
        return told

    def start(self, now: int) -> Outputs[int]:
        """Pass on."""
        return self._lie(self.node.start(now))

    def link_up(self, now: int, peer: int, dialed_by_us: bool) -> Outputs[int]:
        """Pass on."""
        return self._lie(self.node.link_up(now, peer, dialed_by_us))

    def link_down(self, now: int, peer: int) -> Outputs[int]:
        """Pass on."""
        return self._lie(self.node.link_down(now, peer))

    def receive(self, now: int, peer: int, channel: int, stream: int, message: Message) -> Outputs[int]:
        """Pass on."""
        return self._lie(self.node.receive(now, peer, channel, stream, message))

    def topic(self, now: int, peer: int, message: Message) -> Outputs[int]:
        """Pass on."""
        return self._lie(self.node.topic(now, peer, message))

    def timer(self, now: int) -> Outputs[int]:
        """Pass on."""
        return self._lie(self.node.timer(now))

    def say(self, outputs: Outputs[int]) -> Outputs[int]:
        """Tamper with what the application got from the wrapped node itself."""
        return self._lie(outputs)

    def _instead(self, out: Output[int], message: Message | None) -> Outputs[int]:
        """Return the output with another message; as it was, if there is none."""
        if message is None:
            return (out,)
        self.tampered += 1
        if out[0] == SEND:
            return ((SEND, out[1], out[2], out[3], message),)
        return ((PUBLISH, message),)


class Forge(Byzantine):
    """Changes what it passes on."""

    def tamper(self, out: Output[int]) -> Outputs[int]:
        """Say something forged."""
        return self._instead(out, self.forger.forge(_message(out), self._random))


class Equivocate(Byzantine):
    """Says one thing to peers with even numbers and another to those with odd ones; on the topic both."""

    def tamper(self, out: Output[int]) -> Outputs[int]:
        """Say the other thing."""
        if out[0] == SEND and out[1] % 2 == 0:
            return (out,)
        other = self._instead(out, self.forger.equivocate(_message(out), self._random))
        return other if out[0] == SEND or other == (out,) else (out, *other)


class Hide(Byzantine):
    """Keeps to itself what it should pass on."""

    def tamper(self, out: Output[int]) -> Outputs[int]:
        """Say less, or nothing. Without a forger: nothing."""
        message = self._forger.hide(_message(out), self._random) if self._forger else None
        if message is None:
            self.tampered += 1
            return ()
        return self._instead(out, message) if message is not _message(out) else (out,)


class Replay(Byzantine):
    """Says again, after each message, one that it said or passed on long ago; to whoever is addressed now."""

    def __init__(self, node: Node[int], host: Host, forger: Forger | None = None, *, rate: float = 1.0) -> None:
        super().__init__(node, host, forger, rate=rate)
        self._heard: list[Output[int]] = []

    def tamper(self, out: Output[int]) -> Outputs[int]:
        """Say both."""
        old = self._random.choice(self._heard) if self._heard else None
        self._remember(out)
        if old is None:
            return (out,)
        self.tampered += 1
        if out[0] == SEND and old[0] == SEND:
            return (out, (SEND, out[1], old[2], old[3], old[4]))
        return (out, old)

    def _remember(self, out: Output[int]) -> None:
        if len(self._heard) < REMEMBERED:
            self._heard.append(out)
        else:
            self._heard[self._random.randrange(REMEMBERED)] = out


class Flooding(Byzantine):
    """Says everything many times over."""

    times = 20

    def tamper(self, out: Output[int]) -> Outputs[int]:
        """Say it again and again."""
        self.tampered += 1
        return (out,) * self.times


class Garbage(Byzantine):
    """Sends a message of another kind after each one, on channel LINK; the forger makes it."""

    def tamper(self, out: Output[int]) -> Outputs[int]:
        """Say both."""
        garbage = self.forger.forge(_message(out), self._random)
        if garbage is None or out[0] != SEND:
            return (out,)
        self.tampered += 1
        return (out, (SEND, out[1], LINK, 0, garbage))


def _message(out: Output[int]) -> Message:
    assert out[0] == SEND or out[0] == PUBLISH
    return out[4] if out[0] == SEND else out[1]
