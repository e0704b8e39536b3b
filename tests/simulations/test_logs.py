"""A peer that was cut off, and whose messages are lost, still gets the whole log of another peer's machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pubsub.boundary import SECOND, Outputs
from pubsub.core import Core
from pubsub.events import Published
from pubsub.messages import PulledRow
from pubsub.pull import START, Outcome, PullEnded, RowsPulled
from pubsub.serve import RowsAsked
from simulations.checkers import Checker
from simulations.conditions import Conditions
from simulations.faults import Crash, Heal, Partition, Restart
from simulations.gossip import GossipNetwork
from simulations.simulation import Simulation, Verb
from simulations.topology import full

OWNER, PULLER = 0, 1
MACHINE = f"machine{OWNER}"
ROW = 5000  # bytes: a page has 13 of them


class Logs(Checker):
    """The applications: the owner's keeps a row of each state that it published, the puller's wants all of them."""

    def __init__(self) -> None:
        self.kept: list[PulledRow] = []  # what the owner's database keeps, over its crashes
        self.pulled: list[PulledRow] = []
        self.outcomes: list[Outcome] = []
        self.missing = 0
        self.owner = b""

    def started(self, simulation: Simulation) -> None:
        """Begin to pull in a while."""
        self.simulation = simulation
        simulation.call(SECOND, PULLER, self.pull)

    def notified(self, now: int, peer: int, event: object) -> None:
        """Do what an application does: later, as the core is at work right now."""
        soon = now + SECOND // 100
        if isinstance(event, Published) and peer == OWNER:
            life = self.simulation.lives[OWNER]
            last = self.kept[-1] if self.kept else (0, 0, b"")
            self.kept.append((life, last[1] + 1 if last[0] == life else 1, b"%d.%d" % event.state.order + bytes(ROW)))
        elif isinstance(event, RowsAsked):
            assert (peer, event.peer, event.machine) == (OWNER, PULLER, MACHINE)
            self._do(soon, OWNER, lambda node, at: self._answer(node, at, event))
        elif isinstance(event, RowsPulled):
            self.pulled += event.rows
            self.missing += event.missing
            self._do(soon, PULLER, lambda node, at: self._more(node, at, event))
        elif isinstance(event, PullEnded):
            self.outcomes.append(event.outcome)
            self._do(now + SECOND, PULLER, self.pull)

    def _do(self, at: int, peer: int, call: Callable[[Any, int], Outputs[int]]) -> None:
        self.simulation.call(at, peer, call)

    def _answer(self, node: Any, now: int, event: RowsAsked[int]) -> Outputs[int]:
        rows, last = self._rows(event)
        outputs: Outputs[int] = node.of_logs(now, node.pulls.serving.answer, event, rows, last=last)
        return outputs

    def _more(self, node: Any, now: int, event: RowsPulled) -> Outputs[int]:
        outputs: Outputs[int] = node.of_logs(now, node.pulls.more, event.owner, MACHINE)
        return outputs

    def _rows(self, event: RowsAsked[int]) -> tuple[list[PulledRow], bool]:
        rows = [row for row in self.kept if row[:2] > event.after]
        return rows[:20], len(rows) <= 20

    def pull(self, node: Any, now: int) -> Outputs[int]:
        """Pull what is new since the last row that came."""
        core = self.simulation.nodes[OWNER]
        if isinstance(core, Core):
            self.owner = core.identity.owner
        after = self.pulled[-1][:2] if self.pulled else START
        outputs: Outputs[int] = node.of_logs(now, node.pulls.pull, self.owner, MACHINE, after)
        return outputs


def test_a_log_is_complete_after_a_lossy_time(seed: int) -> None:
    logs = Logs()
    faults: Sequence[tuple[int, Verb]] = [
        (5 * SECOND, Partition([OWNER, 3, 4])),
        (12 * SECOND, Heal()),
        (20 * SECOND, Crash(OWNER)),
        (24 * SECOND, Restart(OWNER)),
    ]
    network = GossipNetwork(
        seed=seed,
        peers=8,
        rate=40,
        topology=full,
        conditions=Conditions(loss=0.05),  # a page that is lost costs 15 s
        faults=faults,
        checkers=[logs],
    )
    network.run(40, 150)
    assert len(logs.kept) > 100
    assert logs.pulled == logs.kept
    assert logs.missing == 0
    assert logs.kept[-1][0] == 2, "the log goes on in the owner's next life"
    assert set(logs.outcomes) > {Outcome.COMPLETE, Outcome.TIMEOUT}
    assert set(logs.outcomes) & {Outcome.LOST, Outcome.NOT_CONNECTED}
    assert network.simulation.statistics().channel_frames["history"] > 20
