"""Liars: each lies in its own way, as often as it shall, and the same for the same seed."""

from __future__ import annotations

import random
from dataclasses import replace

from pubsub.boundary import LINK, PUBLISH, SEND, Host, Message, Outputs
from simulations.byzantine import Byzantine, Equivocate, Flooding, Forge, Forger, Garbage, Hide, Replay
from simulations.disk import Disk
from simulations.toys import Quiet, Value


class Liar:
    """How to lie about values."""

    def forge(self, message: Message, rng: random.Random) -> Message | None:
        return replace(message, text="forged") if isinstance(message, Value) else None

    def equivocate(self, message: Message, rng: random.Random) -> Message | None:
        return replace(message, text=f"other {rng.randrange(10)}") if isinstance(message, Value) else None

    def hide(self, message: Message, rng: random.Random) -> Message | None:
        return replace(message, text="") if isinstance(message, Value) and message.owner == 1 else None


HONEST = [Value(1, version, f"text {version}") for version in range(1, 5)]


class Speaker(Quiet):
    """Says all its values to two neighbours and on the topic."""

    def timer(self, now: int) -> Outputs[int]:
        return [out for v in HONEST for out in ((SEND, 2, LINK, 0, v), (SEND, 3, LINK, 0, v), (PUBLISH, v))]


def said(kind: type[Byzantine], seed: int, forger: Forger | None = None, rate: float = 1.0) -> Outputs[int]:
    host = Host(random=random.Random(seed), wall=lambda: 0, disk=Disk())
    return kind(Speaker(0, host), host, forger, rate=rate).timer(0)


def texts(outputs: Outputs[int], peer: int | None) -> list[str]:
    """Return what was said to a peer; None: on the topic."""
    told = []
    for out in outputs:
        if out[0] == SEND and out[1] == peer:
            message = out[4]
        elif out[0] == PUBLISH and peer is None:
            message = out[1]
        else:
            continue
        assert isinstance(message, Value)
        told.append(message.text)
    return told


TRUTH = [value.text for value in HONEST]


def test_a_wrapper_that_overrides_nothing_is_honest(seed: int) -> None:
    outputs = said(Byzantine, seed)
    assert [texts(outputs, peer) for peer in (2, 3, None)] == [TRUTH] * 3


def test_a_forger_changes_what_it_says(seed: int) -> None:
    outputs = said(Forge, seed, Liar())
    assert [texts(outputs, peer) for peer in (2, 3, None)] == [["forged"] * 4] * 3


def test_a_liar_lies_at_its_rate(seed: int) -> None:
    outputs = said(Forge, seed, Liar(), rate=0.5)
    lies = sum(texts(outputs, peer).count("forged") for peer in (2, 3, None))
    assert 0 < lies < 12
    assert outputs == said(Forge, seed, Liar(), rate=0.5)


def test_an_equivocator_tells_two_peers_two_things_and_the_topic_both(seed: int) -> None:
    outputs = said(Equivocate, seed, Liar())
    assert texts(outputs, 2) == TRUTH
    assert all(text.startswith("other") for text in texts(outputs, 3))
    assert len(texts(outputs, None)) == 8


def test_a_hider_says_less_or_nothing(seed: int) -> None:
    assert texts(said(Hide, seed, Liar()), 2) == [""] * 4
    assert said(Hide, seed) == []


def test_a_replayer_says_old_things_again(seed: int) -> None:
    outputs = said(Replay, seed)
    for peer in (2, 3):
        told = texts(outputs, peer)
        assert len(told) > 4
        assert [text for at, text in enumerate(told) if text not in told[:at]] == TRUTH


def test_a_flooder_says_everything_many_times(seed: int) -> None:
    assert texts(said(Flooding, seed), 2) == [text for text in TRUTH for _ in range(20)]


def test_garbage_comes_beside_the_truth(seed: int) -> None:
    assert texts(said(Garbage, seed, Liar()), 3) == [text for truth in TRUTH for text in (truth, "forged")]
