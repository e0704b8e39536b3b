"""A turnstile: two states that exclude each other, two events, and a handler that refuses.

You learn: a schema as a class, states that remove each other, an auto state, multi states for events, and the two
kinds of handlers: `enter` may say no, `state` does what has to be done.

    python examples/turnstile.py
"""

import asyncmachine as am


class Turnstile(am.Schema):
    """Locked until somebody pays, and locked again when they have passed."""

    Locked = am.State(auto=True, remove="Unlocked")
    Unlocked = am.State(remove=Locked)
    Coin = am.State(multi=True)
    Push = am.State(multi=True)


class Gate:
    """What the turnstile does. It counts; the states are the machine's."""

    def __init__(self) -> None:
        self.coins = self.passed = 0

    @Turnstile.Push.enter
    def may_pass(self, event: am.Event) -> bool:
        """Refuse a push while the gate is locked. Negotiation only looks; it changes nothing."""
        return event.machine.is_active(Turnstile.Unlocked)

    @Turnstile.Push.state
    def pass_through(self, event: am.Event) -> None:
        """Let one person through; the event is over then, and the gate locks."""
        self.passed += 1
        event.machine.remove(Turnstile.Push)
        event.machine.add(Turnstile.Locked)

    @Turnstile.Coin.state
    def take(self, event: am.Event) -> None:
        """Take a coin and unlock."""
        self.coins += 1
        event.machine.remove(Turnstile.Coin)
        event.machine.add(Turnstile.Unlocked)


def main() -> None:
    """Push, pay twice, push twice."""
    gate = Gate()
    turnstile = am.Machine(Turnstile, id="turnstile", handlers=gate)
    turnstile.add(Turnstile.Locked)
    for event in (Turnstile.Push, Turnstile.Coin, Turnstile.Coin, Turnstile.Push, Turnstile.Push):
        result = turnstile.add(event)
        print(f"{event}: {result}, now {turnstile.describe()}")
    print(f"{gate.coins} coins, {gate.passed} passed")


if __name__ == "__main__":
    main()
