"""A level crossing: a train, a gate and the lights, which do not know each other.

You learn: how pipes carry what happens to one machine into the queue of the next, how relations refuse and carry on,
and how a tracer keeps what happened. Nothing below asks "is the gate closed?". There is neither chance nor waiting in
it, so it prints the same each time.

    python examples/crossing.py
"""

import asyncmachine as am


class Train(am.Schema):
    """It is near until it is away, and passes only while its signal says go."""

    Away = am.State(remove=["Near", "Passing"])
    Near = am.State(remove="Away")
    Go = am.State()
    Passing = am.State(require=["Near", "Go"])


class Gate(am.Schema):
    """It begins to close at an alert and opens when that is over, both by itself."""

    Alert = am.State(remove="Open")
    Open = am.State(auto=True, remove=["Closing", "Closed"])
    Closing = am.State(auto=True, require="Alert")
    Closed = am.State(require="Alert", remove="Closing")


class Lights(am.Schema):
    """They are dark unless they are red."""

    Red = am.State(remove="Dark")
    Dark = am.State(auto=True)


class Printer(am.Tracer):
    """Prints every transition that changed a clock or was refused: the clock after it, what it was, and who asked."""

    def transition_end(self, transition: am.Transition) -> None:
        """Print one of them."""
        if transition.changed or not transition.accepted:
            source = transition.mutation.source
            asked = f", by {source.machine_id}" if source and not transition.is_auto else ""
            text = am.as_text(am.as_record(transition))
            print(f"  {transition.machine!s:<24}  {text}{asked}")


STORY = (
    ("A train is on its way, far from the crossing.", "train", "Away"),
    ("The road is open.", "gate", "Open"),
    ("The train comes near: the lights turn red, the gate begins to close.", "train", "Near"),
    ("The train would pass. It may not: its signal does not say go.", "train", "Passing"),
    ("The gate is down, and the signal says go.", "gate", "Closed"),
    ("Now it passes.", "train", "Passing"),
    ("Somebody wants the gate open. Not during an alert.", "gate", "Open"),
    ("The train is away, and everything else follows by itself.", "train", "Away"),
)


def main() -> None:
    """Tell the story."""
    printer = Printer()
    train, gate, lights = (am.Machine(s, id=s.__name__.lower(), tracers=[printer]) for s in (Train, Gate, Lights))
    am.bind_state(train, Train.Near, gate, Gate.Alert)
    am.bind_state(train, Train.Near, lights, Lights.Red)
    am.bind_state(gate, Gate.Closed, train, Train.Go)
    machines = {machine.id: machine for machine in (train, gate, lights)}
    for sentence, id, state in STORY:
        print(sentence)
        machines[id].add(state)


if __name__ == "__main__":
    main()
