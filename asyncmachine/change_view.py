"""What `am watch` and `am when` print of a replica: a line for people, or a JSON object."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pubsub.replica import Replica


def json_line(at: int, replica: Replica, what: str, *states: tuple[str, ...]) -> str:
    """Return a JSON object; for the arguments see `text_line`."""
    import msgspec

    from history import format_time
    from pubsub.names import peer_id_of

    line = {
        "at": at,
        "time": format_time(at),
        "owner": peer_id_of(replica.owner),
        "machine": replica.id,
        "event": what,
        **dict(zip_longest(("added", "removed", "passed"), states, fillvalue=())),
        "active": replica.active_states(),
        "ticks": dict(replica.clock()),
        "time_sum": replica.time_sum,
        "epoch": replica.epoch,
    }
    return msgspec.json.encode(line).decode()


def text_line(at: int, replica: Replica, what: str, *states: tuple[str, ...]) -> str:
    """Return a line for people.

    Args:
        at: when it came here, ns since 1970.
        replica: as it is now.
        what: known, changed, restarted, gone or came.
        *states: those that came, those that went, and those that did both.
    """
    from asyncmachine.history_view import safe
    from history import format_time
    from pubsub.names import peer_id_of

    moment = format_time(at // 10**6 * 10**6 + 1)[:23] + "Z"  # always three digits
    if what == "changed":
        told = " ".join(sign + name for sign, names in zip("+-~", states, strict=True) for name in names)
    else:
        told = {"known": "is", "came": "is", "restarted": "restarted:", "gone": "is gone, last"}[what]
    return safe(f"{moment}  …{peer_id_of(replica.owner)[-6:]}  {replica.id}  {told}  {replica}")
