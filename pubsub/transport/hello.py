"""What two peers say first on a connection: that they speak of the same topic, and hold its key.

    version 1 | blake2b-128 of the topic, 16 | incarnation 8 | connection 8 | last 8 | where the topic has a key: MAC 16

The dialler speaks first, and the other answers only what it accepts: so who is refused learns nothing. `incarnation`
is drawn when a transport opens. `connection` is drawn by who dials; an answer repeats it. `last` is the connection with
this peer that the sender knew last, or zeros. By these, two peers tell a dial that crossed another one from a dial
after a connection that has died unnoticed at one end.

Noise has proven the keys of both. The MAC is blake2b-128 with the topic's key over the application, the topic, both
keys and the rest of the hello, so it is of use to nobody else.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from hashlib import blake2b

from pubsub.errors import WireError
from pubsub.identity import APPLICATION, MAC_BYTES, Domain
from pubsub.wire import text

VERSION = 1
TOPIC_BYTES = 16
TOKEN_BYTES = 8
MAX_HELLO = 1 + TOPIC_BYTES + 3 * TOKEN_BYTES + MAC_BYTES
NONE = bytes(TOKEN_BYTES)


@dataclass(frozen=True, slots=True)
class Hello:
    """What one side says."""

    incarnation: bytes
    connection: bytes
    last: bytes = NONE

    def encode(self, domain: Domain, sender: bytes, receiver: bytes) -> bytes:
        """Return it as bytes, for this receiver only."""
        said = bytes((VERSION,)) + _digest(domain) + self.incarnation + self.connection + self.last
        return said + _mac(domain, sender, receiver, said)


def decode_hello(data: bytes, domain: Domain, sender: bytes, receiver: bytes) -> Hello:
    """Return what was said.

    Raises:
        WireError: it is no hello, or is about another topic, or the sender does not hold the topic's key.
    """
    bare = MAX_HELLO - MAC_BYTES
    if data[:1] != bytes((VERSION,)) or len(data) != (MAX_HELLO if domain.key else bare):
        raise WireError("no hello of this version")
    if data[1 : 1 + TOPIC_BYTES] != _digest(domain):
        raise WireError("another topic")
    if not hmac.compare_digest(data[bare:], _mac(domain, sender, receiver, data[:bare])):
        raise WireError("another key of the topic")
    at = 1 + TOPIC_BYTES
    return Hello(*(data[i : i + TOKEN_BYTES] for i in range(at, bare, TOKEN_BYTES)))


def _digest(domain: Domain) -> bytes:
    return blake2b(text(APPLICATION) + text(domain.topic), digest_size=TOPIC_BYTES).digest()


def _mac(domain: Domain, sender: bytes, receiver: bytes, said: bytes) -> bytes:
    if not domain.key:
        return b""
    bound = text(APPLICATION) + text(domain.topic) + sender + receiver + said
    return blake2b(bound, key=domain.key, digest_size=MAC_BYTES).digest()
