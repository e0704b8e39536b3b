"""Three machines that know nothing of each other, connected by pipes.

You learn: how a state of one machine drives a state of another, that the target may refuse, how a chain is told apart
from its parts by the cause of each mutation, and how to log with a tracer.

    python examples/pipes.py
"""

import asyncmachine as am


class Sensor(am.Schema):
    """Notices smoke."""

    Smoke = am.State()


class Alarm(am.Schema):
    """Rings, unless it is muted."""

    Ringing = am.State(remove="Silent")
    Silent = am.State(auto=True, remove=Ringing)
    Muted = am.State(remove=Ringing)


class Brigade(am.Schema):
    """Comes when it is called, and each call counts."""

    Called = am.State(multi=True)


class Log(am.Tracer):
    """Prints what happened, and because of which transition."""

    def transition_end(self, transition: am.Transition) -> None:
        """See one finished transition of any of the machines."""
        record = am.as_record(transition)
        cause = f"   because of {record['source']}" if record["source"] else ""
        print(am.as_text(record) + cause)


def main() -> None:
    """Smoke, twice; the second time the alarm is muted."""
    log = Log()
    sensor = am.Machine(Sensor, id="sensor", tracers=[log])
    alarm = am.Machine(Alarm, id="alarm", tracers=[log])
    brigade = am.Machine(Brigade, id="brigade", tracers=[log])
    am.bind_state(sensor, Sensor.Smoke, alarm, Alarm.Ringing)
    am.pipe_add(alarm, Alarm.Ringing, brigade, Brigade.Called)

    sensor.add(Sensor.Smoke)
    sensor.remove(Sensor.Smoke)
    alarm.add(Alarm.Muted)
    sensor.add(Sensor.Smoke)
    for machine in (sensor, alarm, brigade):
        print(f"{machine.id}: {machine}, fed by {len(machine.pipes_in)} pipes")


if __name__ == "__main__":
    main()
