"""What a peer knows of its network, put into a graph: other peers, its connections, who owns which machines, replicas.

    feed = PeerFeed(graph, machines, peer)
    feed.start()

It is one peer's view: what it holds others for may be wrong for a while. To it comes what others tell of their own
edges, see `graph.said`, tagged as such: together they are the network. Nothing is asked for; all comes from the events
that the peer tells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from graph.feed import MachineFeed
from graph.live import LiveGraph
from graph.parts import EdgeKey, Link, Vertex, machine_vertex, peer_vertex
from graph.said import Said
from graph.told import TOLD
from machine import Reader
from pubsub.catalog import SchemaKnown
from pubsub.events import Committed, Linked, Meshed, Published, Repaired, Unlinked
from pubsub.members import MemberChanged, MemberForgotten, Status
from pubsub.names import is_internal, peer_id_of
from pubsub.peer import Peer
from pubsub.record import Description
from pubsub.replica import Replica
from pubsub.state import OwnerState

_name = lru_cache(4096)(peer_id_of)  # it takes 20 us to work one out
_LIVING = (Status.ALIVE, Status.SUSPECT)
QUIET = 4  # sessions; with a new neighbour, and after one that found something, so many follow each other fast
UNKNOWN = "unknown"  # the tag of a neighbour that has published nothing (yet), such as a guest


class PeerFeed:
    """Puts a peer's network into a graph for as long as it is started.

    Args:
        graph: to put it in.
        machines: what follows the machines in the same graph; its ``peer_of`` must be that of `peers_of`.
        peer: whose view it is.
        states: whether others' machines are put in with all their states and relations.
        told: whether that is put in, too, what others tell of their own edges.

    Attributes:
        said: what they tell; None: nobody listens.
        sessions, repairs: of repair that have ended, and those of them that brought what should have been here.
    """

    def __init__(
        self, graph: LiveGraph, machines: MachineFeed, peer: Peer, *, states: bool = True, told: bool = True
    ) -> None:
        self.peer = peer
        self.vertex = peer_vertex(peer.id)
        self._graph = graph
        self._machines = machines
        self._states = states
        self.said = Said(graph, machines, self.vertex, states=states) if told else None
        self._known: dict[bytes, dict[int, tuple[Description, bytes]]] = {}  # of each owner, by index: with its schema
        self._owned: dict[bytes, dict[str, Vertex]] = {}  # of each owner, by id: what is in the graph
        self._replicas: dict[Vertex, Replica] = {}
        self._links: dict[bytes, EdgeKey] = {}
        self._members: dict[bytes, Status] = {}
        self._quiet: dict[bytes, int] = {}  # sessions in a row that found nothing, of those with an edge
        self.sessions = self.repairs = 0
        self._is_listening = False

    def __repr__(self) -> str:
        return f"<PeerFeed of {self.peer.id}: {len(self._members)} members, {len(self._links)} connections>"

    def start(self) -> None:
        """Put in what the peer knows, and what it comes to know from now on."""
        self._graph.add_vertex(self.vertex, ("self",))
        self._is_listening = True
        self.peer.listen(self._hear)
        for member in self.peer.members():
            if member.owner != self.peer.owner:
                self._put_member(member.owner, member.status)
        for owner in self.peer.neighbours():
            self._link(owner, bool(self.peer.dialed(owner)))
        for owner in self.peer.mesh:
            self._mesh(owner, True)
        for replica in self.peer.replicas():
            self._own(replica.owner, replica.id, replica.tags, replica.parent_id or "")
            self._follow(replica)
        for replica in self.peer.replicas(id=TOLD):
            self._hear_from(replica.owner, replica.tags)

    def ignore(self) -> None:
        """Hear nothing any more, and leave the graph as it is. Doing it twice is doing it once."""
        if self._is_listening:
            self._is_listening = False
            self.peer.unlisten(self._hear)

    def stop(self) -> None:
        """Take out all that it has put in. Doing it twice is doing it once."""
        if self.vertex not in self._graph:
            return
        self.ignore()
        for owner in list(self._owned):
            self._disown(owner, self._owned[owner])
        for owner in list(self._links):
            self._unlink(owner)
        for owner in list(self._members):
            self._forget(owner)
        self._known.clear()
        self._graph.remove_vertex(self.vertex)

    # -- what the peer tells

    def _hear(self, event: object) -> None:
        if isinstance(event, Committed | Published):
            self._look(event.state)
        elif isinstance(event, MemberChanged):
            if event.owner != self.peer.owner:
                self._put_member(event.owner, event.status)
        elif isinstance(event, MemberForgotten):
            self._disown(event.owner, self._owned.get(event.owner, {}))
            self._known.pop(event.owner, None)
            self._forget(event.owner)
        elif isinstance(event, Linked) and isinstance(event.peer, bytes):
            self._link(event.peer, event.dialed)
        elif isinstance(event, Unlinked) and isinstance(event.peer, bytes):
            self._unlink(event.peer)
        elif isinstance(event, Meshed) and isinstance(event.peer, bytes):
            self._mesh(event.peer, event.is_in)
        elif isinstance(event, Repaired) and isinstance(event.peer, bytes):
            self._repaired(event.peer, event.news)
        elif isinstance(event, SchemaKnown):
            for replica in self.peer.replicas():
                self._follow(replica)

    # -- peers, and links

    def _put_member(self, owner: bytes, status: Status) -> None:
        self._members[owner] = status
        self._graph.add_vertex(peer_vertex(_name(owner)), (status.value,))
        if self.said is not None:
            self.said.look(_name(owner), lives=status in _LIVING)

    def _forget(self, owner: bytes) -> None:
        """Take a peer out that is no member any more, unless there is a connection with it."""
        self._members.pop(owner, None)
        if self.said is not None:
            self.said.stop(_name(owner))
        vertex = peer_vertex(_name(owner))
        if owner in self._links:
            self._graph.add_vertex(vertex, (UNKNOWN,))
        else:
            self._graph.remove_vertex(vertex)

    def _link(self, owner: bytes, dialed: bool) -> None:
        vertex = peer_vertex(_name(owner))
        if owner not in self._members:
            self._graph.add_vertex(vertex, (UNKNOWN,))
        edge = self._links[owner] = EdgeKey(Link.CONNECTION, self.vertex, vertex)
        self._graph.add_edge(edge, ("dialed" if dialed else "accepted",))
        self._graph.add_edge(_stream(self.vertex, vertex) if dialed else _stream(vertex, self.vertex))

    def _unlink(self, owner: bytes) -> None:
        edge = self._links.pop(owner, None)
        if edge is not None:
            self._quiet.pop(owner, None)
            for end, other in ((edge.source, edge.target), (edge.target, edge.source)):
                self._graph.remove_edge(_stream(end, other))
            for link in (Link.CONNECTION, Link.MESH, Link.SESSION):
                self._graph.remove_edge(edge._replace(link=link))
            if owner not in self._members:
                self._forget(owner)

    def _mesh(self, owner: bytes, is_in: bool) -> None:
        edge = EdgeKey(Link.MESH, self.vertex, peer_vertex(_name(owner)))
        if not is_in:
            self._graph.remove_edge(edge)
        elif owner in self._links:
            self._graph.add_edge(edge)

    def _repaired(self, owner: bytes, news: int) -> None:
        """Take note of a session. Most last for milliseconds and find nothing: these are counted, and no edge.

        What is kept is that something was missing: an edge from the first session that brought what should have been
        here, until some in a row with the same neighbour have found nothing any more.
        """
        self.sessions += 1
        if owner not in self._links:
            return
        edge = EdgeKey(Link.SESSION, self.vertex, peer_vertex(_name(owner)))
        if news:
            self.repairs += 1
            self._quiet[owner] = 0
            self._graph.add_edge(edge)
        elif owner in self._quiet:
            self._quiet[owner] += 1
            if self._quiet[owner] >= QUIET:
                del self._quiet[owner]
                self._graph.remove_edge(edge)

    # -- machines

    def _look(self, state: OwnerState) -> None:
        """See whether an owner has other machines than before; most often only their clocks have changed."""
        owner, known = state.owner, self._known.get(state.owner, {})
        news: dict[str, None] = {}  # ids of machines that are new, or described anew
        for machine in state.values():
            then = known.get(machine.index)
            if then is None or then[0] is not machine.description or then[1] is not machine.schema:
                news[machine.description.id] = None
        if not news and len(known) == len(state):
            return
        now = self._known[owner] = {m.index: (m.description, m.schema) for m in state.values()}
        news.update((then[0].id, None) for index, then in known.items() if index not in now)  # another one may be left
        if owner != self.peer.owner and owner not in self._members:
            self._put_member(owner, Status.LEFT if state.header.is_bye else Status.ALIVE)
        descriptions: dict[str, Description] = {}
        for machine in state.values():
            descriptions.setdefault(machine.description.id, machine.description)
        owned = self._owned.get(owner, {})
        self._disown(owner, {id: owned[id] for id in news if id in owned and id not in descriptions})
        for id in news:
            if id not in descriptions or is_internal(id):
                continue
            self._own(owner, id, descriptions[id].tags, descriptions[id].parent)
            if owner != self.peer.owner:
                for replica in self.peer.replicas(id=id, owner=owner):
                    self._follow(replica)
        if TOLD in news and owner != self.peer.owner:
            self._hear_from(owner, descriptions[TOLD].tags if TOLD in descriptions else ())

    def _hear_from(self, owner: bytes, tags: Sequence[str]) -> None:
        if self.said is not None:
            self.said.hear(_name(owner), tags, lives=self._members.get(owner) in _LIVING)

    def _own(self, owner: bytes, id: str, tags: tuple[str, ...], parent: str) -> None:
        """Put a machine in, whose it is, and what it belongs to."""
        vertex = self._owned.setdefault(owner, {})[id] = machine_vertex(id, _name(owner))
        self._graph.add_vertex(vertex, tags)
        self._graph.add_edge(EdgeKey(Link.OWNS, peer_vertex(vertex.peer), vertex))
        if parent:
            self._graph.add_edge(EdgeKey(Link.PARENT, vertex, machine_vertex(parent, vertex.peer)))
        if self.said is not None:
            self.said.came(vertex)

    def _disown(self, owner: bytes, gone: dict[str, Vertex]) -> None:
        """Take machines out that an owner has no more; of this peer's own, those that are followed stay."""
        for id, vertex in list(gone.items()):
            del self._owned[owner][id]
            self._graph.remove_edge(EdgeKey(Link.OWNS, peer_vertex(vertex.peer), vertex))
            self._graph.remove_edge(EdgeKey(Link.REPLICA, self.vertex, vertex))
            if self.said is not None:
                self.said.went(vertex)
            replica = self._replicas.pop(vertex, None)
            if replica is not None:
                self._machines.unfollow(replica)
            if not self._machines.follows(vertex):
                self._graph.remove_machine(vertex)
        if not self._owned.get(owner, True):
            del self._owned[owner]

    def _follow(self, replica: Replica) -> None:
        """Put in that there is a copy of a machine now, and its states."""
        vertex = machine_vertex(replica.id, _name(replica.owner))
        if self._replicas.get(vertex) is replica:
            return
        self._replicas[vertex] = replica
        if self._states:
            self._machines.follow(replica)
        self._graph.add_edge(EdgeKey(Link.REPLICA, self.vertex, vertex))


def _stream(dialler: Vertex, other: Vertex) -> EdgeKey:
    """Return the edge of the neighbours' stream, which who has dialled opens."""
    return EdgeKey(Link.NEIGHBOUR, dialler, other)


def peers_of(peer: Peer) -> Callable[[Reader], str]:
    """Return what tells whose machine a reader is: of a replica its owner, of all others this peer."""

    def peer_of(reader: Reader) -> str:
        return _name(reader.owner) if isinstance(reader, Replica) else peer.id

    return peer_of
