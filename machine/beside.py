"""Tasks beside a block: a nursery out of which what the block raises comes as it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def beside(end: Callable[[trio.Nursery], object] | None = None) -> AsyncIterator[trio.Nursery]:
    """Open a nursery for tasks that run beside the block, and end with it.

    A nursery puts what its own block raises into a group, though its caller never started a task. Here only what a task
    raises comes in a group; the block's own error, cancellation among them, is raised as it is when all tasks are done.

    Args:
        end: is called at the end of the block, and lets the tasks end; by default they are cancelled.
    """
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        try:
            yield nursery
        except BaseException as error:  # noqa: BLE001 - raised again below
            failure = error
        if end is None:
            nursery.cancel_scope.cancel()
        else:
            end(nursery)
    if failure is not None:
        raise failure
