"""Recordings: a run in a history's database says what every machine was, and what others believed meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from asyncmachine.cli import main
from graph.parts import EdgeKey, Kind, Link, key_of, machine_vertex, peer_vertex
from history.codec import BASE, UPDATE, Row, decode_ticks
from history.store import EVERY, Store
from pubsub.boundary import SECOND
from pubsub.core import Core
from simulations.clocks import BEGINNING
from simulations.errors import SetupError
from simulations.faults import Crash, Heal, Partition, Restart
from simulations.gossip import GossipNetwork
from simulations.recording import Recording
from simulations.recording_tape import edge_key, machine_key, peer_key

CUT, HEALED, CRASHED, RESTARTED = 4 * SECOND, 8 * SECOND, 10 * SECOND, 11 * SECOND
SIDE = range(3)


def ns(us: int) -> int:
    return BEGINNING * 1_000_000 + us * 1000


class Run:
    """Six peers: three of them are cut off for 4 s, and one restarts later."""

    def __init__(self, where: str, *, seed: int = 3, views: int | None = None, **more: Any) -> None:
        self.recording = Recording(where, views=views)
        self.network = GossipNetwork(
            seed=seed,
            peers=6,
            rate=8,
            faults=[
                (CUT, Partition(SIDE)),
                (HEALED, Heal()),
                (CRASHED, Crash(5)),
                (RESTARTED, Restart(5)),
            ],
            **{"warm": True, **more},
        )
        self.network.simulation.checkers.append(self.recording)
        self.network.settle(2)
        self.network.work(10)
        self.network.settle(6)

    @property
    def store(self) -> Store:
        return self.recording.store

    def ids(self) -> dict[tuple[str, str], int]:
        return {(row.owner, row.name): row.id for row in self.store.machines()}

    def at(self, owner: str, name: str, us: int) -> list[int] | None:
        row = self.store.newest(self.ids()[owner, name], ns(us))
        return None if row is None else decode_ticks(row.ticks)

    def edges(self, us: int) -> set[EdgeKey]:
        """Return what was in the graph at a moment."""
        graphs, (life,) = self.store.graphs, self.store.graphs.lives()
        keys = {key_of(row.key) for row in graphs.rows(True, life.id, ns(us)) if row.since <= ns(us)}
        return {key for key in keys if isinstance(key, EdgeKey)}

    def rows(self) -> list[Row]:
        return self.store.feed(0, 1_000_000, None)

    def rows_of(self, owner: str, name: str) -> list[Row]:
        """Return what was recorded of a machine, by time."""
        return self.store.scan(self.ids()[owner, name], 0, 1 << 62, EVERY, 1_000_000, False)


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    made = Run("memory:")
    yield made
    made.recording.close()


def test_the_truth_of_each_peer_is_there_as_it_was(run: Run) -> None:
    for peer, node in enumerate(run.network.simulation.nodes):
        assert isinstance(node, Core)
        (exposure,) = node.publisher.exposures
        assert run.at(f"peer-{peer}", f"machine{peer}", 18 * SECOND) == list(exposure.reader.time())
    assert run.at("simulation", "network", CUT - 1) == [0, 0, 0, 0]
    assert run.at("simulation", "network", CUT + 1) == [1, 0, 0, 0]
    assert run.at("simulation", "network", HEALED + 1) == [2, 0, 0, 0]


def test_what_each_peer_believes_is_there_and_in_the_end_it_is_the_truth(run: Run) -> None:
    for peer in range(6):
        for owner in range(6):
            if peer != owner:
                believed = run.at(f"updates of peer-{owner} by peer-{peer}", f"machine{owner}", 18 * SECOND)
                assert believed == run.at(f"peer-{owner}", f"machine{owner}", 18 * SECOND)


def test_during_the_partition_the_other_side_believes_what_was(run: Run) -> None:
    late = HEALED - SECOND // 10
    differ = 0
    for owner in range(3, 6):
        truth, before = run.at(f"peer-{owner}", f"machine{owner}", late), None
        for peer in SIDE:
            believed = run.at(f"updates of peer-{owner} by peer-{peer}", f"machine{owner}", late)
            assert believed == run.at(f"updates of peer-{owner} by peer-{peer}", f"machine{owner}", CUT)
            assert before in (None, believed)
            before = believed
            differ += believed != truth
    assert differ > 0


def test_views_are_updates_with_the_clocks_before_and_after(run: Run) -> None:
    first, *others = run.rows_of("updates of peer-4 by peer-3", "machine4")
    assert first.mutation == BASE
    assert others
    assert {row.mutation for row in others} == {UPDATE}
    assert all(row.time_diff > 0 and row.changed for row in others)


def test_moments_are_those_of_the_simulation(run: Run) -> None:
    rows = run.rows()
    assert min(row.at for row in rows) >= ns(0)
    assert max(row.at for row in rows) <= ns(13 * SECOND)  # the last change is from 12 s, and has to arrive


def test_a_restart_is_a_new_epoch_of_its_machine_and_of_what_is_seen_of_it(run: Run) -> None:
    for owner in ("peer-5", "updates of peer-5 by peer-0"):
        assert {row.epoch for row in run.rows_of(owner, "machine5")} == {1, 2}
    assert {row.epoch for row in run.rows_of("updates of peer-1 by peer-0", "machine1")} == {1}


def test_the_graph_has_peers_machines_and_replicas(run: Run) -> None:
    edges = run.edges(18 * SECOND)
    assert EdgeKey(Link.OWNS, peer_vertex("peer-2"), machine_vertex("machine2", "peer-2")) in edges
    assert EdgeKey(Link.REPLICA, peer_vertex("peer-0"), machine_vertex("machine2", "peer-2")) in edges
    assert EdgeKey(Link.OWNS, peer_vertex("simulation"), machine_vertex("network", "simulation")) in edges
    assert sum(edge.link is Link.REPLICA for edge in edges) == 30
    gone = run.edges((CRASHED + RESTARTED) // 2)
    assert not [edge for edge in gone if "peer-5" in (edge.source.peer, edge.target.peer)]


def test_a_partition_ends_the_connections_across_it_and_its_heal_begins_them_anew(run: Run) -> None:
    def across(us: int) -> int:
        links = [edge for edge in run.edges(us) if edge.link is Link.CONNECTION]
        return sum((int(e.source.peer[-1]) in SIDE) != (int(e.target.peer[-1]) in SIDE) for e in links)

    whole = across(CUT - SECOND)
    assert whole > 0
    assert (across(CUT + 1), across(HEALED - 1), across(HEALED + 1)) == (0, 0, whole)


def test_recording_changes_nothing_about_a_run(run: Run) -> None:
    network = GossipNetwork(
        seed=3,
        peers=6,
        rate=8,
        warm=True,
        faults=[(CUT, Partition(SIDE)), (HEALED, Heal()), (CRASHED, Crash(5)), (RESTARTED, Restart(5))],
    )
    network.settle(2)
    network.work(10)
    network.settle(6)
    assert network.simulation.trace_hash() == run.network.simulation.trace_hash()


def test_the_same_seed_gives_the_same_rows(run: Run) -> None:
    again = Run("memory:")
    assert again.rows() == run.rows()
    again.recording.close()


def test_it_goes_to_a_file_and_some_may_tell_what_they_saw(tmp_path: Path) -> None:
    made = Run(str(tmp_path / "run.db"), views=2, warm=False, turnover=0.3)
    assert made.recording.observers == (0, 3)
    made.recording.close()
    made.recording.close()
    observers = {owner.rpartition(" ")[2] for owner, _ in made.ids() if owner.startswith("updates of")}
    assert observers == {"peer-0", "peer-3"}
    assert any(name.startswith("second") for _, name in made.ids())
    with pytest.raises(SetupError, match="holds a history already: record the run into a file of its own"):
        Recording(tmp_path / "run.db")


def test_what_cannot_be_recorded_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="views=-1 is negative"):
        Recording("memory:", views=-1)
    with pytest.raises(SetupError, match="the run cannot be recorded"):
        Recording("mysql://x/y")
    (tmp_path / "text").write_text("no database at all, and longer than a header of one would be" * 20)
    with pytest.raises(SetupError, match="the run cannot be recorded"):
        Recording(tmp_path / "text")


def test_no_views_at_all_are_recorded_if_nobody_is_asked() -> None:
    made = Run("memory:", views=0)
    assert not [owner for owner, _ in made.ids() if owner.startswith("updates of")]
    made.recording.close()


def test_keys_are_those_of_the_graph() -> None:
    assert key_of(peer_key("a")) == peer_vertex("a")
    assert key_of(machine_key("a", "m")) == machine_vertex("m", "a")
    edge = key_of(edge_key("replica", peer_key("a"), machine_key("b", "m")))
    assert edge == EdgeKey(Link.REPLICA, peer_vertex("a"), machine_vertex("m", "b"))
    assert peer_vertex("a").kind is Kind.PEER


def test_the_command_records_what_some_peers_believed(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text("peers = 6\nsettle = 1\nseconds = 2\nquiet = 3\n")
    command = ["sim", "run", str(tmp_path / "tiny.toml"), "--record-views", "2"]
    told = CliRunner().invoke(main, [*command, "--record", str(tmp_path / "run.db"), "--json"])
    assert told.exit_code == 0, told.output
    listed = CliRunner().invoke(main, ["history", "-H", str(tmp_path / "run.db"), "list", "--json"])
    assert listed.stdout.count("updates of peer-1 by") == 2
    assert CliRunner().invoke(main, command).exit_code == 2
