"""A publisher signs what its machines are, no more often than they change, and nothing half."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine import Machine, Schema, SchemaError, State
from pubsub import Domain, ExposeError, HybridClock, Identity, IdentityError, Publisher, Record, decode_record, merge
from pubsub.publisher import DEFAULT_LEASE, describe
from pubsub.record import MAX_EPOCH, MAX_ID, MAX_LEASE, MAX_MACHINES, MAX_RECORD, MAX_STATES, MAX_TAGS, MAX_TICK
from pubsub.schemas import schema_hash

ANNA = Identity(bytes(range(32)))
DOMAIN = Domain("topic")
NOON = 1_700_000_000_000
ABC = Schema({"A": State(multi=True), "B": State(multi=True), "C": State(multi=True)})


def publishing(*machines: Machine, epoch: int = 1) -> Publisher:
    publisher = Publisher(ANNA, DOMAIN, HybridClock(lambda: NOON), epoch)
    for machine in machines:
        publisher.expose(machine)
    return publisher


def named(name: str, schema: Schema = ABC) -> Machine:
    return Machine(schema, id=name)


def tick(publisher: Publisher, machine: Machine, *states: str) -> None:
    for state in states:
        machine.add(state)
    publisher.changed(next(e for e in publisher.exposures if e.reader is machine))


def flushed(publisher: Publisher, **options: bool) -> Record:
    record = publisher.flush(**options)
    assert record is not None
    assert record.header.is_signed(DOMAIN)
    return record


# -- what is published


def test_the_first_record_is_whole_and_the_next_ones_tell_what_changed() -> None:
    one, two = named("one"), named("two")
    publisher = publishing(one, two)
    one.add("A")
    first = flushed(publisher)
    assert first.full
    assert (first.header.order, first.header.lease) == ((1, 1), DEFAULT_LEASE)
    assert [p.description.id for p in first.parts if p.description] == ["one", "two"]
    assert publisher.state == merge(None, first)
    before = publisher.state
    tick(publisher, two, "B", "B")
    second = flushed(publisher)
    assert not second.full
    (part,) = second.parts
    assert (part.index, part.base, part.ticks) == (1, 1, ((1, two.tick("B")),))
    assert (part.description, part.schema) == (None, None)
    assert second.header.hlc > first.header.hlc
    assert merge(before, second) == publisher.state


def test_nothing_new_is_not_signed() -> None:
    machine = named("one")
    publisher = publishing(machine)
    flushed(publisher)
    before = publisher.state
    found = [publisher.has_news]
    assert publisher.flush() is None
    tick(publisher, machine)  # looked at, and found as it was
    found.append(publisher.has_news)
    assert publisher.flush() is None
    found.append(publisher.has_news)
    assert (publisher.version, publisher.state) == (1, before)
    assert found == [False, True, False]


def test_a_change_that_nobody_told_of_is_not_looked_for() -> None:
    machine = named("one")
    publisher = publishing(machine)
    flushed(publisher)
    machine.add("A")
    assert publisher.flush() is None


def test_a_machine_that_is_taken_back_leaves_a_tombstone_and_its_index() -> None:
    one, two = named("one"), named("two")
    publisher = publishing(one, two)
    flushed(publisher)
    publisher.unexpose(one)
    assert publisher.has_news
    record = flushed(publisher)
    assert [(p.index, p.gone) for p in record.parts] == [(0, True)]
    assert publisher.expose(one).index == 2
    (part,) = flushed(publisher).parts
    assert (part.index, part.gone) == (2, False)
    assert part.description == describe(one)
    with pytest.raises(ExposeError, match="three is not exposed"):
        publisher.unexpose(named("three"))


def test_a_machine_that_came_and_went_between_two_flushes_was_never_there() -> None:
    publisher = publishing(named("one"))
    flushed(publisher)
    short = named("short")
    exposure = publisher.expose(short)
    publisher.unexpose(short)
    publisher.changed(exposure)  # somebody who does not know yet
    assert publisher.flush() is None


def test_a_disposed_machine_is_taken_back_and_its_clock_does_not_go_back() -> None:
    one, two = named("one"), named("two")
    publisher = publishing(one, two)
    tick(publisher, one, "A")
    flushed(publisher)
    exposure = publisher.exposures[0]
    one.dispose()
    publisher.changed(exposure)
    (part,) = flushed(publisher).parts
    assert (part.index, part.gone) == (0, True)
    two.dispose()
    assert publisher.expose(named("two")).index == 2, "its name is free again, whether it was looked at or not"
    assert [p.gone for p in flushed(publisher).parts] == [True, False]
    with pytest.raises(ExposeError, match="one was disposed of"):
        publisher.expose(one)


def test_states_and_tags_that_come_later_are_published_with_what_they_belong_to() -> None:
    machine = named("one")
    publisher = publishing(machine)
    flushed(publisher)
    machine.set_schema({**ABC, "D": State(multi=True)})
    tick(publisher, machine, "D")
    (part,) = flushed(publisher).parts
    assert part.schema == schema_hash(machine.schema)
    machine.set_tags("new")
    tick(publisher, machine)
    (part,) = flushed(publisher).parts
    assert part.description is not None
    assert part.description.tags == ("new",)
    assert part.ticks == ()


def test_a_parent_is_named() -> None:
    parent = named("parent")
    publisher = publishing(Machine(ABC, id="child", parent=parent))
    assert [p.description.parent for p in flushed(publisher).parts if p.description] == ["parent"]


def test_a_bye_is_signed_even_if_nothing_changed() -> None:
    publisher = publishing(named("one"))
    first = flushed(publisher)
    bye = flushed(publisher, bye=True)
    assert bye.header.is_bye
    assert not first.header.is_bye
    assert (bye.header.version, bye.header.root, bye.parts) == (2, first.header.root, ())
    assert merge(merge(None, first), bye) == publisher.state
    assert flushed(publishing(), bye=True).full


def test_a_touch_is_published_though_nothing_changed() -> None:
    publisher = publishing(named("one"))
    flushed(publisher)
    before = publisher.state
    publisher.touch()
    found = [publisher.has_news]
    record = flushed(publisher)
    found.append(publisher.has_news)
    assert (record.full, record.parts, record.header.order) == (False, (), (1, 2))
    assert decode_record(record.encode()) == record
    assert merge(before, record) == publisher.state
    assert publisher.flush() is None
    assert found == [True, False]


def test_another_epoch_begins_with_everything() -> None:
    machine = named("one")
    publisher = publishing(machine)
    tick(publisher, machine, "A")
    flushed(publisher)
    publisher.restart(7)
    assert publisher.has_news
    record = flushed(publisher)
    assert record.full
    assert record.header.order == (7, 1)
    assert publisher.state == merge(None, record)
    publisher.restart(3)
    assert flushed(publisher).header.order == (8, 1), "an epoch is never lower than the one before"


def test_when_all_epochs_are_used_up_the_key_is_and_nothing_changes() -> None:
    publisher = publishing(named("one"), epoch=MAX_EPOCH)
    flushed(publisher)
    for epoch in (1, MAX_EPOCH + 1):
        with pytest.raises(IdentityError, match="make a new key"):
            publisher.restart(epoch)
    assert (publisher.epoch, publisher.version) == (MAX_EPOCH, 1)
    assert not publisher.has_news
    with pytest.raises(IdentityError, match="no epoch -1"):
        publishing(epoch=-1)


@pytest.mark.parametrize("lease", [-1, MAX_LEASE + 1])
def test_a_lease_that_others_would_refuse_is_refused(lease: int) -> None:
    with pytest.raises(ExposeError, match=f"not {lease}"):
        Publisher(ANNA, DOMAIN, HybridClock(lambda: NOON), 1, lease)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=30))
def test_whatever_happens_the_records_lead_from_one_state_to_the_next(steps: list[tuple[int, int]]) -> None:
    machines = [named(f"m{n}") for n in range(4)]
    publisher = publishing(machines[0])
    known = None
    versions = []
    for what, which in steps:
        machine = machines[which]
        exposed = any(e.reader is machine for e in publisher.exposures)
        if what == 0 and not exposed:
            publisher.expose(machine)
        elif what == 1 and exposed:
            publisher.unexpose(machine)
        elif what < 4 and exposed:
            tick(publisher, machine, *"AB"[: what - 1])
        elif what == 5 and (record := publisher.flush()) is not None:
            record = decode_record(record.encode())
            known = merge(known, record)
            assert known == publisher.state
            versions.append(record.header.version)
    assert versions == list(range(1, len(versions) + 1))


# -- what cannot be


def wide(states: int) -> Machine:
    return Machine(Schema({f"S{n}": State(multi=True) for n in range(states)}), id="wide")


def tagged(*tags: str) -> Machine:
    return Machine(ABC, id="tagged", tags=tags)


def child_of(name: str) -> Machine:
    return Machine(ABC, id="child", parent=named(name))


def counted(ticks: int) -> Machine:
    machine = named("counted")
    machine._time = (ticks, 0, 0, 0)  # the only way to count that far in time
    return machine


SAME = named("same")
BAD: dict[str, tuple[Callable[[], object], str]] = {
    "too many states": (lambda: wide(MAX_STATES), f"wide has {MAX_STATES + 1} states, at most {MAX_STATES}"),
    "a tag of a megabyte": (lambda: tagged("x" * 2**20), "1048576 bytes, at most 256"),
    "too many tags": (lambda: tagged(*map(str, range(MAX_TAGS + 1))), f"65 tags, at most {MAX_TAGS}"),
    "a tag that is no text": (lambda: tagged("\ud800"), "is no UTF-8"),
    "an id of a megabyte": (lambda: named("x" * 2**20), "1048576 bytes, at most 256"),
    "an id just too long": (lambda: named("ü" * (MAX_ID // 2) + "x"), "257 bytes, at most 256"),
    "an id that is no text": (lambda: named("\udcff"), "is no UTF-8"),
    "a parent's id too long": (lambda: child_of("x" * 300), "the parent .* of 'child' has 300 bytes"),
    "a tick too large": (lambda: counted(MAX_TICK + 1), "a tick of counted is above"),
    "the same again": (lambda: SAME, "same is exposed already"),
    "another one of its id": (lambda: named("same"), "another machine called 'same'"),
    "no machine": (lambda: "x" * 1000, "is no machine"),
    "nothing": (lambda: None, "None is no machine"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_machine_that_cannot_be_published_raises_one_short_error_and_exposes_nothing(name: str) -> None:
    make, message = BAD[name]
    publisher = publishing(SAME)
    flushed(publisher)
    with pytest.raises(ExposeError, match=message) as raised:
        publisher.expose(make())  # type: ignore[arg-type]  # that is what two of them are about
    assert len(str(raised.value)) < 300
    assert [e.reader for e in publisher.exposures] == [SAME]
    assert not publisher.has_news
    assert publisher.flush() is None
    assert publisher.expose(named("next")).index == 1, "no index was used up"


def test_a_machine_of_5000_states_is_not_even_built() -> None:
    with pytest.raises(SchemaError, match="5000 states are more than 4096"):
        wide(5_000)


def test_what_is_just_small_enough_is_published_and_read() -> None:
    machine = Machine(
        Schema({f"S{n}": State() for n in range(MAX_STATES - 1)}), id="ü" * (MAX_ID // 2), tags=["t" * 256] * MAX_TAGS
    )
    record = flushed(publishing(machine))
    assert decode_record(record.encode()) == record


def test_more_than_a_full_record_can_hold_is_refused() -> None:
    publisher = publishing()
    schema = Schema({f"S{n}": State() for n in range(999)})
    exposed = 61
    for n in range(exposed):
        publisher.expose(named(f"m{n}", schema))
    with pytest.raises(ExposeError, match=f"at most {MAX_RECORD} can be published: spread the machines"):
        publisher.expose(named("more", schema))
    assert len(flushed(publisher).parts) == exposed
    publisher.unexpose(publisher.exposures[0].reader)
    publisher.expose(named("fits", schema))


def test_a_machine_that_outgrows_a_full_record_stays_as_it_was_and_keeps_nobody_back() -> None:
    schema = Schema({f"S{n}": State(multi=True) for n in range(4000)})
    publisher = publishing(*(named(f"m{n}", schema) for n in range(15)), named("small"))
    flushed(publisher)
    large, small = publisher.exposures[0], publisher.exposures[-1]
    assert isinstance(large.reader, Machine)
    assert isinstance(small.reader, Machine)
    large.reader._time = (MAX_TICK,) * 4001
    publisher.changed(large)
    tick(publisher, small.reader, "A")
    before = publisher.state
    with pytest.raises(ExposeError, match="with m0 a full record of this peer would have about"):
        publisher.flush()
    assert publisher.state is before
    assert publisher.version == 1
    assert [p.index for p in flushed(publisher).parts] == [small.index]
    assert publisher.state is not None
    assert len(publisher.state.record().encode()) <= MAX_RECORD
    assert publisher.flush() is None


def reorder(machine: Machine) -> None:
    machine.verify_states(["B", "A", "C", "Exception"])


def go_back(machine: Machine) -> None:
    machine._time = (0, *machine._time[1:])


def retag(machine: Machine) -> None:
    machine.set_tags("x" * 2**20)


def shrink(machine: Machine) -> None:
    other = Machine({"A": State(multi=True)}, id="other")
    machine._schema, machine._index, machine._time = other._schema, other._index, other._time


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (reorder, "other states than when it was exposed"),
        (shrink, "other states than when it was exposed"),
        (go_back, "the clock of bad went back"),
        (retag, "1048576 bytes, at most 256"),
    ],
)
def test_a_machine_that_goes_bad_is_reported_and_stays_as_it_was(
    spoil: Callable[[Machine], None], message: str
) -> None:
    good, bad = named("good"), named("bad")
    publisher = publishing(bad, good)
    tick(publisher, bad, "A", "B")
    flushed(publisher)
    before = publisher.state
    assert before is not None
    spoil(bad)
    tick(publisher, bad)
    tick(publisher, good, "C")
    with pytest.raises(ExposeError, match=message):
        publisher.flush()
    assert (publisher.state, publisher.version) == (before, 1), "nothing was published, nor half of it"
    record = flushed(publisher)
    assert [p.index for p in record.parts] == [1]
    assert publisher.state is not None
    assert publisher.state[0] == before[0]
    assert publisher.flush() is None, "it is reported once for each change"
    tick(publisher, bad)
    with pytest.raises(ExposeError, match=message):
        publisher.flush()
    publisher.unexpose(bad)
    assert [p.gone for p in flushed(publisher).parts] == [True]


def test_there_are_so_many_machines_at_a_time_and_more_over_time() -> None:
    publisher = publishing()
    tiny = Machine({}, id="0")
    for n in range(MAX_MACHINES + 2):
        exposure = publisher.expose(tiny)
        publisher.unexpose(tiny)
        assert exposure.index == n
    publisher.expose(tiny)
    record = flushed(publisher)
    assert decode_record(record.encode()) == record


@given(st.lists(st.lists(st.just(0) | st.integers(0, 200) | st.integers(0, MAX_TICK), max_size=300), max_size=3))
def test_a_full_record_is_never_larger_than_it_was_estimated(vectors: list[list[int]]) -> None:
    publisher = publishing()
    for n, ticks in enumerate(vectors):
        machine = wide(len(ticks))
        machine.id = f"m{n}"
        machine._time = (*ticks, 0)
        publisher.expose(machine)
    assert len(flushed(publisher).encode()) <= publisher._size
