"""`am key`: make a key file, and show whose it is. The secret in it is never shown."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asyncmachine.command import failing, json_option

if TYPE_CHECKING:
    from pubsub.identity import Identity


@click.group()
def key() -> None:
    """Make a key file, and show whose it is."""


@key.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--topic", "for_topic", is_flag=True, help="Make the secret of a topic instead, for --topic-key-file.")
@json_option
def new(file: Path, for_topic: bool, as_json: bool) -> None:
    """Make a key file that only you can read, and print the peer id. One that is there is left alone."""
    from asyncmachine.errors import ConfigError

    with failing():
        if file.exists():
            raise ConfigError(f"{file} is there already: whoever uses it would become somebody else")
        if for_topic:
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as out:
                    out.write(secrets.token_hex() + "\n")
            except OSError as error:
                raise ConfigError(f"{file} cannot be made: {error.strerror}") from error
            tell(as_json, f"{file}: a secret for all peers of a topic", {"file": str(file)})
            return
        from pubsub.keys import read_identity

        tell_identity(file, read_identity(file), as_json)


@key.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def show(file: Path, as_json: bool) -> None:
    """Print the peer id of a key file."""
    from asyncmachine.errors import ConfigError
    from pubsub.keys import read_identity

    with failing():
        if not file.exists():
            raise ConfigError(f"there is no key file {file}: am key new {file} makes one")
        tell_identity(file, read_identity(file), as_json)


def tell_identity(file: Path, identity: Identity, as_json: bool) -> None:
    """Print whose key it is."""
    from pubsub.names import peer_id_of

    id = peer_id_of(identity.owner)
    tell(as_json, id, {"file": str(file), "peer": id, "public_key": identity.owner.hex()})


def tell(as_json: bool, text: str, values: dict[str, str]) -> None:
    """Print a line, for people or for programs."""
    import msgspec

    click.echo(msgspec.json.encode(values) if as_json else text)
