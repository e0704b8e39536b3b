"""Merging only ever leads to what the owner published, in whatever order its records come."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pubsub import Description, Domain, Header, Identity, MachineState, OwnerState, Part, Record, merge
from pubsub.record import MAX_MACHINES, MAX_STATES, MAX_TICKS, NO_HASH
from pubsub.state import SharedMerge, root_of
from simulations.fuzz import a_life

ANNA = Identity(bytes(range(32)))
DOMAIN = Domain("states")
#: Six owners' lives of one epoch: machines come, change, gain states and tags, and go.
LIVES = [a_life(random.Random(n), ANNA, DOMAIN, 1, 12) for n in range(6)]
NEXT = a_life(random.Random(99), ANNA, DOMAIN, 2, 6)
lives = st.sampled_from(LIVES)


def learn(state: OwnerState | None, record: Record) -> OwnerState | None:
    """Take a record in, if it is newer and nothing is missing."""
    if state is not None and record.header.order <= state.order:
        return state
    return merge(state, record) or state


@st.composite
def heard(draw: st.DrawFn, life: list[OwnerState]) -> Record:
    """Draw a record that anybody could serve of a life: full, or the delta between any two states."""
    to = draw(st.integers(0, len(life) - 1))
    if to == 0 or draw(st.integers(0, 3)) == 0:
        return life[to].record()
    return life[to].record(full=False, since=life[draw(st.integers(0, to - 1))])


@given(st.data(), lives)
def test_records_in_any_order_lead_to_nothing_but_what_was_published(
    data: st.DataObject, life: list[OwnerState]
) -> None:
    state: OwnerState | None = None
    for record in data.draw(st.lists(heard(life), max_size=20)):
        before = state
        state = learn(state, record)
        assert state is None or state in life
        assert before is None or (state is not None and state.order >= before.order)


@given(lives, st.randoms(use_true_random=False))
def test_all_deltas_shuffled_twice_and_doubled_lead_to_the_same_end(life: list[OwnerState], rng: random.Random) -> None:
    records = [life[0].record(), *(b.record(full=False, since=a) for a, b in pairwise(life))]
    state: OwnerState | None = None
    for _ in range(len(records)):  # each round brings at least the next one
        rng.shuffle(records)
        for record in records + records:
            state = learn(state, record)
    assert state == life[-1]


@given(st.data(), lives)
def test_a_delta_from_anything_no_newer_than_what_is_known_is_enough(
    data: st.DataObject, life: list[OwnerState]
) -> None:
    to = data.draw(st.integers(1, len(life) - 1))
    known = data.draw(st.integers(0, to))
    since = data.draw(st.integers(0, known))
    if since < to:
        record = life[to].record(full=False, since=life[since])
        left_out = {i for i in life[known] if i not in life[since] and i not in life[to]}
        if not left_out:  # a machine that came and went in between: its tombstone is in another delta
            assert merge(life[known], record) == life[to]


@given(lives, st.randoms(use_true_random=False))
def test_peers_that_share_their_merges_hold_one_object_of_a_state_whichever_way_they_came_to_it(
    life: list[OwnerState], rng: random.Random
) -> None:
    shared = SharedMerge()
    held: list[OwnerState | None] = [None] * 4  # of four peers
    at = [0] * 4
    for to in range(len(life)):
        for peer in range(4):
            if to < len(life) - 1 and rng.random() < 0.5:
                continue  # it hears of the next one only, from further back
            record = life[to].record() if held[peer] is None else life[to].record(full=False, since=life[at[peer]])
            state = held[peer] = shared(held[peer], record)
            at[peer] = to
            assert state == life[to]
        assert len({id(state) for peer, state in enumerate(held) if at[peer] == to and state is not None}) <= 1


@given(st.data(), lives)
def test_a_merge_is_idempotent(data: st.DataObject, life: list[OwnerState]) -> None:
    state = data.draw(st.none() | st.sampled_from(life))
    record = data.draw(heard(life))
    once = learn(state, record)
    assert learn(once, record) == once
    merged = merge(state, record)
    if merged is not None:
        assert merge(merged, record) == merged


@given(st.data(), lives)
def test_full_records_commute_and_associate(data: st.DataObject, life: list[OwnerState]) -> None:
    state = data.draw(st.none() | st.sampled_from(life))
    fulls = [s.record() for s in data.draw(st.lists(st.sampled_from([*life, *NEXT]), min_size=1, max_size=5))]
    ends = []
    for order in (fulls, fulls[::-1], data.draw(st.permutations(fulls))):
        end = state
        for record in order:
            end = learn(end, record)
        ends.append(end)
    newest = max([r.header.order for r in fulls] + ([state.order] if state is not None else []))
    assert ends[0] == ends[1] == ends[2]
    assert ends[0] is not None
    assert ends[0].order == newest


Vector = tuple[tuple[int, int], ...]
vectors = st.lists(st.integers(0, 5), max_size=6).map(lambda v: tuple((i, t) for i, t in enumerate(v) if t))
machines = vectors.map(lambda v: MachineState.build(1, Description("m"), NO_HASH, ()).merged(Part(1, v)))


@given(machines, vectors, vectors)
def test_ticks_merge_by_the_larger_one(machine: MachineState, one: Vector, two: Vector) -> None:
    first, second = Part(1, one), Part(1, two)
    both = machine.merged(first).merged(second)
    assert machine.merged(second).merged(first) == both
    assert both.merged(first) is both
    assert machine.merged(both.part()) == both
    for state, tick in enumerate(machine.ticks):
        assert both.ticks[state] >= tick, "a clock went back"
    assert not both.ticks or both.ticks[-1] != 0


# -- by hand


def owned(version: int, *built: MachineState, epoch: int = 1) -> OwnerState:
    header = Header(0, ANNA.owner, epoch, version, 0, 60, root_of(built)).sign(ANNA, DOMAIN)
    return OwnerState(header, {m.index: m for m in built})


def machine(index: int, *ticks: int, name: str = "", schema: bytes = NO_HASH) -> MachineState:
    return MachineState.build(index, Description(name or f"m{index}"), schema, ticks)


def test_a_missed_delta_is_a_gap() -> None:
    one, two, three = owned(1, machine(0, 1)), owned(2, machine(0, 1, 1)), owned(3, machine(0, 2, 1))
    late = three.record(full=False, since=two)
    assert merge(one, late) is None
    assert merge(None, late) is None
    assert merge(two, late) == three


def test_a_new_epoch_begins_from_nothing() -> None:
    old, new = owned(9, machine(0, 5, 5), machine(1, 1)), owned(1, machine(0, 1), epoch=2)
    assert merge(old, new.record()) == new, "a new epoch may count from the beginning, and forget machines"
    then = owned(2, machine(0, 2), epoch=2)
    assert merge(old, then.record(full=False, since=new)) is None
    assert then.record(full=False, since=old).full


def test_a_delta_that_holds_everything_introduces_an_owner() -> None:
    empty, one = owned(1), owned(2, machine(0, 1))
    assert merge(None, one.record(full=False, since=empty)) == one


def test_a_tombstone_takes_a_machine_away() -> None:
    two, one = owned(1, machine(0, 1), machine(1, 1)), owned(2, machine(1, 1))
    record = one.record(full=False, since=two)
    assert record.parts == (Part(0, gone=True),)
    assert merge(two, record) == one
    assert merge(one, record) == one, "a tombstone of nothing is nothing"
    assert merge(None, record) is None


def test_what_a_full_body_leaves_out_is_gone() -> None:
    two, one = owned(1, machine(0, 1), machine(1, 1)), owned(2, machine(1, 1))
    assert merge(two, one.record()) == one


def test_a_machine_that_was_never_introduced_is_a_gap() -> None:
    one, two = owned(1, machine(0, 1)), owned(2, machine(0, 1), machine(1, 1))
    record = two.record(full=False, since=one)
    bare = tuple(replace(p, description=None) for p in record.parts)
    assert merge(one, Record(record.header, bare)) is None
    assert merge(one, record) == two


@pytest.mark.parametrize(
    "lie",
    [
        machine(1, 1, 2),
        machine(0, 1, 3),
        machine(0, 1),
        machine(0, 1, 2, name="other"),
        machine(0, 1, 2, schema=bytes(15) + b"\1"),
        machine(0, 1, 2, 1),
    ],
    ids=["index", "tick", "fewer states", "name", "schema", "more states"],
)
def test_the_root_covers_everything(lie: MachineState) -> None:
    true = owned(1, machine(0, 1, 2))
    assert merge(None, Record(true.header, (lie.part(),), full=True)) is None
    assert merge(None, Record(true.header, (true[0].part(), machine(9).part()), full=True)) is None
    assert merge(None, Record(true.header, (), full=True)) is None


def test_zeros_behind_are_no_difference() -> None:
    assert machine(0, 1, 0, 0) == machine(0, 1)
    assert machine(0, 0, 0).ticks == ()


@pytest.mark.parametrize("life", LIVES)
def test_an_index_is_never_used_again(life: list[OwnerState]) -> None:
    known: dict[int, str] = {}
    gone: set[int] = set()
    for state in life:
        assert gone.isdisjoint(state)
        for index, found in state.items():
            assert known.setdefault(index, found.description.id) == found.description.id
        gone |= set(known).difference(state)
    assert gone or len(known) == len(life[-1])


def test_there_is_no_delta_from_a_state_that_is_not_older() -> None:
    one, two, other = owned(1, machine(0, 1)), owned(2, machine(0, 2)), owned(2, machine(0, 1, 1))
    assert not two.record(full=False, since=one).full
    for since in (two, other, None):
        assert two.record(full=False, since=since).full
    assert one.record(full=False, since=two).full


def test_deltas_cannot_make_a_state_larger_than_a_full_record_could_be() -> None:
    far = (0,) * (MAX_STATES - 1) + (1,)
    sixteen = owned(1, *(machine(i, *far) for i in range(MAX_TICKS // MAX_STATES)))
    more = owned(2, *sixteen.values(), machine(99, 1))
    assert merge(None, sixteen.record()) == sixteen
    assert merge(sixteen, more.record(full=False, since=sixteen)) is None
    many = owned(1, *(machine(i) for i in range(MAX_MACHINES)))
    assert merge(None, many.record()) == many
    assert merge(many, owned(2, *many.values(), machine(MAX_MACHINES)).record(full=False, since=many)) is None


def test_a_state_is_a_mapping_and_a_value() -> None:
    one, same = owned(1, machine(0, 1), machine(3)), owned(1, machine(0, 1), machine(3))
    assert list(one) == [0, 3]
    assert len(one) == 2
    assert one[3].description.id == "m3"
    assert one == same
    assert hash(one) == hash(same)
    assert one != owned(2, machine(0, 1), machine(3))
    assert one != {}
    assert repr(one) == f"<OwnerState {ANNA.owner[:4].hex()} 1.1: 2 machines>"


def test_the_same_step_of_two_owners_does_not_cancel_out_in_a_fingerprint() -> None:
    """A code that is linear under XOR, as a crc is, would change both marks by the same bits."""
    steps = []
    for n in range(1, 9):
        header = Header(0, bytes([n]) * 32, 1, 1, 0, 0, NO_HASH)
        steps.append(OwnerState(header, {}).mark ^ OwnerState(replace(header, version=2), {}).mark)
    assert len(set(steps)) == len(steps)
