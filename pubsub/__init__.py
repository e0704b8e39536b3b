"""Carry the clocks of machines between processes, by gossip: a core without I/O, and peers on trio and libp2p.

core, boundary, parameters      one peer's protocol; what calls it and is told in return; what can be tuned
hearsay, exposing               what is heard of others, and passed on; this peer's own machines, and when they are told
events, links, dialling         what the core tells; all links and what they share; whom to dial again
epochs                          which epoch of a key comes next, kept on the disk
eager, link, repair, messages   the planes that carry records, and what peers say on them
schemas, catalog                schemas as bytes, and their hash; each fetched once
pull, serve                     the log of a machine, pulled from its owner
codec                           all that peers say, as bytes
wire, record, proof, errors     canonical bytes; what an owner signs; evidence against one that cheats; what goes wrong
identity, hlc                   keys and the domain of a signature; hybrid logical time
state, ledger, accept           what is known of an owner, of all, and the one way by which it changes
numbers, buckets                owners by number, for lists of what is kept of each; fingerprints of what is known
suspicion, detector, liveness   who is suspected, by whom and when
membership, members, early      who is alive, suspect, dead or has left; suspicions that wait to be judged
opening, peer, logs, driver     the trio shell of a core: what a program opens, and what runs it
transport                       connections: on libp2p, and in memory
keys, names, counters           the key file; peer ids; all counters in one place
neighbours                      where others are, and whom to connect with
announcement, mdns              what a peer says on the local network; what says and hears it
replica                         machines of others, as readers
publisher                       from this peer's own machines to signed records
"""

from pubsub.accept import Accepted, Acceptor, Verdict
from pubsub.errors import ExposeError, IdentityError, PubsubError, WireError
from pubsub.hlc import HybridClock
from pubsub.identity import Domain, Identity
from pubsub.ledger import Ledger
from pubsub.proof import Proof, decode_proof
from pubsub.publisher import Publisher
from pubsub.record import Description, Header, Part, Record, decode_record
from pubsub.state import MachineState, OwnerState, merge

__all__ = [
    "Accepted",
    "Acceptor",
    "Description",
    "Domain",
    "ExposeError",
    "Header",
    "HybridClock",
    "Identity",
    "IdentityError",
    "Ledger",
    "MachineState",
    "OwnerState",
    "Part",
    "Proof",
    "Publisher",
    "PubsubError",
    "Record",
    "Verdict",
    "WireError",
    "decode_proof",
    "decode_record",
    "merge",
]
