"""Recordings: a run in a history's database, to be asked about and looked at as any other.

    recording = Recording("run.db")
    Experiment(scenario, seed=7, watching=[recording]).run()
    recording.close()

Time is simulated, from `clocks.BEGINNING` on: the same seed gives the same rows. There are

* the machines of each peer, by its name (``peer-007``), as they were: their owner's truth;
* what some peers saw of them, each as it came: ``updates of peer-007 by peer-031``, which is how a history keeps what
  was believed. A peer that crashed believes, for whoever asks, what it believed then, until it hears of something;
* a graph: peers, their machines, connections, and who holds a replica of what. A partition ends the connections across
  it, and its heal begins those anew that are still there;
* the network itself, a machine of ``simulation``, which says when it was partitioned, held or degraded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from history.codec import RecordedSchema
from history.errors import HistoryError
from history.hlc import HybridClock
from history.opening import open_store
from history.recorder import Recorder
from history.stream import Base, Identity, Stream
from history.writer import Writer
from machine import Machine, Reader, Schema, State
from machine.update import Update
from pubsub.events import Committed, Linked, Published, Unlinked
from simulations.checkers import Checker
from simulations.clocks import BEGINNING
from simulations.errors import SetupError
from simulations.faults import Crash, Degrade, Heal, Hold, Partition, Release, Restart, Restore
from simulations.instruments.arrivals import held_by
from simulations.recording_tape import GraphTape, RowTape, edge_key, machine_key, peer_key
from simulations.simulation import Simulation, Verb

ALL = 100  # peers up to which all are asked what they saw, if nothing else is said: 10,000 pairs
SOME = 5  # of more of them
NETWORK = "simulation"
STATES = {
    Partition: ("add", "Partitioned"),
    Heal: ("remove", "Partitioned"),
    Hold: ("add", "Held"),
    Release: ("remove", "Held"),
    Degrade: ("add", "Degraded"),
    Restore: ("remove", "Degraded"),
}


@dataclass(slots=True)
class View:
    """What one peer believes of one machine: the rows that this makes, and where it is."""

    stream: Stream
    reader: Reader
    epoch: int
    ticks: tuple[int, ...]


class Recording(Checker):
    """Writes a run into a database. See the module.

    Args:
        where: a new file, or the URL of a database that holds no machines yet.
        views: of how many peers to record what they saw; by default of all, where there are at most `ALL`, and of
            `SOME` of more. They are spread evenly over their numbers.

    Attributes:
        observers: their numbers.

    Raises:
        SetupError: the database cannot be opened, or holds a history already.
    """

    def __init__(self, where: str | Path, *, views: int | None = None) -> None:
        if views is not None and views < 0:
            raise SetupError(f"views={views} is negative: name how many peers are to tell what they saw, 0 for none")
        url = str(where)
        if "://" not in url and url != "memory:":
            url = f"sqlite:///{Path(url).expanduser()}"
        self._views = views
        self.observers: tuple[int, ...] = ()
        self._watches = bytearray()
        self._simulation: Simulation | None = None
        self._clock = HybridClock(self._now)
        try:
            self.store = open_store(url)
            self.store.open()
            taken = len(self.store.machines())
        except HistoryError as error:
            raise SetupError(f"the run cannot be recorded: {error}") from error
        if taken:
            self.store.close()
            raise SetupError(f"{self.store.url} holds a history already: record the run into a file of its own")
        self._rows = RowTape(self.store)
        self._graph = GraphTape(self.store.graphs, self._clock.stamp())
        self._names: list[str] = []
        self._numbers: dict[bytes, int] = {}
        self._recorders: list[dict[str, Recorder]] = []
        self._seen: list[dict[tuple[int, str], View]] = []
        self._linked: dict[tuple[int, int], tuple[str, ...]] = {}
        self._network = Machine(Schema({name: State() for _, name in STATES.values()}), id="network")
        self._unsettled: int | None = None
        self._knows = False
        self._closed = False

    def _now(self) -> int:
        return BEGINNING * 1_000_000 + (0 if self._simulation is None else self._simulation.now * 1000)

    # -- as a checker

    def started(self, simulation: Simulation) -> None:
        """Choose whose views are recorded."""
        self._simulation = simulation
        peers = simulation.peers
        width = len(str(peers - 1))
        self._names = [f"peer-{peer:0{width}}" for peer in range(peers)]
        views = self._views if self._views is not None else peers if peers <= ALL else SOME
        count = min(views, peers)
        self.observers = tuple(at * peers // count for at in range(count))
        self._watches = bytearray(peers)
        for observer in self.observers:
            self._watches[observer] = 1
        self._recorders = [{} for _ in range(peers)]
        self._seen = [{} for _ in range(peers)]
        self._record(self._network, NETWORK)
        at, machine = self._clock.stamp(), machine_key(NETWORK, self._network.id)
        for key in (peer_key(NETWORK), machine, edge_key("owns", peer_key(NETWORK), machine)):
            self._graph.put(at, key)

    def notified(self, now: int, peer: int, event: object) -> None:
        """Write down what a peer published, took over, or was connected with."""
        if self._unsettled is not None:
            self._settle()
        if isinstance(event, Committed):
            if self._watches[peer]:
                self._saw(peer, event.state, event.before)
        elif isinstance(event, Published):
            self._numbers[event.state.owner] = peer
            self._look(peer)
        elif isinstance(event, Linked) and isinstance(event.peer, int):
            pair = (peer, event.peer) if event.dialed else (event.peer, peer)
            self._linked[pair] = ()
            self._put_connection(*pair)
        elif isinstance(event, Unlinked) and isinstance(event.peer, int):
            for pair in ((peer, event.peer), (event.peer, peer)):
                if self._linked.pop(pair, None) is not None:
                    self._graph.take(self._clock.stamp(), self._connection(*pair))

    def faulted(self, now: int, verb: Verb) -> None:
        """Let a peer go, or look after the fault at which connections still carry something."""
        if self._unsettled is not None:
            self._settle()
        if isinstance(verb, Crash | Restart):
            self._end(verb.peer)
        elif isinstance(verb, Partition | Heal):
            self._unsettled = self._clock.stamp()  # what it does can only be seen when it has been done
        change = STATES.get(type(verb))
        if change is not None:
            getattr(self._network, change[0])(change[1])

    def paused(self, simulation: Simulation) -> None:
        """Write down what peers knew from the beginning, of which they are not told."""
        if self._unsettled is not None:
            self._settle()
        if not self._knows:
            self._knows = True
            for observer in self.observers:
                for _, state in held_by(simulation.nodes[observer]):
                    if self._numbers.get(state.owner) != observer:
                        self._saw(observer, state, None)
        self._rows.flush()
        self._graph.flush(self._clock.stamp())

    def close(self) -> None:
        """Write what is left, and let go of the database. Doing it twice is doing it once."""
        if self._closed:
            return
        self._closed = True
        try:
            self._rows.flush()
            self._graph.flush(self._clock.stamp(), ended=True)
        finally:
            self.store.close()

    # -- what peers are and have

    def _look(self, peer: int) -> None:
        """Record the machines that a peer exposes now, and end with those that it does not any more."""
        assert self._simulation is not None
        node = self._simulation.nodes[peer]
        publisher = getattr(getattr(node, "node", node), "publisher", None)
        exposed: dict[str, Reader] = {}
        for exposure in getattr(publisher, "exposures", ()):
            exposed[exposure.reader.id] = exposure.reader
        known, name = self._recorders[peer], self._names[peer]
        if {id: recorder.machine for id, recorder in known.items()} == exposed:
            return
        at = self._clock.stamp()
        self._graph.put(at, peer_key(name))
        for id, recorder in list(known.items()):
            if exposed.get(id) is not recorder.machine:
                self._end_machine(peer, id)
        for id, reader in exposed.items():
            if id not in known:
                known[id] = self._record(reader, name)
                self._graph.put(at, machine_key(name, id), *reader.tags)
                self._graph.put(at, edge_key("owns", peer_key(name), machine_key(name, id)))

    def _record(self, reader: Reader, owner: str) -> Recorder:
        return Recorder(reader, cast(Writer, self._rows), self._clock, owner=owner)

    def _end_machine(self, peer: int, id: str) -> None:
        name = self._names[peer]
        self._recorders[peer].pop(id).stop()
        at, machine = self._clock.stamp(), machine_key(name, id)
        for observer in self.observers:
            self._graph.take(at, edge_key("replica", peer_key(self._names[observer]), machine))
        self._graph.take(at, edge_key("owns", peer_key(name), machine))
        self._graph.take(at, machine)

    def _end(self, peer: int) -> None:
        """Let a peer go with all that it had; others find out about their connections themselves."""
        at, key = self._clock.stamp(), peer_key(self._names[peer])
        for pair in [pair for pair in self._linked if peer in pair]:
            del self._linked[pair]
            self._graph.take(at, self._connection(*pair))
        for owner, id in self._seen[peer]:
            self._graph.take(at, edge_key("replica", key, machine_key(self._names[owner], id)))
        self._seen[peer].clear()
        for id in list(self._recorders[peer]):
            self._end_machine(peer, id)
        self._graph.take(at, key)

    # -- what they believe

    def _saw(self, peer: int, state: Any, before: Any) -> None:
        """Write down how the machines of an owner look to a peer now."""
        owner = self._numbers.get(state.owner)
        if owner is None:
            return
        for index, machine in state.items():
            if before is not None and before.get(index) is machine:
                continue
            id = machine.description.id
            view = self._seen[peer].get((owner, id))
            if view is None or view.epoch != state.order[0]:
                self._meet(peer, owner, id, state.order[0], machine)
                continue
            ticks = _whole(machine.ticks, view.reader)
            if ticks != view.ticks:
                update = Update(view.reader, view.ticks, ticks, *state.order)
                self._rows.append((view.stream, self._clock.stamp(), update, ticks, update.seq, None, None))
                view.ticks = ticks

    def _meet(self, peer: int, owner: int, id: str, epoch: int, machine: Any) -> None:
        """Begin with a machine as a peer sees it for the first time in this life of its owner."""
        recorder = self._recorders[owner].get(id)
        if recorder is None:
            return  # it came late: its owner is down, or has taken it back
        reader, name = recorder.machine, self._names[owner]
        identity = Identity(f"updates of {name} by {self._names[peer]}", id, reader.tags, reader.parent_id)
        ticks = _whole(machine.ticks, reader)
        view = self._seen[peer][owner, id] = View(Stream(identity, reader, None), reader, epoch, ticks)
        schema, at = RecordedSchema.of(reader.schema), self._clock.stamp()
        base = Base(ticks, schema, 0, tuple(range(len(ticks))), len(ticks))
        self._rows.append((view.stream, at, base, (), 0, None, None))
        self._graph.put(at, edge_key("replica", peer_key(self._names[peer]), machine_key(name, id)))

    # -- connections

    def _connection(self, dialler: int, target: int) -> tuple[str, ...]:
        return edge_key("connection", peer_key(self._names[dialler]), peer_key(self._names[target]))

    def _put_connection(self, dialler: int, target: int) -> None:
        assert self._simulation is not None
        network, at = self._simulation.network, self._clock.stamp()
        for peer in (dialler, target):
            self._graph.put(at, peer_key(self._names[peer]))
        if not (network.is_cut(dialler, target) or network.is_cut(target, dialler)):
            self._graph.put(at, self._connection(dialler, target))

    def _settle(self) -> None:
        """See which connections a partition has cut, or a heal given back."""
        at, self._unsettled = self._unsettled, None
        assert self._simulation is not None
        assert at is not None
        network = self._simulation.network
        for dialler, target in self._linked:
            if network.is_cut(dialler, target) or network.is_cut(target, dialler):
                self._graph.take(at, self._connection(dialler, target))
            else:
                self._graph.put(at, self._connection(dialler, target))


def _whole(ticks: tuple[int, ...], reader: Reader) -> tuple[int, ...]:
    """Return ticks with the zeros at their end, which a record leaves out."""
    return ticks + (0,) * (len(reader.state_names) - len(ticks))
