"""The protocol core in the engine: peers agree whatever happens, and checkers bite when the core is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from pubsub.accept import Accepted, Acceptor, Verdict
from pubsub.boundary import LINK, SECOND, SEND
from pubsub.core import Core
from pubsub.exposing import Exposing
from pubsub.hearsay import Hearsay
from pubsub.ledger import Ledger
from pubsub.messages import Entries, Frame, Parcel, Summary
from pubsub.parameters import Parameters
from pubsub.record import Record
from pubsub.repair import Repair
from pubsub.state import MachineState, OwnerState, merge, root_of
from simulations.conditions import Conditions
from simulations.errors import Violation
from simulations.faults import Crash, Degrade, Heal, Partition, Restart, Restore, storm
from simulations.gossip import GossipNetwork
from simulations.measures import Report
from simulations.simulation import Verb
from simulations.topic import Gossipsub

Faults = Sequence[tuple[int, Verb]]


def run(
    seed: int,
    *,
    peers: int = 20,
    rate: float = 15,
    seconds: float = 10,
    quiet: float = 30,
    tamper: Callable[[GossipNetwork], None] = lambda network: None,
    **more: Any,
) -> Report:
    replay = f"GossipNetwork(seed={seed}, peers={peers}, rate={rate}).run({seconds}, {quiet})"
    network = GossipNetwork(seed=seed, peers=peers, rate=rate, replay=replay, **more)
    tamper(network)
    return network.run(seconds, quiet)


# -- what it does


def test_everybody_learns_everything(seed: int) -> None:
    report = run(seed)
    assert report.updates > 100
    assert report.p99 < 2_000


@pytest.mark.parametrize("loss", [0.02, 0.2, 0.4])
def test_lost_frames_are_made_good(loss: float, seed: int) -> None:
    quiet = 30 if loss < 0.4 else 45  # see the promises in docs/gossip.md
    assert run(seed, conditions=Conditions(loss=loss), quiet=quiet).gaps > 0


def test_duplicated_and_reordered_frames_do_no_harm(seed: int) -> None:
    run(seed, conditions=Conditions(duplicate=0.3, reorder=0.3))


def test_a_partition_heals(seed: int) -> None:
    faults: Faults = [(2 * SECOND, Partition(range(8))), (9 * SECOND, Heal())]
    assert run(seed, faults=faults).repaired > 0


@pytest.mark.parametrize("disk", [True, False], ids=["disk", "no-disk"])
def test_a_crashed_peer_comes_back_as_itself(disk: bool, seed: int) -> None:
    run(seed, faults=[(3 * SECOND, Crash(4)), (6 * SECOND, Restart(4, disk=disk))])


def test_the_topic_carries_what_a_quiet_network_says(seed: int) -> None:
    network = GossipNetwork(seed=seed, peers=20, rate=3, parameters=Parameters(eager=True), topic=Gossipsub())
    network.settle(5)
    network.run(10, 30)
    cores = [core for core in network.simulation.nodes if isinstance(core, Core)]
    assert sum(core.eager.published for core in cores) > 20


def test_a_topic_that_is_too_busy_leaves_it_to_the_links(seed: int) -> None:
    network = GossipNetwork(seed=seed, peers=20, rate=60, parameters=Parameters(eager=True), topic=Gossipsub())
    network.settle(5)
    network.run(5, 30)
    cores = [core for core in network.simulation.nodes if isinstance(core, Core)]
    assert sum(core.eager.held_back for core in cores) > 100


def test_a_neighbour_that_passes_on_forgeries_is_left(seed: int) -> None:
    network = GossipNetwork(seed=seed, peers=12, rate=5)
    network.settle(2)
    liar, victim = 0, next(iter(_core(network, 0).links))

    def forge(node: Core[int], now: int) -> list[Any]:
        state = _core(network, victim).publisher.state
        assert state is not None
        header = replace(state.header, version=state.header.version + 1, signature=bytes(64))
        parcel = Parcel.of(replace(state.record(), header=header))
        return [(SEND, victim, LINK, 0, Frame((parcel,), grant=0))]

    network.simulation.call(3 * SECOND, liar, forge)  # type: ignore[arg-type]
    network.run(5, 30)
    assert _core(network, victim).counts.accused == 1


def _core(network: GossipNetwork, peer: int) -> Core[int]:
    core = network.simulation.nodes[peer]
    assert isinstance(core, Core)
    return core


@pytest.mark.parametrize("planes", [Parameters(repair=False), Parameters(links=False)], ids=["links", "repair"])
def test_each_plane_alone_makes_a_kind_network_agree(planes: Parameters, seed: int) -> None:
    run(seed, parameters=planes, quiet=60)


def test_a_large_owner_fits_through(seed: int) -> None:
    run(seed, peers=6, states=500, seconds=4)


@pytest.mark.parametrize("number", range(30))
def test_storms(number: int, seed: int) -> None:
    chosen = seed + number
    run(chosen, seconds=15, quiet=40, faults=storm(chosen, 20, 15 * SECOND, count=12))


def test_the_same_seed_gives_the_same_trace_whatever_the_hash_seed() -> None:
    script = (
        "from simulations.gossip import GossipNetwork\n"
        "from simulations.faults import storm\n"
        "network = GossipNetwork(seed=5, peers=12, rate=10, faults=storm(5, 12, 5_000_000))\n"
        "print(network.run(5, 20).trace)\n"
    )
    traces = []
    for hash_seed in ("0", "1", "77"):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        traces.append(done.stdout)
    assert len(set(traces)) == 1


# -- what checkers are for: each of these cores has one fault


class ForgetsEpochs(Core[int]):
    """Takes the larger version for the newer record, whatever the epoch."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        order_of = self.ledger.order_of
        judge = self.acceptor._judge

        def careless(record: Record, now: int, limited: bool) -> Any:
            known = order_of(record.header.owner)
            if known is not None and record.header.version <= known[1]:
                return Accepted(Verdict.DUPLICATE)
            return judge(record, now, limited)

        object.__setattr__(self.hearsay, "acceptor", _Judging(self.acceptor, careless))


class _Judging:
    """An acceptor with another judge."""

    def __init__(self, acceptor: Acceptor, judge: Callable[..., Any]) -> None:
        self._acceptor = acceptor
        self._judge = judge

    def consider(self, record: Record, now: int, *, limited: bool = True) -> Any:
        accepted = self._judge(record, now, limited)
        self._acceptor.counts[accepted.verdict] += 1
        return accepted

    def __getattr__(self, name: str) -> Any:
        return getattr(self._acceptor, name)


def merge_by_sum(old: OwnerState | None, record: Record) -> OwnerState | None:
    """Add ticks up instead of taking the larger ones, and believe the result."""
    known = {} if old is None or record.full else dict(old)
    for part in record.parts:
        before = known.get(part.index)
        if before is None and part.description is not None and part.schema is not None:
            before = MachineState.build(part.index, part.description, part.schema, ())
        if before is not None:
            ticks = list(before.ticks)
            for state, tick in part.ticks:
                ticks += [0] * (state + 1 - len(ticks))
                ticks[state] += tick
            known[part.index] = MachineState.build(part.index, before.description, before.schema, tuple(ticks))
    return OwnerState(record.header, known)


def merge_without_root(old: OwnerState | None, record: Record) -> OwnerState | None:
    """Merge, and believe the result whether or not it has the signed root."""
    known = {} if old is None or record.full else dict(old)
    for part in record.parts:
        before = known.get(part.index)
        if before is None and part.description is not None and part.schema is not None:
            before = MachineState.build(part.index, part.description, part.schema, ())
        if before is not None:
            known[part.index] = before.merged(part)
    assert root_of(known.values())
    return OwnerState(record.header, known)


class SumsUp(Core[int]):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "merge": merge_by_sum})


class BelievesAnyBody(Core[int]):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "merge": merge_without_root})


class Partly(Repair):
    """Answers as if some buckets were always equal."""

    __slots__ = ()

    def answer(self, peer: Hashable, stream: int, summary: Summary, now: int) -> list[Entries]:
        found = super().answer(peer, stream, summary, now)
        return [replace(page, entries=tuple(e for e in page.entries if e[0] % 4)) for page in found]


class SkipsABucket(Core[int]):
    """Repairs all buckets but some."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.repair.__class__ = Partly


class Timeless(Exposing[int]):
    """Publishes in one epoch only."""

    def publish(self, now: int, out: Any) -> None:
        self.publisher.epoch = 7
        super().publish(now, out)

    def outlive(self, header: Any, now: int, out: Any) -> None:
        return


class ForgetsItsEpoch(Core[int]):
    """Begins every life in the same epoch, with version 1: its clock goes back."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.exposing.__class__ = Timeless


class NeverDialsAgain(Core[int]):
    """Forgets whom it has lost."""

    def link_down(self, now: int, peer: int) -> Any:
        outputs = super().link_down(now, peer)
        self.dialling.forget(peer)
        return outputs


class Incurious(Hearsay[int]):
    """Wants nothing of its neighbours."""

    __slots__ = ()

    def record(self, parcel: Any, peer: int | None, now: int, out: Any, *, limited: bool) -> Verdict:
        verdict = super().record(parcel, peer, now, out, limited=limited)
        for link in self.links.values():
            link.wants.clear()
        return verdict


class NeverAsks(Core[int]):
    """Has gaps and leaves them, where nobody repairs them either."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.hearsay.__class__ = Incurious


class IgnoresCredit(Core[int]):
    """Sends whatever there is, however little its neighbours have granted."""

    def link_up(self, now: int, peer: int, dialed_by_us: bool) -> Any:
        outputs = super().link_up(now, peer, dialed_by_us)
        self.links[peer]._granted = 2**62
        return outputs


class VerifiesNothing(Core[int]):
    """Takes the word of whoever relays a record for its owner's."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "is_signed": lambda header: True})


def merge_without_tombstones(old: OwnerState | None, record: Record) -> OwnerState | None:
    """Merge, and keep the machines that are gone, and believe the result."""
    merged = merge(old, record)
    if merged is None or old is None or old.header.epoch != record.header.epoch:
        return merged
    return OwnerState(record.header, dict(sorted({**old, **merged}.items())))


class DropsTombstones(Core[int]):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "merge": merge_without_tombstones})


class Forgetful(Ledger):
    """Does not remember whom it has forgotten."""

    __slots__ = ()

    def order_of(self, owner: bytes) -> tuple[int, int] | None:
        state = self.get(owner)
        return state.order if state is not None else None


class Resurrects(Core[int]):
    """Takes back whom it has forgotten, from anybody who has not."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.ledger.__class__ = Forgetful


def forge(network: GossipNetwork) -> None:
    """Let a peer tell a neighbour of a tick that another neighbour never published."""

    def tell(node: Core[int], now: int) -> list[Any]:
        victim, other = list(node.links)[:2]
        state = _core(network, other).publisher.state
        assert state is not None
        (machine,) = state.values()
        ticks = (machine.ticks[0] + 2 if machine.ticks else 1, *machine.ticks[1:])
        forged = MachineState.build(machine.index, machine.description, machine.schema, ticks)
        header = replace(state.header, version=state.header.version + 1, root=root_of([forged]), signature=bytes(64))
        record = OwnerState(header, {forged.index: forged}).record()
        return [(SEND, victim, LINK, 0, Frame((Parcel.of(record),), grant=0))]

    network.simulation.call(3 * SECOND, 0, tell)  # type: ignore[arg-type]


def forget(network: GossipNetwork) -> None:
    """Let all peers forget one that is gone for good; one of them does so much later than the others."""
    gone = network.identities[4].owner

    def drop(node: Core[int], now: int) -> tuple[()]:
        if node.ledger.get(gone) is not None:
            node.ledger.forget(gone, now + 3600 * SECOND)
        return ()

    for peer in range(network.simulation.peers):
        network.simulation.call((5 if peer else 25) * SECOND, peer, drop)  # type: ignore[arg-type]


RESTARTS: Faults = [(3 * SECOND, Crash(4)), (5 * SECOND, Restart(4))]
SPLIT: Faults = [(1 * SECOND, Partition(range(10))), (9 * SECOND, Heal())]
ALONE: Faults = [(2 * SECOND, Partition([3])), (3 * SECOND, Crash(3)), (4 * SECOND, Restart(3)), (9 * SECOND, Heal())]
LOSSY = Conditions(loss=0.3)


DEAF: Faults = [(1 * SECOND, Partition([0], one_way=True)), (16 * SECOND, Heal())]  # its grants reach nobody
ANEW: Faults = [(8 * SECOND, Crash(4)), (9 * SECOND, Restart(4))]  # with smaller versions than before
RAIN: Faults = [(1 * SECOND, Degrade(LOSSY, range(20))), (4 * SECOND, Restore())]
DULL = Parameters(
    liveness=False, lazy=False, tau=100_000
)  # all there is to say is said; and nobody hangs up on whoever is deaf for that long
GONE: Faults = [(3 * SECOND, Crash(4))]
PLANTED = [
    pytest.param(ForgetsEpochs, {"faults": ANEW, "rate": 60}, id="forgotten-epoch-check"),
    pytest.param(SumsUp, {}, id="merge-by-sum"),
    pytest.param(BelievesAnyBody, {"conditions": LOSSY, "quiet": 120}, id="root-not-checked"),
    pytest.param(SkipsABucket, {"faults": SPLIT, "seconds": 6}, id="repair-skips-a-bucket"),
    pytest.param(ForgetsItsEpoch, {"faults": RESTARTS}, id="clock-moved-back-on-restart"),
    pytest.param(NeverDialsAgain, {"faults": ALONE}, id="links-not-redialled"),
    pytest.param(NeverAsks, {"faults": RAIN, "rate": 80, "parameters": Parameters(repair=False)}, id="gaps-left-open"),
    pytest.param(IgnoresCredit, {"faults": DEAF, "rate": 300, "seconds": 16, "parameters": DULL}, id="credit-ignored"),
    pytest.param(VerifiesNothing, {"tamper": forge}, id="signature-not-checked"),
    pytest.param(DropsTombstones, {"turnover": 0.3}, id="tombstone-dropped"),
    pytest.param(Resurrects, {"faults": GONE, "tamper": forget}, id="resurrection"),
]


@pytest.mark.parametrize(("node", "options"), PLANTED)
def test_a_planted_fault_is_caught(node: Callable[..., Core[int]], options: dict[str, Any], seed: int) -> None:
    with pytest.raises(Violation, match="replay"):
        run(seed, node=node, **options)


@pytest.mark.parametrize(("node", "options"), PLANTED)
def test_without_the_fault_nothing_is_found(node: object, options: dict[str, Any], seed: int) -> None:
    run(seed, **options)
