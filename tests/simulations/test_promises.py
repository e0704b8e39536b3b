"""What the boundary promises to a node holds, whatever nodes do and whatever befalls them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pubsub.boundary import DIAL, HANG_UP, LINK, PUBLISH, SECOND, SEND, WAKE, Host, Message, Output, Outputs
from simulations.checkers import Conservation, NothingFromTheDead
from simulations.conditions import Conditions
from simulations.faults import Crash, storm
from simulations.simulation import Simulation
from simulations.topic import Gossipsub
from simulations.topology import Topology, full, regular, ring, unconnected
from simulations.toys import Ball, Listener

PEERS = 8


class Wild:
    """Dials, hangs up, sends and publishes at random, and holds the engine to its promises."""

    def __init__(self, peer: int, host: Host) -> None:
        self.peer, self.host = peer, host
        self.now = -1
        self.neighbours: set[int] = set()
        self.wanted: int | None = None

    def _tick(self, now: int) -> None:
        assert now >= self.now, "time went back"
        self.now = now

    def start(self, now: int) -> Outputs[int]:
        assert self.now == -1, "started twice"
        return self._anything(now)

    def link_up(self, now: int, peer: int, dialed_by_us: bool) -> Outputs[int]:
        self._tick(now)
        assert peer not in self.neighbours, "a second connection"
        assert peer != self.peer
        self.neighbours.add(peer)
        return self._anything(now)

    def link_down(self, now: int, peer: int) -> Outputs[int]:
        self._tick(now)
        self.neighbours.discard(peer)  # it may be a dial that failed
        return [(DIAL, peer)]

    def receive(self, now: int, peer: int, channel: int, stream: int, message: Message) -> Outputs[int]:
        self._tick(now)
        assert peer in self.neighbours, "a frame without a connection"
        return ()

    def topic(self, now: int, peer: int, message: Message) -> Outputs[int]:
        self._tick(now)
        return ()

    def timer(self, now: int) -> Outputs[int]:
        self._tick(now)
        assert self.wanted is not None, "woken without a wish"
        assert now >= self.wanted, "woken too early"
        self.wanted = None
        return self._anything(now)

    def _anything(self, now: int) -> Outputs[int]:
        rng, outputs = self.host.random, list[Output[int]]()
        for _ in range(rng.randrange(4)):
            other = rng.randrange(PEERS)
            match rng.randrange(4):
                case 0:
                    outputs.append((DIAL, other))
                case 1:
                    outputs.append((HANG_UP, other))
                    self.neighbours.discard(other)
                case 2:
                    outputs.append((SEND, other, LINK, 0, Ball()))
                case _:
                    outputs.append((PUBLISH, Ball()))
        self.wanted = now + rng.randrange(400_000)
        return [*outputs, (WAKE, self.wanted)]


@settings(max_examples=25)
@given(
    st.integers(0, 2**32),
    st.sampled_from([full, ring, regular(4), unconnected]),
    st.builds(
        Conditions,
        loss=st.just(0.05),
        duplicate=st.sampled_from([0.0, 0.1]),
        reorder=st.sampled_from([0.0, 0.1]),
        cpu_frame=st.sampled_from([0, 450]),
        cpu_topic=st.sampled_from([0, 900]),
        bandwidth=st.sampled_from([0, 20_000]),
    ),
)
def test_promises_hold_for_wild_nodes_in_a_storm(seed: int, topology: Topology, conditions: Conditions) -> None:
    simulation = Simulation(
        seed,
        Wild,
        peers=PEERS,
        topology=topology,
        topic=Gossipsub(drop=0.01),
        conditions=conditions,
        faults=storm(seed, PEERS, 4 * SECOND, count=12),
        checkers=[Conservation(), NothingFromTheDead()],
    )
    for second in range(1, 7):
        simulation.run(second * SECOND)
    assert simulation.statistics().alive == PEERS


def test_nobody_crashed_gets_an_answer_to_its_dial(seed: int) -> None:
    simulation = Simulation(seed, Listener, peers=2, topology=unconnected, faults=[(1_000, Crash(0))])
    simulation.call(0, 0, lambda node, now: [(DIAL, 1)])
    simulation.run(SECOND)
    node = simulation.nodes[1]
    assert isinstance(node, Listener)
    assert node.told == []
