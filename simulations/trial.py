"""A trial: an experiment with the gossip core whose conditions, faults and size are all drawn from one seed.

    trial = Trial.draw(7)
    trial.run()          # raises a Violation with the command that replays it

Whatever is drawn, in the end the network is whole again and quiet, and then everybody must know everything: the
checkers of `simulations.promises` are on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from pubsub.boundary import SECOND
from pubsub.core import Core
from pubsub.parameters import Parameters
from simulations.byzantine import Byzantine, Equivocate, Flooding, Forge, Hide, Replay
from simulations.conditions import Conditions, Uniform
from simulations.errors import SetupError
from simulations.faults import storm
from simulations.gossip import DOMAIN, GossipNetwork
from simulations.liars import lying
from simulations.measures import Report
from simulations.seeds import stream
from simulations.topic import Gossipsub

MIN_PEERS, MAX_PEERS = 4, 40  # a trial takes a few seconds
QUIET = 60.0  # s after the last fault: some repair sessions with each neighbour, and a few dials


KINDS: dict[str, type[Byzantine]] = {kind.__name__: kind for kind in (Forge, Equivocate, Hide, Replay, Flooding)}


def _draw_liars(rng: Random, peers: int) -> tuple[tuple[int, str], ...]:
    """Return nobody, most often; else up to a fifth of all, so that the others stay connected."""
    if rng.random() < 0.6 or peers < 5:
        return ()
    chosen = sorted(rng.sample(range(peers), rng.randint(1, peers // 5)))
    return tuple([(peer, rng.choice(list(KINDS))) for peer in chosen])


def replay_command(seed: int, peers: int | None = None) -> str:
    """Return what repeats a trial."""
    return f"am sim fuzz --count 1 --seed {seed}" + (f" --peers {peers}" if peers is not None else "")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What was drawn. Its repr tells all of it, so that a report of a failure says what kind of network that was."""

    seed: int
    peers: int
    rate: float
    seconds: float
    states: int
    own_schemas: bool
    turnover: float
    faults: int
    parameters: Parameters
    conditions: Conditions
    topic: Gossipsub | None
    liars: tuple[tuple[int, str], ...]
    """Who lies, and how."""
    replay: str

    @classmethod
    def draw(cls, seed: int, peers: int | None = None) -> Trial:
        """Draw a trial; of so many peers, if that is given.

        Raises:
            SetupError: there are too few of them to disagree.
        """
        if peers is not None and peers < 2:
            raise SetupError(f"a network has 2 peers or more, not {peers}")
        rng = stream(seed, "trial")
        drawn = rng.randint(MIN_PEERS, MAX_PEERS)
        count = drawn if peers is None else peers
        eager = rng.random() < 0.5
        slow = rng.random() < 0.25
        return cls(
            seed=seed,
            peers=count,
            rate=rng.choice((2.0, 10.0, 30.0, 60.0)),
            seconds=float(rng.randint(8, 20)),
            states=rng.choice((2, 8, 8, 40)),
            own_schemas=rng.random() < 0.3,
            turnover=rng.choice((0.0, 0.05, 0.3)),
            faults=rng.randint(0, 16),
            parameters=Parameters(tau=rng.choice((50_000, 100_000, 250_000)), eager=eager),
            conditions=Conditions(
                latency=rng.choice((Uniform(1_000, 20_000), Uniform(30_000, 110_000), Uniform(30_000, 500_000))),
                jitter=rng.choice((0, 10_000, 100_000)),
                loss=rng.choice((0.0, 0.0, 0.01, 0.1)),
                retransmit=rng.choice((0, 200_000)),
                duplicate=rng.choice((0.0, 0.0, 0.1)),
                reorder=rng.choice((0.0, 0.0, 0.1)),
                bandwidth=200_000 if slow else 0,
                cpu_frame=450 if slow else 0,
            ),
            topic=Gossipsub(drop=rng.choice((0.0, 0.01, 0.1))) if eager else None,
            liars=_draw_liars(stream(seed, "liars"), count),
            replay=replay_command(seed, peers),
        )

    def network(self, node: Callable[..., Core[int]] = Core) -> GossipNetwork:
        """Return the network of this trial, of cores that `node` makes."""
        return GossipNetwork(
            seed=self.seed,
            peers=self.peers,
            rate=self.rate,
            states=self.states,
            own_schemas=self.own_schemas,
            turnover=self.turnover,
            parameters=self.parameters,
            conditions=self.conditions,
            topic=self.topic,
            faults=storm(self.seed, self.peers, round(self.seconds * SECOND), count=self.faults),
            node=node,
            liars={peer: lying(KINDS[kind], DOMAIN) for peer, kind in self.liars},
            replay=self.replay,
        )

    def run(self) -> Report:
        """Run it to its end. Raises what a checker, or a core, raises."""
        return self.network().run(self.seconds, QUIET)
