"""The canonical binary encoding under all messages.

Unsigned integers are LEB128 varints in their shortest form; strings are UTF-8 behind their length. There is one way to
write a value, and a decoder takes no other: what it accepts, encoded again, is the same bytes.
"""

from __future__ import annotations

from pubsub.errors import WireError

MAX_VARINT = 10  # bytes, for 64 bits
U64 = (1 << 64) - 1
_ONE_BYTE = [bytes((n,)) for n in range(128)]


def varint(value: int) -> bytes:
    """Return an integer from 0 to 2**64 - 1 as a varint."""
    if 0 <= value < 128:
        return _ONE_BYTE[value]
    if not 0 <= value <= U64:
        raise ValueError(f"{value} does not fit in 64 bits")
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def varints(values: tuple[int, ...]) -> bytes:
    """Return integers as varints, one behind the other."""
    try:
        packed = bytes(values)
    except ValueError:  # one is above 255
        return b"".join([varint(v) for v in values])
    return packed if packed.isascii() else b"".join([varint(v) for v in values])


def text(value: str) -> bytes:
    """Return a string behind the number of its bytes."""
    raw = value.encode()
    return varint(len(raw)) + raw


class Reader:
    """Read what was written, front to back.

    Raises:
        WireError: from every method, if the bytes end too early or are not canonical.
    """

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._end = len(data)

    @property
    def left(self) -> int:
        """How many bytes have not been read."""
        return self._end - self._at

    def byte(self) -> int:
        """Read one byte."""
        at = self._at
        if at >= self._end:
            raise WireError("the message ends too early")
        self._at = at + 1
        return self._data[at]

    def take(self, count: int) -> bytes:
        """Read so many bytes."""
        at, end = self._at, self._at + count
        if end > self._end:
            raise WireError("the message ends too early")
        self._at = end
        return self._data[at:end]

    def varint(self, limit: int = U64) -> int:
        """Read a varint of at most `limit`."""
        first = self.byte()
        if first < 128:
            value = first
        else:
            value, shift = first & 127, 7
            while True:
                byte = self.byte()
                value |= (byte & 127) << shift
                if byte < 128:
                    break
                shift += 7
                if shift >= 7 * MAX_VARINT:
                    raise WireError("a number is longer than 64 bits")
            if byte == 0:
                raise WireError("a number is not in its shortest form")
        if value > limit:
            raise WireError(f"the number {value} is above its limit {limit}")
        return value

    def text(self, limit: int) -> str:
        """Read a string of at most `limit` bytes."""
        raw = self.take(self.varint(limit))
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise WireError("a text is not UTF-8") from None

    def end(self) -> None:
        """Make sure that everything has been read."""
        if self._at != self._end:
            raise WireError(f"{self._end - self._at} bytes are left over")
