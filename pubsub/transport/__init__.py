"""What carries messages between peers. A transport knows no protocol; `pubsub.driver` puts a core on one.

contract    what a transport and a connection are, and a codec
memory, end a network inside one trio program, for tests and demonstrations; one end of a connection in it
delays      how long things take there
clock       trio's clock in whole microseconds, as cores count
errors      what may go wrong with a connection
"""

from pubsub.transport.contract import Codec, Connection, Judge, Transport
from pubsub.transport.delays import Delays, Steady
from pubsub.transport.errors import ConnectionLost, DialError, Overrun, TransportError
from pubsub.transport.memory import MemoryNetwork, MemoryTransport

__all__ = [
    "Codec",
    "Connection",
    "ConnectionLost",
    "Delays",
    "DialError",
    "Judge",
    "MemoryNetwork",
    "MemoryTransport",
    "Overrun",
    "Steady",
    "Transport",
    "TransportError",
]
