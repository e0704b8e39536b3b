"""What the commands around peers have in common: options, how they run, and how they fail.

Invariants: what a user did wrong ends in one line on stderr and a status of 2; what the world did wrong, of 1. A
traceback is a fault of ours, or of the program that a user runs. Programs get JSON lines with ``--json``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

import click

from machine.errors import AsyncMachineError, MisuseError

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Decorator = Callable[[Callable[..., None]], Callable[..., None]]

history_option = click.option(
    "--history",
    "-H",
    "url",
    metavar="URL",
    envvar="AM_HISTORY",
    show_envvar=True,
    help="Where it is: a file, sqlite:///file.db, or postgresql+psycopg://user@host/name."
    " By default a file in your data directory.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")


class Failed(click.ClickException):
    """One line on stderr, and a status: 1, the world's fault."""

    def __init__(self, error: BaseException) -> None:
        from asyncmachine.history_view import safe

        super().__init__(safe(" ".join(str(error).split())))


class Misused(Failed):
    """The same with a status of 2: the user's fault."""

    exit_code = 2


def failure_of(error: BaseException) -> Failed:
    """Return how a command ends that met an error."""
    return Misused(error) if isinstance(error, ValueError | LookupError | MisuseError) else Failed(error)


@contextmanager
def failing() -> Iterator[None]:
    """Turn what goes wrong into one line."""
    try:
        yield
    except AsyncMachineError as error:
        raise failure_of(error) from error
    except BaseExceptionGroup as group:
        leaves = list(_leaves(group))
        if any(isinstance(leaf, KeyboardInterrupt) for leaf in leaves):
            raise KeyboardInterrupt from group
        unread = next((leaf for leaf in leaves if isinstance(leaf, BrokenPipeError)), None)
        if unread is not None:
            raise unread from group  # click ends without a word
        known = [leaf for leaf in leaves if isinstance(leaf, AsyncMachineError)]
        if len(known) < len(leaves):
            raise
        raise failure_of(known[0]) from group


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def run(function: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
    """Run an async function to its end, under trio; what goes wrong becomes one line."""
    import trio

    with failing():
        return trio.run(function, *args)


# -- options of whoever opens a peer

#: The names of these options are the keys of `asyncmachine.config`.
_NETWORK = (
    click.option("--topic", metavar="NAME", help="Peers of one topic talk to each other."),
    click.option("--topic-key-file", type=click.Path(), help="Holds the secret that all peers of the topic share."),
    click.option("--key", type=click.Path(), metavar="FILE", help="Key file: who this peer is."),
    click.option(
        "--connect", multiple=True, metavar="ADDRESS", help="A peer to begin with: /ip4/…/tcp/…/p2p/12D3… Repeatable."
    ),
    click.option("--mdns", is_flag=True, help="Find peers of the topic on the local network."),
)


def network_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add what every peer needs to find others."""
    for option in reversed(_NETWORK):
        command = option(command)
    return command


def guest_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add what a command needs that looks at a running network."""
    config = click.option(
        "--config",
        "-c",
        type=click.Path(path_type=Path),
        envvar="AM_CONFIG",
        show_envvar=True,
        help="The configuration of one of its peers, instead of the others.",
    )
    return config(network_options(command))


def options_of(ctx: click.Context, *names: str) -> dict[str, Any]:
    """Return the options of a command that are keys of the configuration."""
    shared = ("topic", "topic_key_file", "key", "connect", "mdns")
    return {name: value for name in (*shared, *names) if (value := ctx.params.get(name))}
