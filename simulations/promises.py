"""What the protocol promises, as checkers that see every event of a run and all ledgers at its end.

    ClocksGoForward       nobody goes back, and nothing that was forgotten comes back
    OnlyWhatWasPublished  what a replica says, its owner said, exactly so
    CreditIsKept          nobody sends more than its neighbour granted
    NothingHoards         what a peer keeps beside the states themselves is bounded
    Everybody             at the end all know the newest state of all
    EverySchema           at the end all know the schemas, too

Each costs a few operations an event, and 8 bytes for each pair of peers: they run with a thousand of them.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection

from pubsub.boundary import LINK, Message
from pubsub.core import Core
from pubsub.events import Committed, Published
from pubsub.link import MAX_ASKED, WINDOW
from pubsub.messages import Frame
from pubsub.state import OwnerState
from simulations.checkers import Checker
from simulations.errors import Violation
from simulations.faults import Restart
from simulations.measures import states_of
from simulations.simulation import Simulation, Verb


class ClocksGoForward(Checker):
    """Nobody goes back: (epoch, version) grows, within an epoch no tick shrinks, and no machine that is gone returns.

    Owners are held to it over all lives that have a disk, replicas within a life. What a replica has forgotten does not
    come back as it was, either: only with something newer.
    """

    def __init__(self, lying: Collection[bytes] = ()) -> None:
        self._lying = frozenset(lying)
        self._numbers: list[dict[bytes, int]] = []  # of the owners in each shard
        self._orders: list[array[int]] = []  # of each peer, by the number of the owner; 0: nothing
        self._lives: list[int] = []
        self._said: dict[bytes, OwnerState] = {}
        self._gone: dict[bytes, tuple[int, set[int]]] = {}  # owner -> epoch, indexes that are no longer exposed
        self._wiped: dict[int, None] = {}
        self._simulation: Simulation | None = None

    def started(self, simulation: Simulation) -> None:
        """Keep it, to tell a peer's lives apart: a restarted one begins with nothing."""
        self._simulation = simulation
        self._numbers = [{} for _ in simulation.shards]
        self._orders = [array("Q") for _ in range(simulation.peers)]
        self._lives = [0] * simulation.peers

    def faulted(self, now: int, verb: Verb) -> None:
        """Note who loses its disk: it may say again what it said, until it hears of itself."""
        if isinstance(verb, Restart) and not verb.disk:
            self._wiped[verb.peer] = None

    def notified(self, now: int, peer: int, event: object) -> None:
        """Compare with what this peer had before."""
        if not isinstance(event, Committed | Published) or event.state.owner in self._lying:
            return
        if isinstance(event, Committed):
            self._committed(peer, event.state, event.before)
        else:
            self._published(peer, event.state)

    def _committed(self, peer: int, state: OwnerState, before: OwnerState | None) -> None:
        known, number, order = self._known(peer, state)
        if order <= known[number]:
            torn = before is not None and order == known[number] and state.header.rank > before.header.rank
            if not torn:  # a wiped owner that says one thing twice in different words; the larger rank is to win
                came = f"went from {before!r} to" if before is not None else "forgot, and took back,"
                raise Violation(f"peer {peer} {came} {state!r}, though it had been at {_order_text(known[number])}")
        if before is not None:
            if known[number] and _packed(before) != known[number]:
                raise Violation(f"peer {peer} takes {before!r} for what it had, that was {_order_text(known[number])}")
            _compare(f"peer {peer} saw", before, state)
        known[number] = order

    def _published(self, peer: int, state: OwnerState) -> None:
        known, number, order = self._known(peer, state)
        said = self._said.get(state.owner)
        if said is not None and peer not in self._wiped:
            if state.order <= said.order:
                raise Violation(f"peer {peer} published {state!r} after {said!r}")
            _compare(f"peer {peer} made", said, state)
            self._bury(peer, said, state)
        elif said is not None:
            del self._wiped[peer]
        self._said[state.owner] = state
        known[number] = order

    def _bury(self, peer: int, said: OwnerState, state: OwnerState) -> None:
        """Note which machines are gone; within an epoch no index is used twice."""
        epoch, gone = self._gone.setdefault(state.owner, (state.header.epoch, set()))
        if epoch != state.header.epoch:
            epoch, gone = self._gone[state.owner] = state.header.epoch, set()
        elif not gone.isdisjoint(state.keys()):
            raise Violation(f"peer {peer} used the index of a machine that is gone again in {state!r}")
        if said.header.epoch == epoch:
            gone |= said.keys() - state.keys()

    def _known(self, peer: int, state: OwnerState) -> tuple[array[int], int, int]:
        """Return what was seen of this peer, where in it the owner of a state is, and the state's order."""
        assert self._simulation is not None
        numbers = self._numbers[self._simulation.shard_of[peer]]
        number = numbers.setdefault(state.owner, len(numbers))
        known = self._orders[peer]
        if self._lives[peer] != self._simulation.lives[peer]:
            self._lives[peer] = self._simulation.lives[peer]
            del known[:]
        if number >= len(known):
            known.frombytes(bytes(8 * (len(numbers) - len(known))))
        return known, number, _packed(state)


def _packed(state: OwnerState) -> int:
    return state.header.epoch << 32 | state.header.version


def _order_text(packed: int) -> str:
    return f"{packed >> 32}.{packed & 0xFFFFFFFF}"


def _compare(what: str, before: OwnerState, state: OwnerState) -> None:
    """Raise if a tick shrinks within an epoch."""
    if state.header.epoch != before.header.epoch:
        return
    for index, machine in before.items():
        now = state.get(index, machine)
        if now is not machine:
            old, new = machine.ticks, now.ticks
            if len(new) < len(old) or any(n < o for o, n in zip(old, new, strict=False)):
                raise Violation(f"{what} ticks of {state!r} go back: {old} to {new}")


class OnlyWhatWasPublished(Checker):
    """Every state of a replica is, as a whole, one that its owner has published."""

    def __init__(self, lying: Collection[bytes] = ()) -> None:
        self._lying = frozenset(lying)
        self._published: dict[tuple[bytes, int, int], list[OwnerState]] = {}

    def notified(self, now: int, peer: int, event: object) -> None:
        """Remember what owners say, and hold what replicas say against it."""
        if isinstance(event, Published):
            self._published.setdefault((event.state.owner, *event.state.order), []).append(event.state)
        elif isinstance(event, Committed) and event.state.owner not in self._lying:
            state = event.state
            for said in self._published.get((state.owner, *state.order), ()):
                if said.header.root == state.header.root and _same(said, state):
                    return
            raise Violation(f"peer {peer} took over {state!r}, which its owner never published so")


def _same(left: OwnerState, right: OwnerState) -> bool:
    if len(left) != len(right):
        return False
    for mine, other in zip(left.values(), right.values(), strict=True):
        if mine is not other and (mine.digest != other.digest or mine.ticks != other.ticks):
            return False
    return True


class CreditIsKept(Checker):
    """Of what was sent on a link, arrived or not, there is never more than was granted in what reached the sender.

    Each frame says how much was sent before it. Where nothing is duplicated, what has arrived is added up, too.
    """

    def __init__(self, liars: Collection[int] = ()) -> None:
        self._liars = frozenset(liars)
        self._links: dict[tuple[int, int], list[int]] = {}  # -> generation, bytes sent, arrived, granted
        self._simulation: Simulation | None = None

    def started(self, simulation: Simulation) -> None:
        """Keep it, to tell the connections of a pair apart."""
        self._simulation = simulation

    def delivered(self, now: int, source: int, target: int, channel: int, message: Message) -> None:
        """Add up."""
        if channel != LINK or not isinstance(message, Frame) or source in self._liars or target in self._liars:
            return
        assert self._simulation is not None
        link = self._simulation.network.links[source][target]
        forth = self._account(source, target, link.generation)
        back = self._account(target, source, link.generation)
        back[3] = max(back[3], message.grant)
        size = message.load
        forth[1] = max(forth[1], message.sent + size)
        forth[2] = forth[2] + size if not link.conditions.duplicate else -(2**62)
        sent = max(forth[1], forth[2])
        if sent > forth[3]:
            raise Violation(f"peer {source} sent {sent} bytes to peer {target}, which had granted {forth[3]}")

    def _account(self, source: int, target: int, generation: int) -> list[int]:
        account = self._links.get((source, target))
        if account is None or account[0] != generation:
            account = self._links[source, target] = [generation, 0, 0, WINDOW]
        return account


class NothingHoards(Checker):
    """What a peer keeps beside the states themselves is bounded: by the owners it knows, or by a constant."""

    def paused(self, simulation: Simulation) -> None:
        """Look at all cores."""
        for peer, core in enumerate(simulation.nodes):
            if not isinstance(core, Core):
                continue
            owners = len(states_of(core))
            for link in core.links.values():
                if len(link.asked) > MAX_ASKED or len(link.backlog) > owners:
                    raise Violation(f"peer {peer}, which knows {owners} owners, holds too much for a neighbour: {link}")
            sessions = [(other, session.mine) for (other, _), session in core.repair.sessions.items()]
            if len(set(sessions)) < len(sessions) or any(other not in core.links for other, _ in sessions):
                raise Violation(f"peer {peer} is in more than one session each way with a neighbour: {sessions}")


class Everybody(Checker):
    """At the end all running peers know the newest state of all owners that run, and agree about all others."""

    def ended(self, simulation: Simulation) -> None:
        """Compare all ledgers of each shard with each other, and with what the owners say of themselves."""
        for shard in simulation.shards:
            said = _disagreement({p: n for p in shard if isinstance(n := simulation.nodes[p], Core)})
            if said:
                raise Violation(said)


def _disagreement(cores: dict[int, Core[int]]) -> str:
    views = {p: {o: (s.order, s.mark) for o, s in states_of(core)} for p, core in cores.items()}
    truth = {core.identity.owner: core.publisher.state for core in cores.values()}
    for peer, view in views.items():
        for owner, state in truth.items():
            if state is not None and view.get(owner) != (state.order, state.mark):
                return f"peer {peer} believes {view.get(owner)} of an owner that is at {state!r}"
    first = next(iter(views.values()), {})
    others = [peer for peer, view in views.items() if view != first]
    return f"{len(others)} of {len(views)} peers do not agree: {others[:5]}" if others else ""


class EverySchema(Checker):
    """At the end all running peers know the schemas of all machines that they know."""

    def ended(self, simulation: Simulation) -> None:
        """Compare the catalogs with the ledgers."""
        for peer, core in enumerate(simulation.nodes):
            if isinstance(core, Core):
                machines = [machine for _, state in states_of(core) for machine in state.values()]
                unknown = [m.description.id for m in machines if core.catalog.find(m.schema) is None]
                if unknown:
                    raise Violation(f"peer {peer} does not know the schemas of {len(unknown)} machines: {unknown[:5]}")


def promises(liars: Collection[int] = (), lying: Collection[bytes] = ()) -> list[Checker]:
    """Return a checker of each promise.

    Args:
        liars: peers from which nothing is expected.
        lying: their owners, of whose states nothing is, but that all others agree about them in the end.
    """
    return [
        ClocksGoForward(lying),
        OnlyWhatWasPublished(lying),
        CreditIsKept(liars),
        NothingHoards(),
        Everybody(),
        EverySchema(),
    ]
