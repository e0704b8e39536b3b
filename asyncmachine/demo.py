"""`am demo`: a level crossing, as three machines in one process.

The train, the gate and the lights do not know each other; pipes carry what happens to one into the
queue of the next. Nothing below asks "is the gate closed?": what is allowed, and what follows from
what, stands in the relations of the schemas, and the story shows them refuse and carry on. There is
neither chance nor waiting in it, so it prints the same each time.
"""

import json
from collections.abc import Iterator
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from machine import Machine, Schema, State, Tracer, Transition, as_record, bind_state


class Train(Schema):
    """It is near until it is away, and passes only while its signal says go."""

    Away = State(remove=["Near", "Passing"])
    Near = State(remove="Away")
    Go = State()
    Passing = State(require=["Near", "Go"])


class Gate(Schema):
    """It begins to close at an alert and opens when that is over, both by itself."""

    Alert = State(remove="Open")
    Open = State(auto=True, remove=["Closing", "Closed"])
    Closing = State(auto=True, require="Alert")
    Closed = State(require="Alert", remove="Closing")


class Lights(Schema):
    """They are dark unless they are red."""

    Red = State(remove="Dark")
    Dark = State(auto=True)


class Recorder(Tracer):
    """Keep a record of every transition that changed a clock or was refused, in order."""

    id = "demo"

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def transition_end(self, transition: Transition) -> None:
        """Keep one record, and with it the clock as the machine writes it: active states and their ticks."""
        if transition.changed or not transition.accepted:
            self.records.append({**as_record(transition), "clock": str(transition.machine)})

    def take(self) -> list[dict[str, Any]]:
        """Return what was recorded since the last call."""
        taken, self.records = self.records, []
        return taken


def play() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield each sentence of the story with the records of all that it set off."""
    recorder = Recorder()
    train, gate, lights = (
        Machine(schema, id=schema.__name__.lower(), tracers=[recorder]) for schema in (Train, Gate, Lights)
    )
    bind_state(train, "Near", gate, "Alert")
    bind_state(train, "Near", lights, "Red")
    bind_state(gate, "Closed", train, "Go")

    for sentence, machine, state in (
        ("A train is on its way, far from the crossing.", train, "Away"),
        ("The road is open.", gate, "Open"),
        ("The train comes near: the lights turn red, the gate begins to close.", train, "Near"),
        ("The train would pass. It may not: its signal does not say go.", train, "Passing"),
        ("The gate is down, and the signal says go.", gate, "Closed"),
        ("Now it passes.", train, "Passing"),
        ("Somebody wants the gate open. Not during an alert.", gate, "Open"),
        ("The train is away, and everything else follows by itself.", train, "Away"),
    ):
        machine.add(state)
        yield sentence, recorder.take()


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a transition instead.")
def demo(as_json: bool) -> None:
    """Watch a train, a gate and the lights of a level crossing, in one process."""
    if as_json:
        for sentence, records in play():
            for record in records:
                click.echo(json.dumps({"story": sentence, **record}))
    else:
        tell(Console(highlight=False))


def tell(console: Console) -> None:
    """Print the story: under each sentence a line a transition, and at the end what it came to."""
    seen = refused = 0
    for sentence, records in play():
        console.print(Text(sentence, "bold"))
        for record in records:
            # soft_wrap: the line stays whole, whatever width a pipe or a log claims to have
            console.print(_line(record), soft_wrap=True)
            seen += 1
            refused += not record["accepted"]
    console.print(f"{seen} transitions, {refused} of them refused. No code decided that: the relations did.")


def _line(record: dict[str, Any]) -> Text:
    """Return ``machine  what was asked, by whom  what came of it  (the clock)``."""
    source = record["source"]
    cause = source.partition(":")[0] if source else ""
    called = " ".join(record["called"])
    if record["auto"]:
        asked = f"auto {called}"
    else:
        asked = f"{record['mutation']} {called}" + (f", by {cause}" if cause else "")
    if record["accepted"]:
        outcome = " ".join([f"+{name}" for name in record["added"]] + [f"-{name}" for name in record["removed"]])
    else:
        # of all that the relations said, what they said about the states that were asked for
        about = tuple(f"{name} {verb} " for name in record["called"] for verb in ("lacks", "removed by"))
        outcome = ", ".join(step for step in record["steps"] if step.startswith(about))
    return Text.assemble(
        (f"  {record['machine']:<6}  ", "cyan"),
        f"{asked:<22}  ",
        (f"{outcome:<21}  ", "green" if record["accepted"] else "red"),
        (record["clock"], "dim"),
    )
