"""Typed args, and stopping where something is asked for."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from machine import Breakpoint, Event, Machine, MisuseError, Mutation, State


@dataclass
class Order:
    item: str
    count: int = 1


def ordering() -> tuple[Machine, list[Order]]:
    orders: list[Order] = []

    def enter(event: Event) -> None:
        orders.append(event.parse(Order))

    return Machine({"Ordered": State(multi=True)}, id="shop", handlers={"OrderedEnter": enter}), orders


def test_args_are_read_as_an_object_of_a_class() -> None:
    machine, orders = ordering()
    machine.add("Ordered", item="tea", count=2, colour="green")
    machine.add("Ordered", item="cake")
    assert orders == [Order("tea", 2), Order("cake")]


def test_a_missing_arg_is_named() -> None:
    machine, orders = ordering()
    assert machine.add("Ordered", count=3).canceled
    assert not orders
    assert isinstance(machine.last_error, MisuseError)
    assert "item" in str(machine.last_error)


def test_a_breakpoint_acts_on_exactly_its_states() -> None:
    hits: list[Mutation] = []
    machine = Machine({"A": State(), "B": State()}, id="m")
    machine.add_tracer(Breakpoint(added=["A", "B"], removed=["B"], action=hits.append))
    machine.add("A")
    machine.add("B", "A")
    machine.remove("A")
    machine.remove("B")
    assert [(m.type.name, m.states) for m in hits] == [("ADD", ("B", "A")), ("REMOVE", ("B",))]


def test_a_strict_breakpoint_passes_over_what_changes_nothing() -> None:
    hits: list[Mutation] = []
    machine = Machine({"A": State()}, id="m", tracers=[Breakpoint(added=["A"], action=hits.append, strict=True)])
    machine.add("A")
    machine.add("A")
    assert len(hits) == 1


def test_a_breakpoint_without_states_is_refused() -> None:
    with pytest.raises(MisuseError, match="needs states"):
        Breakpoint()
