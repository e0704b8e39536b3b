"""The network of a scenario: who knows whom at the beginning, and how far apart two peers are."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

from simulations import conditions, regions, topology
from simulations.scenario_parts import Chance, KeyFault, Millis, Part

Degree: TypeAlias = Annotated[int, Meta(ge=2)]


class Full(Part, tag="full", tag_field="kind", frozen=True, kw_only=True):
    """Everybody knows everybody."""

    def draw(self) -> topology.Topology:
        """Return it as the engine takes it."""
        return topology.full


class Ring(Part, tag="ring", tag_field="kind", frozen=True, kw_only=True):
    """Each peer knows the next."""

    def draw(self) -> topology.Topology:
        """Return it as the engine takes it."""
        return topology.ring


class Regular(Part, tag="regular", tag_field="kind", frozen=True, kw_only=True):
    """A random graph in which all have as many neighbours."""

    degree: Degree = 6

    def draw(self) -> topology.Topology:
        """Return it as the engine takes it."""
        return topology.regular(self.degree)


class SmallWorld(Part, tag="small-world", tag_field="kind", frozen=True, kw_only=True):
    """A ring lattice with a share of its edges moved (Watts and Strogatz 1998)."""

    degree: Degree = 6
    rewired: Chance = 0.1

    def draw(self) -> topology.Topology:
        """Return it as the engine takes it."""
        return topology.small_world(self.degree, self.rewired)


class ScaleFree(Part, tag="scale-free", tag_field="kind", frozen=True, kw_only=True):
    """A graph with hubs: who is new dials `links` others, likelier those with many (Barabasi and Albert 1999)."""

    links: Annotated[int, Meta(ge=1)] = 3

    def draw(self) -> topology.Topology:
        """Return it as the engine takes it."""
        return topology.scale_free(self.links)


class RegionGraph(Part, tag="regions", tag_field="kind", frozen=True, kw_only=True):
    """Regions, by number modulo `regions`: a ring through each, one through all, and more neighbours up to `degree`.

    Attributes:
        local: the share of these that are near; the others are anywhere.
    """

    regions: Annotated[int, Meta(ge=2)] = 8
    degree: Degree = 6
    local: Chance = 0.5

    def draw(self) -> topology.Topology:
        """Return it as the engine takes it."""
        return topology.regional(self.regions, self.degree, self.local)


Topology: TypeAlias = Regular | Full | Ring | SmallWorld | ScaleFree | RegionGraph


class Constant(Part, tag="constant", tag_field="kind", frozen=True, kw_only=True):
    """The same for all pairs."""

    ms: Millis = 10.0

    def make(self, key: str) -> conditions.Latency:
        """Return it as the engine takes it."""
        return conditions.Constant(round(self.ms * 1000))


class Uniform(Part, tag="uniform", tag_field="kind", frozen=True, kw_only=True):
    """Drawn for each pair between two bounds."""

    low_ms: Millis = 30.0
    high_ms: Millis = 110.0

    def make(self, key: str) -> conditions.Latency:
        """Return it as the engine takes it."""
        if self.low_ms > self.high_ms:
            raise KeyFault(f"{key}.low_ms", f"{self.low_ms:g} is above high_ms, {self.high_ms:g}")
        return conditions.Uniform(round(self.low_ms * 1000), round(self.high_ms * 1000))


class RegionLatency(Part, tag="regions", tag_field="kind", frozen=True, kw_only=True):
    """By the regions of the two. `matrix_ms`: one way, a row for each region; none: `simulations.regions.MATRIX_MS`."""

    matrix_ms: tuple[tuple[Millis, ...], ...] = regions.MATRIX_MS

    def make(self, key: str) -> conditions.Latency:
        """Return it as the engine takes it."""
        count = len(self.matrix_ms)
        for row, values in enumerate(self.matrix_ms):
            if len(values) != count:
                raise KeyFault(f"{key}.matrix_ms", f"row {row} has {len(values)} values, and there are {count} rows")
            uneven = [at for at in range(count) if values[at] != self.matrix_ms[at][row]]
            if uneven:
                raise KeyFault(
                    f"{key}.matrix_ms",
                    f"from region {row} to {uneven[0]} it is {values[uneven[0]]:g}, and back "
                    f"{self.matrix_ms[uneven[0]][row]:g}: a latency is the same both ways",
                )
        if not count:
            raise KeyFault(f"{key}.matrix_ms", "there are no regions in it")
        return regions.Wide(tuple([tuple([round(ms * 1000) for ms in row]) for row in self.matrix_ms]))


Latency: TypeAlias = Uniform | Constant | RegionLatency


def regions_of(graph: Topology, latency: Latency, key: str = "network.latency.matrix_ms") -> int:
    """Return how many regions there are; 0: none.

    Raises:
        KeyFault: topology and latency do not agree about them.
    """
    known = len(latency.matrix_ms) if isinstance(latency, RegionLatency) else 0
    if isinstance(graph, RegionGraph):
        if known and known != graph.regions:
            raise KeyFault("topology.regions", f"is {graph.regions}, and {key} has {known} rows: let both be the same")
        return graph.regions
    return known


__all__ = ["Latency", "RegionGraph", "RegionLatency", "Topology", "regions_of"]
