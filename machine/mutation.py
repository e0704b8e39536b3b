"""Mutations, what becomes of them, and where they came from."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from machine.errors import PendingError
from machine.resolver import MutationType

if TYPE_CHECKING:
    import trio


class Source(NamedTuple):
    """The cause of a mutation: the transition during whose handlers or background tasks it was asked for."""

    machine_id: str
    transition_id: str
    time_sum: int
    """The machine time of the source before that transition."""


class Result:
    """The verdict of a mutation: `Result.EXECUTED`, `Result.CANCELED`, or a `Ticket` whose verdict is still to come.

    The truth of a result is whether it was executed. A ticket without a verdict has no truth yet: asking raises
    `PendingError`, because a queued mutation must not pass for an executed or a canceled one.
    """

    EXECUTED: ClassVar[Result]
    CANCELED: ClassVar[Result]
    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    @property
    def executed(self) -> bool:
        """Whether the mutation was processed and accepted, or was found to have nothing to do."""
        return self is Result.EXECUTED

    @property
    def canceled(self) -> bool:
        """Whether relations, a handler, a limit or a disposal refused the mutation."""
        return self is Result.CANCELED

    @property
    def queued(self) -> bool:
        """Whether the mutation still waits in the queue."""
        return False

    @property
    def queue_tick(self) -> int | None:
        """The queue tick at which a queued mutation is taken; 0 for executed, 1 for canceled, None if it has none."""
        return 0 if self is Result.EXECUTED else 1

    def __bool__(self) -> bool:
        return self.executed

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Result.{self._text.upper()}"

    def __await__(self) -> Generator[Any, Any, Result]:
        yield from _checkpoint().__await__()
        return self


Result.EXECUTED = Result("executed")
Result.CANCELED = Result("canceled")


class Ticket(Result):
    """The result of a mutation that was queued. ``await ticket`` returns its own verdict once it is fully processed.

    Mutations that are dropped (disposal, a stopped drain's machine going away) resolve to `Result.CANCELED`.
    """

    __slots__ = ("_event", "_tick", "verdict")

    def __init__(self, tick: int | None) -> None:
        super().__init__("queued")
        self._tick: Final = tick
        self.verdict: Result | None = None
        self._event: trio.Event | None = None

    @property
    def executed(self) -> bool:
        """Whether it was processed and accepted."""
        return self.verdict is Result.EXECUTED

    @property
    def canceled(self) -> bool:
        """Whether it was refused, or dropped."""
        return self.verdict is Result.CANCELED

    @property
    def queued(self) -> bool:
        """Whether there is no verdict yet."""
        return self.verdict is None

    @property
    def queue_tick(self) -> int | None:
        """The queue tick at which it is taken; None if it was put in front."""
        return self._tick

    def resolve(self, verdict: Result) -> None:
        """Deliver the verdict to whoever awaits it. For the machine only."""
        self.verdict = verdict
        if self._event is not None:
            self._event.set()

    def __bool__(self) -> bool:
        if self.verdict is None:
            raise PendingError(f"{self!r} has no verdict yet: await it, or look at its .queued first")
        return self.verdict.executed

    def __str__(self) -> str:
        return "queued" if self.verdict is None else str(self.verdict)

    def __repr__(self) -> str:
        at = f" at {self._tick}" if self._tick is not None else ""
        return f"<Ticket {self}{at}>"

    def __await__(self) -> Generator[Any, Any, Result]:
        if self.verdict is None:
            import trio

            if self._event is None:
                self._event = trio.Event()
            yield from self._event.wait().__await__()
        else:
            yield from _checkpoint().__await__()
        assert self.verdict is not None
        return self.verdict


async def _checkpoint() -> None:
    import trio

    await trio.lowlevel.checkpoint()


class Mutation:
    """One queued request to change a machine.

    Attributes:
        type, called, states: what is asked for; `called` holds indexes, `states` the names.
        args: what was passed along; handlers see it as ``event.args``. Filled by the caller, never by the machine.
        is_auto, is_check: made by the machine for auto states; a dry run.
        source: what caused it, or None.
        queue_tick: its place among the appended mutations; 0 if it was put in front.
        done, result: whether it has been processed or dropped, and what came of it.
        ticket: what its caller awaits, if it was queued.
    """

    __slots__ = (
        "args",
        "called",
        "done",
        "is_auto",
        "is_check",
        "queue_tick",
        "result",
        "source",
        "states",
        "ticket",
        "type",
    )

    def __init__(
        self,
        type: MutationType,
        called: tuple[int, ...],
        states: tuple[str, ...],
        args: Mapping[str, Any],
        *,
        is_auto: bool = False,
        is_check: bool = False,
        source: Source | None = None,
    ) -> None:
        self.type = type
        self.called = called
        self.states = states
        self.args = args
        self.is_auto = is_auto
        self.is_check = is_check
        self.source = source
        self.queue_tick = 0
        self.done = False
        self.result: Result = Result.CANCELED  # until it has been processed
        self.ticket: Ticket | None = None

    def touches(self, called: frozenset[int]) -> bool:
        """Tell whether this mutation decides about one of these states. A set decides about all of them."""
        return self.type is MutationType.SET or not called.isdisjoint(self.called)

    def finish(self, result: Result) -> None:
        """Record the verdict and deliver it to a waiting ticket."""
        self.result, self.done = result, True
        if self.ticket is not None:
            self.ticket.resolve(result)

    def __repr__(self) -> str:
        marks = "".join(f" {m}" for m, on in (("auto", self.is_auto), ("check", self.is_check)) if on)
        return f"<Mutation {self.type.name.lower()} {' '.join(self.states) or '(nothing)'}{marks}>"
