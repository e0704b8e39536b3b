"""`am web`: the page over a stored history. A running peer serves its own: `am peer run --web`."""

from __future__ import annotations

from typing import Final

import click

from asyncmachine.command import failing, run

PORT: Final = 8321


@click.command()
@click.option(
    "--history",
    "-H",
    "url",
    metavar="URL",
    envvar="AM_HISTORY",
    show_envvar=True,
    help="Where it is: a file, sqlite:///file.db, or postgresql+psycopg://user@host/name."
    " By default a file in your data directory.",
)
@click.option(
    "--address", "address", metavar="[HOST:]PORT", help=f"Where to serve it.  [default: loopback, port {PORT}]"
)
def web(url: str | None, address: str | None) -> None:
    """Look at a network in a browser, now and at any past moment: of a stored history, which is only read."""
    from asyncmachine.stored import opened_store

    with (
        failing(),
        opened_store(url, "am web", "open_history({url}) and .record(machine)", read_only=True) as (store, _),
    ):
        from asyncmachine.config import parse_address
        from asyncmachine.web.source import Source

        store.generation = -1
        source = Source(store, mode="history", title=store.url.rpartition("/")[2])
        host, port = parse_address(address or str(PORT))
        run(_serve, source, host, port)


async def _serve(source: object, host: str, port: int) -> None:
    import trio

    from asyncmachine.serving import bind, serving
    from asyncmachine.stop import until_stopped
    from asyncmachine.web.app import Page
    from asyncmachine.web.source import Source

    assert isinstance(source, Source)
    with until_stopped():
        async with serving(bind(host, port, "the page"), Page(source).app) as url:
            click.echo(f"the page: {url}")
            await trio.sleep_forever()
