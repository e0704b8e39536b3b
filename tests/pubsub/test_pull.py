"""The log of another peer's machine comes whole and in order, page by page, or it is said what became of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pubsub import ExposeError, Identity
from pubsub.boundary import HISTORY, NEVER, NOTIFY, SECOND, SEND
from pubsub.codec import decode, encode
from pubsub.messages import MAX_PAGE, MAX_ROW, MAX_ROWS, Place, PulledRow, Reason, Rows, RowsAsk, RowsEnd
from pubsub.pull import MAX_PULLS, MAX_RETRIES, START, TIMEOUT, Outcome, PullEnded, Pulls, RowsPulled
from pubsub.serve import ANSWER_TIMEOUT, MAX_ASKS, MAX_SESSIONS, RATE, RowsAsked

OWNER = Identity(bytes(32)).owner
HERE, THERE = "here", "there"
LOG = [(epoch, seq, b"row %d.%d" % (epoch, seq)) for epoch in (1, 2, 5) for seq in range(1, 1501)]
Answer = Callable[[RowsAsked[str]], tuple[Sequence[PulledRow], bool] | Reason | None]


def kept(log: Sequence[PulledRow], at_hand: int = 2000) -> Answer:
    """Answer as a database does: the next rows of the range, up to a limit."""

    def answer(asked: RowsAsked[str]) -> tuple[Sequence[PulledRow], bool]:
        rows = [r for r in log if r[:2] > asked.after and (asked.until is None or r[:2] <= asked.until)]
        return rows[:at_hand], len(rows) <= at_hand

    return answer


class Pair:
    """Two peers, whose messages are bytes on the way. `here` pulls, `there` owns; both applications are in here."""

    def __init__(self, answer: Answer, *, eager: bool = True) -> None:
        self.now, self.connected = 0, True
        self.answer, self.eager = answer, eager  # an eager application takes each page at once
        self.streams = 0
        self.here = Pulls[str](random.Random(1), lambda o: THERE if o == OWNER and self.connected else None, self.open)
        self.there = Pulls[str](random.Random(2), lambda o: None, self.open)
        self.pages: list[RowsPulled] = []
        self.ends: list[PullEnded] = []
        self.asked: list[RowsAsked[str]] = []

    def open(self, peer: str) -> int:
        self.streams += 2
        return self.streams

    @property
    def rows(self) -> list[PulledRow]:
        return [row for page in self.pages for row in page.rows]

    def do(self, who: str, outputs: Sequence[Any]) -> None:
        """Carry outputs out, and what comes of them."""
        for out in outputs:
            if out[0] == SEND and self.connected:
                _, to, channel, stream, message = out
                assert channel == HISTORY
                data = encode(message)
                assert len(data) == message.size
                end = self.here if to == HERE else self.there
                self.do(to, end.take(self.now, who, stream, decode(HISTORY, data)))  # type: ignore[arg-type]
            elif out[0] == NOTIFY:
                self.notify(out[1])

    def notify(self, event: object) -> None:
        if isinstance(event, RowsAsked):
            self.asked.append(event)
            found = self.answer(event)
            serving = self.there.serving
            if found is Reason.NONE_KEPT:
                self.do(THERE, serving.answer(self.now, event, [], last=True, kept=False))
            elif isinstance(found, Reason):
                self.do(THERE, serving.refuse(self.now, event, found))
            elif isinstance(found, tuple):
                self.do(THERE, serving.answer(self.now, event, found[0], last=found[1]))
        elif isinstance(event, RowsPulled):
            self.pages.append(event)
            if self.eager:
                self.more(event.machine)
        elif isinstance(event, PullEnded):
            self.ends.append(event)

    def pull(self, machine: str = "m", after: Place = START, until: Place | None = None) -> None:
        self.do(HERE, self.here.pull(self.now, OWNER, machine, after, until))

    def more(self, machine: str = "m") -> None:
        self.do(HERE, self.here.more(self.now, OWNER, machine))

    def run(self, until: int = NEVER) -> None:
        """Let time pass until nothing is due."""
        while (due := min(self.here.due, self.there.due)) < until:
            self.now = max(due, self.now)
            self.do(HERE, self.here.timer(self.now))
            self.do(THERE, self.there.timer(self.now))

    def hang_up(self) -> None:
        self.connected = False
        self.do(HERE, self.here.unlinked(self.now, THERE))
        self.do(THERE, self.there.unlinked(self.now, HERE))


# -- what comes


@pytest.mark.parametrize("at_hand", [1, 700, 100_000])
def test_a_log_comes_whole_and_in_order(at_hand: int) -> None:
    pair = Pair(kept(LOG, at_hand))
    pair.pull()
    pair.run()
    assert pair.rows == LOG
    assert pair.ends == [PullEnded(OWNER, "m", Outcome.COMPLETE, (5, 1500))]
    assert [page.last for page in pair.pages] == [False] * (len(pair.pages) - 1) + [True]
    assert sum(page.missing for page in pair.pages) == 0
    assert pair.there.due == pair.here.due == NEVER


@given(st.data())
def test_a_range_is_what_lies_in_it(data: st.DataObject) -> None:
    place = st.tuples(st.integers(0, 6), st.integers(0, 1600))
    after, until = data.draw(place), data.draw(st.none() | place)
    pair = Pair(kept(LOG))
    pair.pull(after=after, until=until)
    pair.run()
    assert pair.rows == [r for r in LOG if r[:2] > after and (until is None or r[:2] <= until)]
    assert pair.ends[0].outcome is Outcome.COMPLETE


def test_large_rows_have_pages_of_their_own() -> None:
    log = [(1, seq, bytes(MAX_ROW - seq % 2)) for seq in range(1, 6)]
    pair = Pair(kept(log))
    pair.pull()
    pair.run()
    assert pair.rows == log
    assert [len(page.rows) for page in pair.pages] == [1] * 5


def test_a_row_that_is_too_large_is_the_applications_fault() -> None:
    pair = Pair(lambda asked: None)
    pair.pull()
    with pytest.raises(ExposeError, match=r"row \(1, 1\) of 'm'"):
        pair.there.serving.answer(0, pair.asked[0], [(1, 1, bytes(MAX_ROW + 1))], last=True)
    with pytest.raises(ValueError, match="at least one"):
        pair.there.serving.answer(0, pair.asked[0], [], last=False)
    pair.do(THERE, pair.there.serving.answer(0, pair.asked[0], [], last=True))
    assert pair.ends[0].outcome is Outcome.COMPLETE


def test_rows_that_the_owner_has_let_go_of_are_counted() -> None:
    pair = Pair(kept([(2, 8, b""), (2, 9, b""), (3, 1, b""), (3, 4, b"")]))
    pair.pull(after=(2, 5))
    assert (pair.pages[0].missing, pair.here.counts.missing) == (4, 4)


@pytest.mark.parametrize(
    ("reason", "outcome"), [(Reason.NONE_KEPT, Outcome.NONE_KEPT), (Reason.REFUSED, Outcome.REFUSED)]
)
def test_a_refusal_ends_it(reason: Reason, outcome: Outcome) -> None:
    pair = Pair(lambda asked: reason)
    pair.pull()
    assert [end.outcome for end in pair.ends] == [outcome]


# -- who asks


def test_who_is_not_connected_is_not_asked() -> None:
    pair = Pair(kept(LOG))
    pair.hang_up()
    pair.pull()
    pair.do(HERE, pair.here.pull(0, bytes(32), "m"))
    assert [end.outcome for end in pair.ends] == [Outcome.NOT_CONNECTED] * 2


def test_one_log_is_pulled_once_at_a_time() -> None:
    pair = Pair(lambda asked: None)
    pair.pull()
    with pytest.raises(ValueError, match="already"):
        pair.pull()
    for machine, after in (("x" * 300, START), ("n", (-1, 0))):
        with pytest.raises(ValueError, match="no machine"):
            pair.pull(machine, after)


def test_a_slow_application_gets_the_next_page_when_it_wants_it() -> None:
    pair = Pair(kept(LOG), eager=False)
    pair.pull()
    for count in range(1, 6):
        pair.now += 1000 * SECOND
        pair.run(pair.now)
        assert len(pair.pages) == min(count, 5)
        assert pair.there.due == NEVER, "the owner keeps nothing meanwhile"
        pair.more()
    pair.more()  # after the end it is nothing
    assert pair.rows == LOG
    assert len(pair.ends) == 1


def test_asking_for_the_next_page_twice_is_asking_once() -> None:
    pair = Pair(kept(LOG), eager=False)
    pair.pull()
    pair.answer = lambda asked: None
    for _ in range(3):
        pair.more()
    assert (pair.here.counts.asks, len(pair.asked)) == (2, 2)


def test_a_pull_can_be_stopped() -> None:
    pair = Pair(kept(LOG), eager=False)
    pair.pull()
    pair.do(HERE, pair.here.stop(0, OWNER, "m"))
    assert pair.ends == [PullEnded(OWNER, "m", Outcome.STOPPED, pair.pages[0].rows[-1][:2])]
    assert pair.here.stop(0, OWNER, "m") == []


def test_a_connection_that_is_lost_in_the_middle_loses_no_row() -> None:
    pair = Pair(kept(LOG), eager=False)
    pair.pull()
    pair.more()
    pair.hang_up()
    assert pair.ends == [PullEnded(OWNER, "m", Outcome.LOST, pair.rows[-1][:2])]
    pair.connected, pair.eager = True, True
    pair.pull(after=pair.ends[0].after)
    pair.run()
    assert pair.rows == LOG


def test_an_owner_that_cannot_read_its_log_just_now_is_asked_again() -> None:
    found = kept(LOG)
    pair = Pair(lambda asked: found(asked) if len(pair.asked) > 3 else Reason.BUSY)
    pair.pull()
    pair.run()
    assert pair.rows == LOG
    assert pair.here.counts.retries == pair.there.serving.counts.refused == 3


def test_an_owner_that_does_not_answer_is_not_waited_for_for_ever() -> None:
    pair = Pair(lambda asked: None)
    pair.pull()
    pair.run()
    assert pair.now == TIMEOUT
    assert pair.ends[0].outcome is Outcome.TIMEOUT
    assert pair.there.serving.counts.unanswered == 1
    assert pair.there.serving.answer(pair.now, pair.asked[0], LOG, last=True) == []
    assert pair.there.serving.counts.late_answers == 1


def test_an_answer_to_an_earlier_connection_is_not_taken_for_one_to_this() -> None:
    pair = Pair(lambda asked: None)
    pair.pull()
    pair.hang_up()
    pair.connected, pair.streams = True, 0
    pair.pull()
    old, new = pair.asked
    assert (old.peer, old.stream) == (new.peer, new.stream)
    assert pair.there.serving.refuse(0, old) == []
    pair.do(THERE, pair.there.serving.answer(0, new, LOG[:3], last=True))
    assert pair.rows == LOG[:3]


def test_where_an_id_is_no_machines_nothing_is_missing_between_numbers() -> None:
    log = [(7, seq, b"row") for seq in range(3, 300, 9)]
    pair = Pair(kept(log))
    for machine in ("@journal", "journal"):
        pair.pull(machine)
        pair.run()
        assert pair.rows == log
        assert pair.here.counts.missing == sum(page.missing for page in pair.pages)
        assert bool(pair.here.counts.missing) == (machine == "journal")
        pair.pages.clear()


# -- how much at a time


def test_a_few_pages_are_under_way_at_a_time_and_all_logs_come() -> None:
    pair = Pair(lambda asked: None)
    for number in range(2 * MAX_SESSIONS):
        pair.pull(f"m{number}")
    assert [asked.machine for asked in pair.asked] == [f"m{n}" for n in range(MAX_SESSIONS)]
    pair.answer = kept(LOG)
    for asked in list(pair.asked):
        pair.notify(asked)
    pair.run()
    assert len(pair.ends) == 2 * MAX_SESSIONS
    assert all(end.outcome is Outcome.COMPLETE for end in pair.ends)
    assert len(pair.rows) == 2 * MAX_SESSIONS * len(LOG)
    assert pair.there.serving.counts.crowded == 0


def test_too_many_pulls_are_refused() -> None:
    pair = Pair(lambda asked: None)
    for number in range(MAX_PULLS + 1):
        pair.pull(f"m{number}")
    assert [end.outcome for end in pair.ends] == [Outcome.BUSY]


def test_a_neighbour_gets_what_the_rate_allows() -> None:
    log = [(1, seq, bytes(1000)) for seq in range(1, 3001)]
    pair = Pair(kept(log))
    pair.pull()
    pair.run()
    assert pair.rows == log
    assert pair.now * RATE // SECOND >= 3_000_000 - RATE - MAX_PAGE, "it came too fast"
    assert pair.now * RATE // SECOND <= 3_200_000, "it came too slowly"
    assert pair.there.serving.counts.delayed > 30


def test_asking_for_nothing_is_not_free() -> None:
    there = Pulls[str](random.Random(1), lambda owner: None, lambda peer: 2)
    told = 0
    for stream in range(200):
        for out in there.take(0, HERE, stream, RowsAsk("m", START)):
            if out[0] == NOTIFY:
                told += 1
                there.serving.answer(0, out[1], [], last=True)  # type: ignore[arg-type]
    assert 40 < told < 60
    assert there.serving.counts.crowded > 100


def test_a_busy_owner_is_asked_again() -> None:
    pair = Pair(kept(LOG))
    for stream in range(MAX_ASKS):
        pair.there.take(0, f"peer{stream}", stream, RowsAsk("m", START))
    pair.pull()
    assert pair.there.serving.counts.crowded == 1
    for stream in range(MAX_ASKS):
        pair.there.unlinked(0, f"peer{stream}")
    pair.run()
    assert pair.rows == LOG
    assert pair.here.counts.retries == 1


def test_an_owner_that_is_always_busy_is_left() -> None:
    pair = Pair(kept(LOG))
    for stream in range(MAX_SESSIONS):
        pair.there.serving._asks[HERE, -stream] = pair.there.serving._asks.get((HERE, 0)) or _ask_that_stays()
    pair.pull()
    pair.run()
    assert pair.ends == [PullEnded(OWNER, "m", Outcome.BUSY, START)]
    assert pair.here.counts.retries == MAX_RETRIES


def _ask_that_stays() -> Any:
    from pubsub.serve import _Ask  # a neighbour that no honest one is

    return _Ask(RowsAsked(HERE, 0, "m", START, None), told=True)


# -- liars

PAGE = tuple(LOG[:3])
LIES = [
    ("unordered", Rows((*PAGE, PAGE[0]))),
    ("unordered", Rows((PAGE[1], PAGE[1]))),
    ("unordered", Rows(((0, 7, b""),))),
    ("unordered", Rows(((1, 0, b""),))),
    ("unordered", Rows(((2, 0, b""),))),
    ("unordered", Rows(((9, 9, b""),))),
    ("oversized", Rows(tuple((1, 1 + seq, b"") for seq in range(MAX_ROWS + 1)))),
    ("oversized", Rows(tuple((1, 1 + seq, bytes(MAX_ROW // 2)) for seq in range(3)))),
    ("empty", Rows((), last=False)),
]


@pytest.mark.parametrize(("count", "lie"), LIES)
def test_what_was_not_asked_for_ends_the_pull_and_reaches_nobody(count: str, lie: Rows) -> None:
    pair = Pair(lambda asked: None)
    pair.pull(after=(1, 0), until=(5, 10))
    pair.do(HERE, pair.here.take(0, THERE, pair.streams, lie))
    assert pair.pages == []
    assert pair.ends == [PullEnded(OWNER, "m", Outcome.BROKEN, (1, 0))]
    assert getattr(pair.here.counts, count) == 1


def test_rows_that_come_again_are_a_lie_too() -> None:
    pair = Pair(kept(LOG), eager=False)
    pair.pull()
    pair.answer = lambda asked: None
    pair.more()
    pair.do(HERE, pair.here.take(0, THERE, pair.streams, Rows(pair.pages[0].rows)))
    assert len(pair.pages) == 1
    assert pair.ends[0].outcome is Outcome.BROKEN
    assert pair.ends[0].after == pair.pages[0].rows[-1][:2]


@pytest.mark.parametrize("message", [Rows(PAGE), RowsEnd(Reason.REFUSED)])
def test_what_nobody_asked_for_is_counted(message: Rows | RowsEnd) -> None:
    pair = Pair(kept(LOG), eager=False)
    pair.do(HERE, pair.here.take(0, THERE, 2, message))
    pair.pull()
    for peer, stream in ((THERE, pair.streams), (THERE, 99), ("another", pair.streams)):
        pair.do(HERE, pair.here.take(0, peer, stream, message))
    assert pair.here.counts.unasked == 4
    assert len(pair.pages) == 1
    assert pair.ends == []


def test_a_neighbour_that_asks_before_it_has_the_answer_gets_one() -> None:
    pair = Pair(lambda asked: None)
    for _ in range(5):
        pair.do(THERE, pair.there.take(0, HERE, 1, RowsAsk("m", START)))
    assert len(pair.asked) == 1
    assert pair.there.serving.counts.doubled == 4


def test_what_is_kept_for_neighbours_that_ask_without_end_is_bounded() -> None:
    there = Pulls[int](random.Random(1), lambda owner: None, lambda peer: 2)
    now = 0
    for stream in range(20_000):
        now += 1000
        for out in there.take(now, stream % 100, stream, RowsAsk("m", START)):
            assert out[0] == NOTIFY or (out[0] == SEND and out[4] == RowsEnd(Reason.BUSY))
        if there.due <= now:
            there.timer(now)
        assert len(there.serving._asks) <= MAX_ASKS
    there.timer(now + ANSWER_TIMEOUT)
    assert there.serving._asks == {}
    assert there.serving.counts.crowded > 10_000
