"""The detector: how likely it is that whoever is at the other end of a link will not answer any more.

After Hayashibara et al., "The phi accrual failure detector" (2004): phi = -log10(probability that a frame comes still
later than now). A link is not a heartbeat, though: while there is news, frames come every few milliseconds, and then
there is silence. So what is measured are not the pauses between all frames but only silences longer than the one after
which we ask (`PING`): how long it takes then, lost pings included, until something comes. A busy link costs one
comparison a frame, and is held to be as good as it was when it was idle last.

Mean and variance are kept by exponential forgetting, which weighs about as many samples as the window of the paper and
keeps none of them.
"""

from __future__ import annotations

from collections.abc import Hashable
from math import erfc, log10, sqrt
from typing import Generic, TypeVar

from pubsub.boundary import NEVER, SECOND

PING = 5 * SECOND  # of silence, after which the other end is asked
AGAIN = SECOND // 2  # until the second question, if no answer comes; from then on half as long each time,
OFTEN = SECOND // 20  # but at least this
THRESHOLD = 8.0
WINDOW = 100  # samples that the running mean and variance are worth
PRIOR = 8  # samples that the first guess is worth
FIRST_MEAN = PING + SECOND // 4  # us: an answer takes a round trip, and the pause before a flush, twice
MIN_DEVIATION = SECOND // 2  # us; so phi is above 8 after 8 s of silence on a link that has always answered at once
MAX_LIMIT = (
    6 * PING
)  # of silence; without it, whoever always answers at the last moment would be waited for ever longer
STALL = 2 * SECOND  # who looks so much too late was asleep itself

Z_LIMIT = 5.612  # standard deviations at which phi is THRESHOLD
_MAX_PHI = 300.0  # the probability is below what a float holds

P = TypeVar("P", bound=Hashable)


class Detector:
    """What one link is like.

    Attributes:
        last: when something was heard last, us.
        limit: silence beyond which phi is above the threshold, us; at most `MAX_LIMIT`, whatever phi is then.
        next_ping: when to ask, if nothing is heard until then, us.
        again: how long after that to ask again, us.
    """

    __slots__ = ("_count", "_mean", "_variance", "again", "last", "limit", "next_ping")

    def __init__(self, now: int) -> None:
        self.last = now
        self._count = PRIOR
        self._mean = float(FIRST_MEAN)
        self._variance = float(MIN_DEVIATION) ** 2
        self.limit = self._limit()
        self.next_ping = now + PING
        self.again = AGAIN

    def heard(self, now: int) -> None:
        """Note that anything at all came from the other end."""
        if now - self.last > PING:
            self._learn(now - self.last)
        self.last = now

    def _learn(self, silence: int) -> None:
        """Take a silence into account that came to its end. West's update of mean and variance (1979), weighted."""
        silence = min(silence, self.limit)  # a longer one is this peer's own: it was asleep
        self._count = min(self._count + 1, WINDOW)
        difference = silence - self._mean
        self._mean += difference / self._count
        self._variance += (difference * (silence - self._mean) - self._variance) / self._count
        self.limit = self._limit()

    def _limit(self) -> int:
        return min(round(self._mean + Z_LIMIT * self._deviation()), MAX_LIMIT)

    def _deviation(self) -> float:
        return max(sqrt(max(self._variance, 0.0)), MIN_DEVIATION)

    def phi(self, now: int) -> float:
        """Return how many nines the belief has that nothing will come any more; 8 is one error in 10**8."""
        later = 0.5 * erfc((now - self.last - self._mean) / self._deviation() / sqrt(2))
        return min(-log10(later), _MAX_PHI) if later > 0 else _MAX_PHI

    def is_silent(self, now: int) -> bool:
        """Tell whether phi is above the threshold, or the silence longer than anybody's may be."""
        return now - self.last > self.limit


class Detectors(Generic[P]):
    """The detectors of all links, and when to look at them: no timer a link or a frame, but one for all.

    Attributes:
        due: when to `look`, us.
        pings: questions asked.
        stalls: how often this peer itself was asleep for too long to judge others.
    """

    __slots__ = ("_links", "due", "pings", "stalls")

    def __init__(self) -> None:
        self._links: dict[P, Detector] = {}
        self.due = NEVER
        self.pings = 0
        self.stalls = 0

    def __len__(self) -> int:
        return len(self._links)

    def link_up(self, peer: P, now: int) -> Detector:
        """Watch a new link; return its detector, which is to be told of every frame."""
        detector = self._links[peer] = Detector(now)
        self.due = min(self.due, detector.next_ping)
        return detector

    def link_down(self, peer: P) -> Detector | None:
        """Watch a link no more; return what watched it."""
        return self._links.pop(peer, None)

    def heard(self, peer: P, now: int) -> None:
        """Note that anything at all came on a link."""
        detector = self._links[peer]
        if now - detector.last > PING:
            detector.heard(now)
        else:
            detector.last = now  # as `heard` would, without the call: this is done for each frame

    def look(self, now: int) -> tuple[list[P], list[P]]:
        """Return who is to be asked, and who has been silent for too long; when to look again is `due` then.

        Who is silent is watched on: the caller is to take that link down.
        """
        if now - self.due > STALL:  # stopped, or busy: what came meanwhile may wait to be read
            self.stalls += 1
            for detector in self._links.values():
                detector.last = max(detector.last, now - PING)
        ask: list[P] = []
        silent: list[P] = []
        self.due = NEVER
        for peer, detector in self._links.items():
            if detector.is_silent(now):
                silent.append(peer)
                continue
            quiet = detector.last + PING
            if detector.next_ping < quiet:
                detector.next_ping, detector.again = quiet, AGAIN
            if detector.next_ping <= now:
                ask.append(peer)
                detector.next_ping = now + detector.again
                detector.again = max(detector.again // 2, OFTEN)
            self.due = min(self.due, detector.next_ping, max(detector.last + detector.limit, now) + 1)
        self.pings += len(ask)
        return ask, silent
