"""Who is meant: some peers of a network, in words that a scenario can say.

"all"       everybody
"7"         peer 7
"0:50"      peers 0 to 49
"10 %"      a tenth of all, drawn
"region 2"  the peers of one region
[1, 5]      these
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from simulations.scenario_parts import KeyFault
from simulations.seeds import stream

Who: TypeAlias = str | tuple[int, ...]

_FORMS = '"all", "7", "0:50", "10 %", "region 2" or a list of numbers such as [1, 5]'
_RANGE = re.compile(r"(\d+):(\d*)")
_SHARE = re.compile(r"(\d+(?:\.\d+)?) ?%")
_REGION = re.compile(r"region (\d+)")


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """The peers of a network, of which some are picked. A peer's region is its number modulo `regions` (0: none)."""

    seed: int
    peers: int
    regions: int = 0

    def pick(self, who: Who, key: str) -> tuple[int, ...]:
        """Return who is meant, in order. What is drawn depends on the seed and on the key.

        Raises:
            KeyFault: nobody can be meant by it. `key` is where it stands.
        """
        if not isinstance(who, str):
            return self._checked(sorted(set(who)), who, key)
        text = who.strip()
        if text == "all":
            return tuple(range(self.peers))
        if text.isdecimal():
            return self._checked([int(text)], who, key)
        if found := _RANGE.fullmatch(text):
            low, high = int(found[1]), int(found[2] or self.peers)
            if low >= high:
                raise KeyFault(key, f"{who!r} is nobody: the second number is the first one that is not meant")
            return self._checked(list(range(low, high)), who, key)
        if found := _SHARE.fullmatch(text):
            share = float(found[1]) / 100
            if share > 1:
                raise KeyFault(key, f"{who!r} is more than all")
            count = max(round(share * self.peers), 1 if share else 0)
            return tuple(sorted(stream(self.seed, "who", key).sample(range(self.peers), count)))
        if found := _REGION.fullmatch(text):
            return self._region(int(found[1]), key)
        raise KeyFault(key, f"{who!r} says nobody; what would work: {_FORMS}")

    def _region(self, region: int, key: str) -> tuple[int, ...]:
        if not self.regions:
            raise KeyFault(key, 'there are no regions without a topology, or a latency, of kind "regions"')
        if region >= self.regions:
            raise KeyFault(key, f"there is no region {region}: they are 0 to {self.regions - 1}")
        return self._checked(list(range(region, self.peers, self.regions)), f"region {region}", key)

    def _checked(self, peers: list[int], who: Who, key: str) -> tuple[int, ...]:
        if any(not 0 <= peer < self.peers for peer in peers):
            raise KeyFault(key, f"{who!r} is beyond the {self.peers} peers, which are 0 to {self.peers - 1}")
        return tuple(peers)


__all__ = ["Crowd", "Who"]
