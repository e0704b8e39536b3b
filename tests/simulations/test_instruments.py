"""Instruments, on networks so small that each number can be had by hand: a frame takes 10 ms along each link."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from pubsub.boundary import LINK, NOTIFY, SEND, Host, Message, Outputs
from pubsub.events import Committed, Published
from pubsub.members import MemberChanged, Status
from simulations.conditions import Conditions, Constant
from simulations.errors import SetupError
from simulations.faults import Crash, Heal, Partition, Restart, Skew
from simulations.gossip import GossipNetwork
from simulations.instruments import NAMES, Board, Findings, instruments
from simulations.instruments.bounds import rounds_of
from simulations.simulation import Simulation, Verb
from simulations.topology import Pairs
from simulations.toys import Quiet

MS = 1_000
SECOND = 1_000_000
LINE: Pairs = [(0, 1), (1, 2), (2, 3)]
RING: Pairs = [*LINE, (3, 0)]


@dataclass(frozen=True)
class Said:
    """A state of an owner, and the message that carries it."""

    owner: bytes
    order: tuple[int, int]
    size: int = 100
    records: int = 1


@dataclass
class Teller(Quiet):
    """Passes on what is new to it, to all but whoever said it; tells a new neighbour all that it knows."""

    peer: int
    host: Host
    known: dict[bytes, Said] = field(default_factory=dict)
    neighbours: dict[int, None] = field(default_factory=dict)
    epoch: int = 0

    @property
    def owner(self) -> bytes:
        return bytes([self.peer])

    @property
    def ledger(self) -> Any:
        return self.known

    def start(self, now: int) -> Outputs[int]:
        """Be known to exist, in an epoch above all before."""
        self.epoch = now + 1
        return self.say(0)

    def link_up(self, now: int, peer: int, dialed_by_us: bool) -> Outputs[int]:
        """Tell everything."""
        self.neighbours[peer] = None
        return [(SEND, peer, LINK, 0, said) for said in self.known.values()]

    def link_down(self, now: int, peer: int) -> Outputs[int]:
        """Forget it."""
        self.neighbours.pop(peer, None)
        return ()

    def receive(self, now: int, peer: int, channel: int, stream: int, message: Message) -> Outputs[int]:
        """Pass it on."""
        assert isinstance(message, Said)
        before = self.known.get(message.owner)
        if before is not None and before.order >= message.order:
            return ()
        self.known[message.owner] = message
        return [(NOTIFY, Committed(message, before)), *self._tell(message, peer)]  # type: ignore[arg-type]

    def say(self, version: int) -> Outputs[int]:
        """Publish a version."""
        self.known[self.owner] = said = Said(self.owner, (self.epoch, version))
        return [(NOTIFY, Published(said)), *self._tell(said)]  # type: ignore[arg-type]

    def repeat(self) -> Outputs[int]:
        """Tell everything again."""
        return [out for said in self.known.values() for out in self._tell(said)]

    def _tell(self, said: Said, source: int = -1) -> list[Any]:
        return [(SEND, other, LINK, 0, said) for other in self.neighbours if other != source]


class Toy:
    """A network of tellers that is measured from 1 s on."""

    def __init__(
        self,
        pairs: Pairs,
        *,
        peers: int = 4,
        faults: Iterable[tuple[int, Verb]] = (),
        absent: Iterable[int] = (),
        hooked: bool = False,
        liars: Iterable[int] = (),
    ) -> None:
        self.board = instruments(hooked=hooked, liars=frozenset(liars))
        self.simulation = Simulation(
            1,
            Teller,
            peers=peers,
            topology=lambda peers, seed: pairs,
            conditions=Conditions(latency=Constant(10 * MS), jitter=0),
            checkers=[self.board],
            faults=faults,
            absent=absent,
        )
        self.simulation.run(1 * SECOND)
        self.board.begin(1 * SECOND)

    def say(self, at: int, peer: int, version: int) -> None:
        self.change(at, peer)
        self.simulation.call(at, peer, lambda node, now: node.say(version))  # type: ignore[attr-defined]

    def change(self, at: int, peer: int) -> None:
        def change(node: object, now: int) -> Outputs[int]:
            self.board.changed(now, peer)
            return ()

        self.simulation.call(at, peer, change)

    def notify(self, at: int, peer: int, event: object) -> None:
        self.simulation.call(at, peer, lambda node, now: [(NOTIFY, event)])

    def end(self, until: int = 3 * SECOND) -> Findings:
        self.simulation.run(until)
        return self.board.results()


def values(found: Findings, *names: str) -> list[float | None]:
    return [found.measures[name].value for name in names]


def bounds(found: Findings, *names: str) -> list[float | None]:
    return [found.measures[name].bound for name in names]


def test_on_a_line_a_protocol_without_waste_is_as_good_as_its_bounds() -> None:
    toy = Toy(LINE)
    toy.say(1_500 * MS, 0, 1)  # it arrives after 10, 20 and 30 ms
    found = toy.end()
    times = ("time_to_50", "time_to_90", "time_to_99", "time_to_100", "time_to_100_p99")
    assert values(found, "updates", "coverage") == [1, 100]
    assert values(found, *times) == [20, 30, 30, 30, 30] == bounds(found, *times)
    assert values(found, "latency_p50", "latency_p99") == [20.05, 30.05]
    assert bounds(found, "latency_p50", "latency_p99") == [20, 30]
    assert values(found, "hops_mean", "hops_p99", "hops_max") == [2, 3, 3]
    assert bounds(found, "hops_mean", "hops_max") == [2, 2]  # who has two neighbours could reach four in two rounds
    assert values(found, "rmr", "duplicates") == [0, 0]
    assert values(found, "bytes_per_update", "bytes_per_update_link") == [75, 75]  # 3 x 100 B among 4 peers
    assert values(found, "bytes_per_second", "frames_per_second") == [37.5, 0.375]  # in 2 s
    assert found.planes["link"].frames == 3
    assert found.notes == []


def test_on_a_ring_the_copies_that_were_not_needed_are_counted() -> None:
    toy = Toy(RING)
    toy.say(1_500 * MS, 0, 1)  # 0 to 1 and 3, both of those to 2, and 2 to 3: five records, three of them new
    found = toy.end()
    assert values(found, "time_to_100", "hops_mean") == [20, 1.3333]
    assert values(found, "rmr", "duplicates") == [0.6667, 0.5]
    assert bounds(found, "rmr", "duplicates") == [0, 0]


def test_cpu_time_is_what_the_frames_would_take_on_real_peers() -> None:
    toy = Toy(LINE)
    toy.say(1_500 * MS, 0, 1)
    found = toy.end()
    # 3 frames of 450 us and 300 B of 58 ns, among 4 peers in 2 s.
    assert values(found, "cpu") == [round((3 * 450 + 17.4) / 1e6 / 4 / 2 * 100, 5)]


def test_what_a_newer_state_overtook_has_arrived_with_it() -> None:
    toy = Toy([], peers=2)
    states = [Said(b"\0", (1, version)) for version in range(4)]
    for version in (1, 2, 3):
        toy.notify(1 * SECOND + version * 100 * MS, 0, Published(states[version]))  # type: ignore[arg-type]
    toy.notify(2 * SECOND, 1, Committed(states[3], states[0]))  # type: ignore[arg-type]
    found = toy.end()
    assert values(found, "updates", "coverage", "time_to_100") == [3, 100, 800]
    assert values(found, "latency_p50", "latency_p99") == [800.05, 900.05]


def test_a_change_counts_from_when_it_was_made_where_the_workload_tells() -> None:
    toy = Toy(LINE, hooked=True)
    for at in (1_500, 1_540):  # two changes, published together
        toy.change(at * MS, 0)
    toy.simulation.call(1_550 * MS, 0, lambda node, now: node.say(1))  # type: ignore[attr-defined]
    toy.simulation.call(1_600 * MS, 0, lambda node, now: node.say(2))  # type: ignore[attr-defined]
    found = toy.end()
    assert values(found, "updates", "coverage") == [2, 100]
    assert values(found, "time_to_50", "time_to_100", "time_to_100_p99") == [30, 40, 80]
    assert values(found, "bytes_per_update") == [75]  # two records to three peers, for two updates


def test_nothing_is_expected_of_who_crashed_before_and_of_who_started_later() -> None:
    toy = Toy(LINE, faults=[(1_505 * MS, Crash(3)), (2 * SECOND, Restart(3))], hooked=True)
    toy.say(1_500 * MS, 0, 1)
    found = toy.end()
    assert values(found, "coverage", "time_to_100", "missing_at_end") == [100, 20, 0]


def test_a_crash_takes_nothing_away_from_what_had_arrived() -> None:
    toy = Toy(LINE, faults=[(1_525 * MS, Crash(1)), (2 * SECOND, Heal())])
    toy.say(1_500 * MS, 0, 1)  # at 2 after 20 ms; on its way to 3, whose neighbour 2 is
    found = toy.end()
    assert values(found, "coverage", "time_to_50", "time_to_100") == [100, 20, 30]


def test_what_did_not_arrive_is_missing_and_its_time_unknown() -> None:
    toy = Toy(LINE, faults=[(1_400 * MS, Partition([3]))])
    toy.say(1_500 * MS, 0, 1)
    found = toy.end()
    assert values(found, "coverage", "time_to_50", "time_to_100", "missing_at_end") == [66.666667, 20, None, 1]
    assert any("1 of 1 updates did not come to all" in note for note in found.notes)


def test_a_heal_lasts_until_what_was_missing_is_there() -> None:
    toy = Toy(LINE, faults=[(1_400 * MS, Partition([2, 3])), (2 * SECOND, Heal())])
    toy.say(1_500 * MS, 0, 1)
    toy.simulation.call(2_050 * MS, 1, lambda node, now: node.repeat())  # type: ignore[attr-defined]
    found = toy.end()  # at 2 after 60 ms, at 3 after 70
    assert values(found, "heal_missing", "heal_99", "heal_100") == [2, 0.07, 0.07]
    assert bounds(found, "heal_100") == [0.03]
    curve = found.curves["missing_updates"]
    missing = dict(zip(curve.x, curve.y, strict=True))
    assert [missing[at] for at in (0.5, 0.6, 1.0, 1.1, 2.0)] == [0, 2, 2, 0, 0]


def test_a_heal_that_does_not_bring_everything_has_no_time() -> None:
    toy = Toy(LINE, faults=[(1_400 * MS, Partition([2, 3])), (2 * SECOND, Heal())])
    toy.say(1_500 * MS, 0, 1)
    found = toy.end()
    assert values(found, "heal_100", "missing_at_end") == [None, 2]
    assert any("was not there before the run ended" in note for note in found.notes)


def test_a_newcomer_takes_until_it_knows_all_that_was_newest_when_it_started() -> None:
    toy = Toy(LINE, absent=[3], faults=[(2 * SECOND, Restart(3))])
    toy.say(1_500 * MS, 0, 1)
    found = toy.end()
    assert found.measures["join_p50"].bound == 0.04
    # The dial takes a round trip, and what its neighbour says then comes with the end of that.
    assert values(found, "join_p50", "join_max") == [0.02, 0.02]


def test_a_newcomer_that_learns_nothing_is_said_to() -> None:
    toy = Toy([(0, 1), (1, 2)], absent=[3], faults=[(2 * SECOND, Restart(3))])
    found = toy.end()
    assert values(found, "join_max") == [None]
    assert any("1 of 1 peers that started did not know all" in note for note in found.notes)


def test_a_crash_is_detected_when_the_first_and_when_the_last_suspects_it() -> None:
    toy = Toy(LINE, faults=[(1_500 * MS, Crash(3, silent=True))])
    for peer, at in ((0, 2_000), (1, 2_200), (2, 2_700)):
        toy.notify(at * MS, peer, MemberChanged(b"\3", Status.SUSPECT, Status.ALIVE))
    toy.notify(2_900 * MS, 1, MemberChanged(b"\3", Status.DEAD, Status.SUSPECT))
    found = toy.end()
    assert values(found, "detection_first", "detection_all", "declared_all") == [0.5, 1.2, None]
    assert values(found, "false_suspicions", "false_deaths", "false_at_end") == [0, 0, 0]


def test_suspecting_one_that_runs_is_false_and_may_stick() -> None:
    toy = Toy(LINE)
    for peer in (0, 1):
        toy.notify(2_000 * MS, peer, MemberChanged(b"\3", Status.SUSPECT, Status.ALIVE))
    toy.notify(2_100 * MS, 0, MemberChanged(b"\3", Status.DEAD, Status.SUSPECT))
    toy.notify(2_200 * MS, 1, MemberChanged(b"\3", Status.ALIVE, Status.SUSPECT))
    found = toy.end()
    assert values(found, "false_suspicions", "false_deaths", "false_at_end") == [2, 1, 1]


def test_liars_are_neither_measured_nor_waited_for() -> None:
    toy = Toy(LINE, liars=[3])
    toy.say(1_500 * MS, 0, 1)
    toy.say(1_600 * MS, 3, 1)
    found = toy.end()
    assert values(found, "updates", "time_to_100", "coverage") == [1, 20, 100]


def test_what_was_before_the_measuring_is_not_counted() -> None:
    toy = Toy(LINE)
    found = toy.end()
    assert values(found, "updates", "coverage", "time_to_100", "rmr", "bytes_per_update") == [0, None, None, None, None]
    assert found.planes["link"].frames == 0


@pytest.mark.parametrize(
    ("peers", "degree", "rounds"), [(2, 1, 1), (4, 2, 2), (1_000, 4, 6), (10_000, 6, 6), (5, 0, 0)]
)
def test_the_bound_of_rounds_is_that_of_moore(peers: int, degree: int, rounds: int) -> None:
    assert rounds_of(peers, degree) == rounds


def test_an_instrument_that_is_none_is_refused_with_those_there_are() -> None:
    with pytest.raises(SetupError, match="there is no instrument 'speed'; there are: coverage, time_to"):
        instruments(["speed"])


@pytest.mark.parametrize("name", NAMES)
def test_each_instrument_works_alone(name: str) -> None:
    found = measured(instruments([name]), seconds=1)
    assert all(measure.about for measure in found.measures.values())


# -- on the protocol


def measured(board: Board, *, seconds: float = 3, **more: Any) -> Findings:
    network = GossipNetwork(seed=5, peers=20, rate=20, warm=True, **more)
    network.simulation.checkers.append(board)
    network.settle(2)
    board.begin(network.simulation.now)
    network.work(seconds)
    network.settle(4)
    return board.results()


def test_a_network_without_faults_covers_all_and_no_number_is_below_its_bound() -> None:
    found = measured(instruments())
    assert values(found, "coverage", "missing_at_end", "false_suspicions", "stamps_inverted") == [100, 0, 0, 0]
    assert found.measures["hops_max"].value is not None
    for name, measure in found.measures.items():
        if measure.bound is not None and measure.better == "lower" and measure.value is not None:
            assert measure.value >= measure.bound, name


def test_a_clock_that_is_fast_shows_in_the_stamps() -> None:
    found = measured(instruments(["clocks"]), faults=[(0, Skew(peer, 100_000)) for peer in range(10)])
    assert (found.measures["stamp_error_max"].value or 0) > 300  # a tenth of 3 s


def test_latencies_are_those_of_the_older_measure() -> None:
    board = instruments(["latency"])
    network = GossipNetwork(seed=5, peers=20, rate=20, warm=True)
    network.simulation.checkers.append(board)
    network.settle(2)
    board.begin(network.simulation.now)
    network.work(4)
    network.until(lambda: not network.spread.behind, 10)
    found, report = board.results(), network.report()
    for name, old in (("latency_p50", report.p50), ("latency_p99", report.p99)):
        assert found.measures[name].value == pytest.approx(old, abs=1)


def test_the_same_seed_gives_the_same_findings() -> None:
    assert measured(instruments()) == measured(instruments())
