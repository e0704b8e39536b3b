"""Toy nodes: small protocols that show the engine at work, measure it, and test it.

`Echo` answers each frame with one, `Pinger` measures round trips, `Flood` spreads numbered values of its own to
everybody and `Shout` does so on the topic.
"""

from __future__ import annotations

from dataclasses import dataclass

from pubsub.boundary import DIAL, LINK, NOTIFY, PUBLISH, REFUSE, SEND, WAKE, Host, Message, Output, Outputs

PING_EVERY = 1_000_000  # us


@dataclass(frozen=True, slots=True)
class Ball:
    """What echoes throw at each other."""

    size: int = 100


class Quiet:
    """A node that does nothing."""

    def __init__(self, peer: int, host: Host) -> None:
        self.peer = peer
        self.host = host

    def start(self, now: int) -> Outputs[int]:
        """Do nothing."""
        return ()

    def link_up(self, now: int, peer: int, dialed_by_us: bool) -> Outputs[int]:
        """Do nothing."""
        return ()

    def link_down(self, now: int, peer: int) -> Outputs[int]:
        """Do nothing."""
        return ()

    def receive(self, now: int, peer: int, channel: int, stream: int, message: Message) -> Outputs[int]:
        """Do nothing."""
        return ()

    def topic(self, now: int, peer: int, message: Message) -> Outputs[int]:
        """Do nothing."""
        return ()

    def timer(self, now: int) -> Outputs[int]:
        """Do nothing."""
        return ()


@dataclass(frozen=True, slots=True)
class Heard:
    """A frame as a `Listener` received it."""

    now: int
    peer: int
    channel: int
    stream: int
    size: int


class Listener(Quiet):
    """Writes down whatever it is told, and says what it is asked to."""

    def __init__(self, peer: int, host: Host) -> None:
        super().__init__(peer, host)
        self.heard: list[Heard] = []
        self.told: list[tuple[str, int, int]] = []  # ("up" or "down" or "timer", now, peer)

    def link_up(self, now: int, peer: int, dialed_by_us: bool) -> Outputs[int]:
        """Write it down."""
        self.told.append(("up", now, peer))
        return ()

    def link_down(self, now: int, peer: int) -> Outputs[int]:
        """Write it down."""
        self.told.append(("down", now, peer))
        return ()

    def receive(self, now: int, peer: int, channel: int, stream: int, message: Message) -> Outputs[int]:
        """Write it down."""
        self.heard.append(Heard(now, peer, channel, stream, message.size))
        return ()

    def timer(self, now: int) -> Outputs[int]:
        """Write it down."""
        self.told.append(("timer", now, self.peer))
        return ()

    def say(self, peer: int, *, number: int = 0, size: int = 100, channel: int = LINK) -> Outputs[int]:
        """Send a ball; the number goes where that of a stream does."""
        return [(SEND, peer, channel, number, Ball(size))]


class Echo(Quiet):
    """Throws one ball to each peer it dialled, and back whatever comes."""

    def link_up(self, now: int, peer: int, dialed_by_us: bool) -> Outputs[int]:
        """Serve."""
        return [(SEND, peer, LINK, 0, Ball())] if dialed_by_us else ()

    def receive(self, now: int, peer: int, channel: int, stream: int, message: Message) -> Outputs[int]:
        """Throw it back."""
        return [(SEND, peer, channel, stream, message)]


class Tired(Echo):
    """Throws back so many balls and then no more: where frames are duplicated, those of `Echo` grow without bound."""

    def __init__(self, peer: int, host: Host, answers: int = 500) -> None:
        super().__init__(peer, host)
        self.left = answers

    def receive(self, now: int, peer: int, channel: int, stream: int, message: Message) -> Outputs[int]:
        """Throw it back, or not."""
        self.left -= 1
        return super().receive(now, peer, channel, stream, message) if self.left >= 0 else ()


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for, or is, a sign of life. `sent`: the time of whoever asked."""

    sent: int
    answer: bool
    size: int = 20


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """What a `Pinger` tells: how long a peer took to answer, us."""

    peer: int
    took: int


class Pinger(Quiet):
    """Pings all its neighbours once a second, tells the round trips, and redials whom it lost."""

    def __init__(self, peer: int, host: Host) -> None:
        super().__init__(peer, host)
        self.neighbours: dict[int, None] = {}
        self.lost: dict[int, None] = {}

    def start(self, now: int) -> Outputs[int]:
        """Wait for a random part of the first second."""
        return [(WAKE, now + self.host.random.randrange(PING_EVERY))]

    def link_up(self, now: int, peer: int, dialed_by_us: bool) -> Outputs[int]:
        """Have a neighbour more."""
        self.neighbours[peer] = None
        self.lost.pop(peer, None)
        return ()

    def link_down(self, now: int, peer: int) -> Outputs[int]:
        """Have one less, until it answers again."""
        self.neighbours.pop(peer, None)
        self.lost[peer] = None
        return ()

    def receive(self, now: int, peer: int, channel: int, stream: int, message: Message) -> Outputs[int]:
        """Answer, or tell."""
        assert isinstance(message, Ping)
        if message.answer:
            return [(NOTIFY, RoundTrip(peer, now - message.sent))]
        return [(SEND, peer, LINK, 0, Ping(message.sent, True))]

    def timer(self, now: int) -> Outputs[int]:
        """Ping everybody."""
        outputs: list[Output[int]] = [(SEND, peer, LINK, 0, Ping(now, False)) for peer in self.neighbours]
        outputs += [(DIAL, peer) for peer in self.lost]
        return [*outputs, (WAKE, now + PING_EVERY)]


@dataclass(frozen=True, slots=True)
class Value:
    """The newest value of an owner: versions of one owner only grow."""

    owner: int
    version: int
    text: str = ""

    @property
    def size(self) -> int:
        """A header of 16 bytes, and the text."""
        return 16 + len(self.text)


class Flood(Quiet):
    """Keeps the newest value of everybody, passes on what is news, and sends all it has to each new neighbour.

    Its own version is on disk before anybody hears of it. It is no good protocol: a lost frame stays lost until the
    next connection, and with `forgetful` it does not even read its disk. That is what checkers are tried on.
    """

    forgetful = False

    def __init__(self, peer: int, host: Host) -> None:
        super().__init__(peer, host)
        self.values: dict[int, Value] = {}
        self.neighbours: dict[int, None] = {}
        self.version = 0 if self.forgetful else int(host.disk.read("version") or b"0")

    def link_up(self, now: int, peer: int, dialed_by_us: bool) -> Outputs[int]:
        """Send everything."""
        self.neighbours[peer] = None
        return [(SEND, peer, LINK, 0, value) for value in self.values.values()]

    def link_down(self, now: int, peer: int) -> Outputs[int]:
        """Have one neighbour less."""
        self.neighbours.pop(peer, None)
        return ()

    def receive(self, now: int, peer: int, channel: int, stream: int, message: Message) -> Outputs[int]:
        """Keep and pass on what is newer than what is known."""
        assert isinstance(message, Value)
        return self._take(message, peer)

    def topic(self, now: int, peer: int, message: Message) -> Outputs[int]:
        """Keep what is news; the topic passes it on."""
        assert isinstance(message, Value)
        if not self._is_news(message):
            return [(REFUSE, "old")]
        self.values[message.owner] = message
        return [(NOTIFY, message)]

    def write(self, text: str) -> Outputs[int]:
        """Send a new value of our own to the neighbours."""
        return self._take(self._next(text), self.peer)

    def _next(self, text: str) -> Value:
        self.version += 1
        self.host.disk.write("version", str(self.version).encode())
        self.host.disk.sync()
        return Value(self.peer, self.version, text)

    def _is_news(self, value: Value) -> bool:
        known = self.values.get(value.owner)
        return known is None or value.version > known.version

    def _take(self, value: Value, source: int) -> Outputs[int]:
        if not self._is_news(value):
            return ()
        self.values[value.owner] = value
        told: list[Output[int]] = [(NOTIFY, value)]
        told += [(SEND, peer, LINK, 0, value) for peer in self.neighbours if peer != source]
        return told


class Shout(Flood):
    """A `Flood` that publishes its values on the topic, and sends to new neighbours only."""

    def write(self, text: str) -> Outputs[int]:
        """Publish a new value of our own."""
        value = self._next(text)
        self.values[self.peer] = value
        return [(NOTIFY, value), (PUBLISH, value)]
