"""Plain gossipsub, to compare with: each change is one signed message on the topic, and there is nothing else.

A message holds the whole state of its owner, so that the next change repairs what was lost before it. Whoever joins
learns of an owner with its next change. The topic is that of `simulations.topic`: without IHAVE and IWANT, of which the
specification of the protocol says how little they repair.
"""

from __future__ import annotations

from dataclasses import dataclass

from pubsub.boundary import PUBLISH, Message, Output, Outputs
from pubsub.state import OwnerState
from simulations.plain_node import PlainNode


@dataclass(frozen=True, slots=True)
class Whole:
    """A state of an owner, with its signature."""

    state: OwnerState
    size: int
    records: int = 1


class GossipsubNode(PlainNode):
    """Publishes at once, and takes over what comes."""

    def joined(self, state: OwnerState, out: list[Output[int]]) -> None:
        """Tell others of this peer's state."""
        out.append(_telling(state))

    def changed(self, now: int) -> Outputs[int]:
        """Publish."""
        out: list[Output[int]] = []
        state = self.publish(out)
        if state is not None:
            out.append(_telling(state))
        return out

    def topic(self, now: int, peer: int, message: Message) -> Outputs[int]:
        """Take it over."""
        out: list[Output[int]] = []
        assert isinstance(message, Whole)
        self.commit(message.state, out)
        return out


def _telling(state: OwnerState) -> Output[int]:
    return PUBLISH, Whole(state, len(state.record().encode()))


__all__ = ["GossipsubNode", "Whole"]
