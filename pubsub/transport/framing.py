"""How messages lie in the one stream of a connection.

    length, a varint | channel, a byte | stream, a varint | the message's bytes

The length counts what comes behind it. Channel 0, which is the topic's and has no place here, is the transport's own:
a `Hello` as its first message, and later only `ASK` and `ANSWER`, as the stream.
"""

from __future__ import annotations

from typing import Final

from pubsub.boundary import CHANNELS
from pubsub.codec import MAX_SIZE
from pubsub.errors import WireError
from pubsub.wire import MAX_VARINT, Reader, varint

OWN: Final = 0  # the transport's own channel
HELLO: Final = 0
ASK: Final = 1  # to be answered as soon as all before it was read
ANSWER: Final = 2

MAX_FRAME: Final = max(MAX_SIZE.values()) + 1 + MAX_VARINT  # bytes behind the length
_MAX_HEAD: Final = len(varint(MAX_FRAME))

Framed = tuple[int, int, bytes, int]  # channel, stream, message, and how many bytes it took in the stream


def frame(channel: int, stream: int, body: bytes) -> bytes:
    """Return a message as it lies in the stream."""
    head = bytes((channel,)) + varint(stream)
    return varint(len(head) + len(body)) + head + body


class Splitter:
    """Takes bytes as they come in, and gives messages."""

    def __init__(self) -> None:
        self._data = b""
        self._at = 0

    def feed(self, data: bytes) -> None:
        """Take more bytes."""
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0

    def next(self, limit: int = MAX_FRAME) -> Framed | None:
        """Return the next message; None if it is not whole yet.

        Raises:
            WireError: it is longer than the limit, or none.
        """
        data, at = self._data, self._at
        head = data[at : at + _MAX_HEAD]
        if not head:
            return None
        if head[0] < 128:
            length, start = head[0], at + 1
        else:
            width = next((i + 1 for i, byte in enumerate(head) if byte < 128), 0)
            if not width:
                if len(head) < _MAX_HEAD:
                    return None
                raise WireError("a length that is too long")
            length, start = Reader(head[:width]).varint(), at + width
        if length > limit:
            raise WireError(f"{length} bytes are more than {limit}")
        end = start + length
        if len(data) < end:
            return None
        self._at = end
        return *_take(data[start:end]), end - at


def _take(data: bytes) -> tuple[int, int, bytes]:
    if len(data) >= 2 and data[1] < 128:  # as good as always
        channel, stream, body = data[0], data[1], data[2:]
    else:
        reader = Reader(data)
        channel, stream = reader.byte(), reader.varint()
        body = reader.take(reader.left)
    if channel >= len(CHANNELS):
        raise WireError(f"there is no channel {channel}")
    return channel, stream, body
