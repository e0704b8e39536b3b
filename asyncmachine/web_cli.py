"""`am web`: the page over a stored history, or over a window of one. A running peer serves its own page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asyncmachine.command import failing, history_option, json_option, run

if TYPE_CHECKING:
    from asyncmachine.web.source import Source


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@history_option
@click.option(
    "--address",
    metavar="[HOST:]PORT",
    help="Where to serve it; without a host, on loopback.  [default: port 8321, or any if that is taken]",
)
@click.option(
    "--token-file",
    metavar="FILE",
    help="Holds the token that is asked for; needed beyond loopback. Or set $ASYNCMACHINE_WEB_TOKEN.",
)
@json_option
def web(file: Path | None, url: str | None, address: str | None, token_file: str | None, as_json: bool) -> None:
    """Look at a network in a browser, now and at any past moment.

    Without FILE, of a stored history, which is only read. FILE is a window that the page has exported, as JSON or
    SQLite. It ends with Ctrl-C.
    """
    from asyncmachine.config import parse_address
    from asyncmachine.errors import ConfigError
    from asyncmachine.web.guard import TokenError, token_for

    with failing():
        try:
            where = None if address is None else parse_address(address)
        except ValueError as error:
            raise ConfigError(f"--address: {error}") from error
        try:
            token = token_for("127.0.0.1" if where is None else where[0], token_file)
        except TokenError as error:
            raise ConfigError(f"--{'address' if token_file is None else 'token-file'}: {error}") from error
        with _opened(file, url) as source:
            run(_serve, source, where, token, as_json)


@contextmanager
def _opened(file: Path | None, url: str | None) -> Iterator[Source]:
    from asyncmachine.errors import ConfigError
    from asyncmachine.stored import opened_store
    from asyncmachine.web.source import Source

    if file is not None:
        from asyncmachine.web.asked import WrongError
        from asyncmachine.web.windows import SQLITE, open_window

        try:
            with file.open("rb") as opened:
                is_database = opened.read(len(SQLITE)) == SQLITE
            body = b"" if is_database else file.read_bytes()
        except OSError as error:
            raise ConfigError(f"{file}: {error.strerror}") from error
        if not is_database:
            try:
                source = open_window(body, file.name)
            except WrongError as error:
                raise ConfigError(f"{file}: {error}") from error
            yield source
            return
        url = str(file)
    with opened_store(url, "am web", "open_history({url}) and .record(machine)", read_only=True) as (store, _):
        store.generation = -1  # another program may be writing
        yield Source(store, mode="history", title=store.url.rpartition("/")[2])


async def _serve(source: Source, address: tuple[str, int] | None, token: str | None, as_json: bool) -> None:
    import trio

    from asyncmachine.stop import until_stopped
    from asyncmachine.web.app import Page
    from asyncmachine.web.server import bind_page, serve_page

    with until_stopped():
        async with serve_page(bind_page(address), Page(source, token=token)) as url:
            if as_json:
                import msgspec

                click.echo(msgspec.json.encode({"event": "ready", "url": url}))
            else:
                click.echo(f"{source.title}: {url}/" + ("?token=…" if token is not None else ""))
            await trio.sleep_forever()
