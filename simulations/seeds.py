"""Seeds: every part of a simulation draws from a stream of its own, named after what it is for.

A stream depends on the seed and on its own name, never on what was drawn elsewhere before: one peer or link more
leaves the draws of the others alone. The names are hashed by blake2b, since `hash()` of a string differs by process.

A link draws by a linear congruential generator of 64 bits, of which the upper 32 are used: its state is one int (36 B)
where a `random.Random` takes 2.5 kB, and there are tens of thousands of links.
"""

from __future__ import annotations

import hashlib
import random
from typing import Final

# Knuth, The Art of Computer Programming, volume 2, 3.3.4: the generator of MMIX.
MULTIPLIER: Final = 6364136223846793005
INCREMENT: Final = 1442695040888963407
MASK: Final = 2**64 - 1


def derive(seed: int, *names: int | str) -> int:
    """Return a number of 64 bits for this seed and these names."""
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def stream(seed: int, *names: int | str) -> random.Random:
    """Return a generator for this seed and these names."""
    return random.Random(derive(seed, *names))
