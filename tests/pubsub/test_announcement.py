"""What a peer says on the local network is read by peers of its topic, and whatever else comes is refused."""

from __future__ import annotations

import pytest

from pubsub.announcement import SERVICE, digest_of, properties_of, read_announcement, worth_telling
from pubsub.errors import WireError
from pubsub.identity import Domain, Identity
from pubsub.names import peer_id_of

OWNER = Identity(b"m" * 32).owner
PEER = peer_id_of(OWNER)
NAME = f"{PEER}.{SERVICE}"
ADDRESS = f"/ip4/10.9.8.7/tcp/4001/p2p/{PEER}"
HOUSE = Domain("house")


def _as_bytes(properties: dict[str, str]) -> dict[bytes, bytes | None]:
    return {key.encode(): value.encode() for key, value in properties.items()}


def test_an_announcement_is_read_by_peers_of_its_topic_only() -> None:
    assert len(PEER) <= 63  # a label of DNS
    told = _as_bytes(properties_of(HOUSE, [ADDRESS]))
    assert read_announcement(NAME, told, digest_of(HOUSE)) == (OWNER, [ADDRESS])
    for other in (Domain("garden"), Domain("house", b"key"), Domain("")):
        assert read_announcement(NAME, told, digest_of(other)) is None
        assert digest_of(other) != digest_of(HOUSE)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("somebody." + SERVICE, {}),
        (NAME, {b"topic": None}),
        (NAME, {b"topic": b"short"}),
        (NAME, {b"a0": None}),
        (NAME, {b"a0": b"/ip4/10.9.8.7/tcp/4001"}),
        (NAME, {b"a0": b"\xff" + ADDRESS.encode()}),
        (NAME, {b"a0": b"/" + b"x" * 300 + ADDRESS.encode()}),
        (NAME, {b"a0": b"/\0" + ADDRESS.encode()}),
        (NAME, {b"a1": ADDRESS.encode().replace(PEER.encode(), peer_id_of(Identity(bytes(32)).owner).encode())}),
    ],
)
def test_nonsense_is_refused(name: str, change: dict[bytes, bytes | None]) -> None:
    told = _as_bytes(properties_of(HOUSE, [ADDRESS])) | change
    with pytest.raises(WireError):
        read_announcement(name, told, digest_of(HOUSE))


def test_loopback_is_told_only_where_there_is_nothing_else() -> None:
    near, far = "/ip4/127.0.0.1/tcp/1/p2p/x", "/ip4/10.9.8.7/tcp/1/p2p/x"
    assert worth_telling([near, far]) == [far]
    assert worth_telling([near, "/dns4/house/tcp/1"]) == [near]
    assert worth_telling(["", "nonsense", "/dns4/house/tcp/1"]) == []
