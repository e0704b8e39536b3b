"""What carries messages between peers. A transport knows no protocol; `pubsub.driver` puts a core on one.

contract    what a transport and a connection are, and a codec
memory, end a network inside one trio program, for tests and demonstrations; one end of a connection in it
delays      how long things take there
clock       trio's clock in whole microseconds, as cores count
errors      what may go wrong with a connection

On libp2p, which nobody but these imports:

libp2p, meeting       what a driver sees of it; how two peers come to have one connection
line, framing, hello  one end of a connection; how messages lie in its stream, and which is the first
gossipsub, records    the topic
host, muxer, wire     the host, yamux, and TCP with noise, and what each is kept from
door                  who may come in, before anything is known of it
addresses, book       where peers are; what is remembered of that
counts, deferred      what was done and refused; what libp2p imports and nobody here needs
"""

from pubsub.transport.contract import Codec, Connection, Judge, Transport
from pubsub.transport.deferred import defer
from pubsub.transport.delays import Delays, Steady
from pubsub.transport.errors import AddressError, ConnectionLost, DialError, ListenError, Overrun, TransportError
from pubsub.transport.memory import MemoryNetwork, MemoryTransport

# Here, as this runs before any module below it imports libp2p.
defer("httpx", "requests")

__all__ = [
    "AddressError",
    "Codec",
    "Connection",
    "ConnectionLost",
    "Delays",
    "DialError",
    "Judge",
    "ListenError",
    "MemoryNetwork",
    "MemoryTransport",
    "Overrun",
    "Steady",
    "Transport",
    "TransportError",
]
