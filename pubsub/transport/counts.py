"""What one transport has done and refused."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class TransportCounts:
    """Counts since the transport opened."""

    dials: int = 0
    failed_dials: int = 0
    accepted: int = 0
    """Connections that somebody else has made, after a good hello."""
    ended: int = 0
    sent: int = 0
    received: int = 0
    bytes_sent: int = 0
    """In the streams of connections; yamux, noise and TCP come on top."""
    bytes_received: int = 0

    crowded: int = 0
    """Connections of others that were closed at once, since too many had not said a good hello yet, or were there."""
    too_fast: int = 0
    """Connections of others that were closed at once, since more came from their address than may."""
    unproven: int = 0
    """Connections of others that ended before a good hello, whyever; most of those below are among them."""
    refused: int = 0
    """Connections with peers that are not allowed, or have no Ed25519 key."""
    twins: int = 0
    """Connections with somebody who has the very key of this peer."""
    strangers: int = 0
    """Connections that were closed since the hello was about another topic, or made with another key of it."""
    silent: int = 0
    """Connections that were closed since no hello came in time."""
    crossed: int = 0
    """Connections that were closed since both ends had dialled, and the other one's was kept."""
    replaced: int = 0
    """Connections that were closed since their peer had made a newer one."""
    garbled: int = 0
    """Connections that were closed since their bytes were no messages, or too many."""
    overrun: int = 0
    """Messages that were not sent since too much waited already."""
    broken: int = 0
    """Connections on which libp2p raised an error while writing."""
    faults: int = 0
    """Errors of libp2p's own handlers, which would have ended the host."""

    forgotten: int = 0
    """Peers whose addresses were forgotten, as too many were known."""

    published: int = 0
    heard: int = 0
    """Messages of the topic that the judge was asked about."""
    declined: int = 0
    """Messages of the topic that the judge did not let pass, or that came before there was one."""
    undecodable: int = 0
    """Messages of the topic that were no messages."""
    unpublished: int = 0
    """Messages of the topic that could not be sent: there is no topic, or its queue was full."""
