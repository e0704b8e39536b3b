"""Messages for the fuzzer: some of each kind, and what must hold of any bytes that a decoder takes for one."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

from pubsub.boundary import CATALOG, CHANNELS, HISTORY, LINK, SYNC, TOPIC, Message
from pubsub.codec import ConnectionCodec, decode, encode, encode_frame
from pubsub.errors import WireError
from pubsub.identity import Domain, Identity
from pubsub.messages import (
    INTRODUCTION,
    Announcement,
    Bodies,
    Entries,
    Exchange,
    Frame,
    Notice,
    Parcel,
    Reason,
    Rows,
    RowsAsk,
    RowsEnd,
    SchemaAsk,
    Summary,
)
from pubsub.proof import Proof
from pubsub.record import Record
from pubsub.suspicion import suspect
from pubsub.wire import Reader


class Messages:
    """A corpus of messages as bytes, by channel.

    Args:
        rng: chooses.
        records: to carry.
        owners: short form -> key of whoever has signed these.
        proof: one that is true.
        schemas: canonical forms.
    """

    def __init__(
        self,
        rng: random.Random,
        records: Sequence[Record],
        owners: dict[bytes, bytes],
        proof: Proof,
        schemas: Sequence[bytes],
    ) -> None:
        self._rng = rng
        self._owners = owners
        some = [Parcel.of(record) for record in rng.sample(records, min(len(records), 12))]
        shorts = tuple(owners)
        witness = Identity.generate(rng.randbytes)
        suspicion = suspect(witness, Domain("fuzz"), proof.owner, (1, 300), 1)
        notices: tuple[Notice, ...] = (proof, suspicion)
        groups = tuple((at, tuple((s, 1, 300, at) for s in shorts)) for at in (0, 3, 15))
        messages: list[tuple[int, Message]] = [
            *[(TOPIC, parcel) for parcel in some[:4]],
            *[(TOPIC, Announcement(notice)) for notice in notices],
            (LINK, Frame((), 300, ping=True)),
            (LINK, Frame(tuple(some[:6]), 1 << 20, shorts)),
            (LINK, Frame(tuple(some[6:]), 0, (), True, notices, 1 << 18, parting=True)),
            (LINK, Frame((), 0, prunes=shorts, haves=tuple((short, 1, 300) for short in shorts))),
            (SYNC, Summary(tuple(rng.randrange(1 << 32) for _ in range(32)), (1, 8))),
            (SYNC, Entries(16, groups)),
            (SYNC, Exchange(tuple(some[:5]), shorts, last=False)),
            (CATALOG, SchemaAsk((bytes(16), rng.randbytes(16)))),
            (CATALOG, Bodies(tuple(schemas))),
            (HISTORY, RowsAsk("m1", (1, 300), (2, 1))),
            (HISTORY, Rows(tuple((1, at, rng.randbytes(at)) for at in range(120, 135)))),
            (HISTORY, RowsEnd(Reason.BUSY)),
        ]
        self.corpus = [(channel, ConnectionCodec().encode(channel, message)) for channel, message in messages]
        self.corpus += [(LINK, encode_frame(m, [True] * len(m.parcels))) for _, m in messages if isinstance(m, Frame)]

    def draw(self) -> tuple[int, bytes]:
        """Return a channel, nearly always the right one, and a message."""
        channel, data = self._rng.choice(self.corpus)
        return (channel if self._rng.random() < 0.9 else self._rng.randrange(len(CHANNELS))), data

    def judge(self, channel: int, data: bytes) -> str:
        """Give bytes to a decoder and hold what comes out of it against them; return what became of them."""
        name = CHANNELS[channel]
        introduced = dict(self._owners)
        try:
            message = decode(channel, data, introduced)
        except WireError:
            return f"{name}: refused by the decoder"
        if isinstance(message, Frame):
            forms = short_forms(data)
            assert encode_frame(message, forms) == data, "a frame has two encodings"
            size = message.size + INTRODUCTION * forms.count(False)
        else:
            assert encode(message) == data, "a message has two encodings"
            size = message.size + (INTRODUCTION - 1 if isinstance(message, Parcel) else 0)
        assert size == len(data), "a message has not the size that it says"
        assert len(introduced) <= len(self._owners) + (size if isinstance(message, Frame) else 0) // 100
        return f"{name}: decoded"


def short_forms(data: bytes) -> list[bool]:
    """Return for each record of an encoded frame whether its owner is there by the short form."""
    reader = Reader(data)
    reader.take(2)
    reader.varint()
    reader.varint()
    found = []
    for _ in range(reader.varint()):
        (less,) = struct.unpack(">H", reader.take(2))
        found.append(reader.take(less + 1)[1] & 128 != 0)
    return found
