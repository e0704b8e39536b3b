"""One session of repair, seen from either end: what is compared, pushed, asked for and served. In bounded steps.

Who opened compares and asks, bucket by bucket and batch by batch; who answers keeps next to nothing. What the messages
are, and in which order they come, is in `pubsub.repair`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pubsub.buckets import Buckets
from pubsub.identity import short_of
from pubsub.ledger import MAX_OWNERS
from pubsub.messages import MAX_FRAME, MAX_WANTS, Entries, Entry, Exchange, Parcel, pages
from pubsub.record import Record
from pubsub.state import OwnerState

MAX_SERVED = 4 * MAX_FRAME  # bytes of parcels in one answer, or pushed in one session; one more parcel may begin in it


@dataclass(slots=True)
class Session:
    """What one end knows of a session in progress.

    Attributes:
        since: when something last came of it, us.
        mine: whether this end opened it.
        buckets: into how many the owners are divided.
        news: records that were committed or pushed in it, though they were no news any more.
        refused: records that came too fast to be taken.
        is_read: whether all entries of the other side have come.
    """

    since: int
    mine: bool
    buckets: int
    news: int = 0
    refused: int = 0
    is_read: bool = False
    _at: int = -1  # the last bucket that was compared
    _torn: tuple[int, list[Entry]] | None = None  # the last bucket of a page: the next one may begin with more of it
    _room: int = MAX_SERVED
    _wants: dict[bytes, None] = field(default_factory=dict)  # short forms that are yet to be asked for
    _asked: dict[bytes, None] = field(default_factory=dict)  # those that are, in order, and have not come
    _has_got: bool = False  # something of those

    @property
    def is_equal(self) -> bool:
        """Whether no bucket was found to differ so far: then the other side has ended it already."""
        return self._at < 0

    def compare(self, entries: Entries, offered: Buckets, parcel_of: Callable[[OwnerState], Parcel]) -> list[Parcel]:
        """Take a page of what the other side knows; return what it lacks, and note what this side does.

        Raises:
            ValueError: no honest peer says that.
        """
        groups = [(at, list(found)) for at, found in entries.entries]
        if self._torn is not None:
            if groups and groups[0][0] == self._torn[0]:
                groups[0][1][:0] = self._torn[1]
            else:
                groups.insert(0, self._torn)
        self._torn = None if entries.last or not groups else groups.pop()
        self.is_read = entries.last
        held = len(self._torn[1]) if self._torn is not None else 0
        if entries.buckets != self.buckets or held > MAX_OWNERS:
            raise ValueError("the buckets are not those that were asked about")
        push: list[Parcel] = []
        for at, found in groups:
            if at > self._at:  # each one once: it costs a look at all in it
                self._at = at
                self._compare(at, found, offered, parcel_of, push)
        return push

    def _compare(
        self,
        at: int,
        found: Sequence[Entry],
        offered: Buckets,
        parcel_of: Callable[[OwnerState], Parcel],
        push: list[Parcel],
    ) -> None:
        theirs = {entry[0]: entry for entry in found}
        for mine, state in offered.offered(at, self.buckets):
            other = theirs.pop(mine[0], None)
            if other == mine:
                continue
            if other is None or mine > other:  # of entries that begin with the same short form, the newer is the larger
                if self._room > 0:  # the rest in a later session
                    parcel = parcel_of(state)
                    push.append(parcel)
                    self._room -= parcel.size
            else:
                self._want(mine[0])
        for short in theirs:
            self._want(short)

    def _want(self, short: bytes) -> None:
        if len(self._wants) < MAX_OWNERS:
            self._wants[short] = None

    def ask(self) -> tuple[bytes, ...]:
        """Return the next batch of what this side lacks; nothing: it has asked for all."""
        wants, asked = self._wants, self._asked
        if asked and self._has_got:  # the answer was full: the other side answers in order
            wants = self._wants = {**asked, **wants}
        batch = tuple(list(wants)[:MAX_WANTS])
        for short in batch:
            del wants[short]
        self._asked, self._has_got = dict.fromkeys(batch), False
        return batch

    def was_asked(self, record: Record) -> bool:
        """Tell whether a record that came is what this side has asked for; each is once."""
        asked, short = self._asked, short_of(record.header.owner)
        if not record.full or short not in asked:
            return False
        passed = []
        for before in asked:  # it answers in order: those that are passed over will not come
            passed.append(before)
            if before == short:
                break
        for before in passed:
            del asked[before]
        self._has_got = True
        return True


def entry_pages(count: int, groups: list[tuple[int, tuple[Entry, ...]]], limit: int = MAX_FRAME) -> list[Entries]:
    """Return entries in pages of about `limit` bytes, the last one flagged; a large bucket may go over several."""
    out: list[Entries] = []
    page: list[tuple[int, tuple[Entry, ...]]] = []
    room = most = limit // 25  # entries; a version of more than 5 bytes makes them longer than that
    for at, found in groups:
        rest = found
        while len(rest) + 1 > room:
            page.append((at, rest[:room]))
            out.append(Entries(count, tuple(page), last=False))
            page, rest, room = [], rest[room:], most
        page.append((at, rest))
        room -= len(rest) + 1
    out.append(Entries(count, tuple(page), last=True))
    return out


def answer_to(wants: tuple[bytes, ...], offered: Buckets, parcel_of: Callable[[OwnerState], Parcel]) -> list[Exchange]:
    """Return the whole states that a batch of wants is about, in pages, the last one flagged.

    Each once, in the order asked, and no more than a bounded number of bytes: who got something may ask for the rest.
    """
    parcels: list[Parcel] = []
    size = 0
    for short in dict.fromkeys(wants[:MAX_WANTS]):
        state = offered.find(short)
        if state is not None:
            parcel = parcel_of(state)
            parcels.append(parcel)
            size += parcel.size
            if size >= MAX_SERVED:
                break
    return exchanges(parcels, (), last=True)


def exchanges(parcels: list[Parcel], wants: tuple[bytes, ...], *, last: bool) -> list[Exchange]:
    """Return pages; wants and the flag are in the last one, and there is one at least."""
    *others, end = pages(parcels) or [()]
    return [*[Exchange(page, (), last=False) for page in others], Exchange(end, wants, last=last)]
