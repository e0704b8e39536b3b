"""The configuration of a peer: a TOML file, options of the command line, or both.

    topic = "house"
    key = "door.key"
    machines = ["house.py:door"]

Whatever is wrong is reported with the place where it stands: ``peer.toml, line 3: key: …`` or ``--key: …``. Options
win over the file. What a file names is looked for beside the file; what an option names, in the working directory.
"""

from __future__ import annotations

import re
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_args

import msgspec

from asyncmachine.errors import ConfigError
from machine.errors import AsyncMachineError, did_you_mean

LOOPBACK: Final = "/ip4/127.0.0.1/tcp/0"
MAX_TOPIC_KEY: Final = 64  # bytes, see `pubsub.identity`

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
T = TypeVar("T")


class PeerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of a configuration file. See `docs/am.md`, which has a line for each."""

    topic: str | None = None
    topic_key_file: str | None = None
    key: str | None = None
    listen: list[str] = msgspec.field(default_factory=lambda: [LOOPBACK])
    connect: list[str] = []
    announce: list[str] = []
    allow: list[str] | None = None
    mdns: bool = False
    machines: list[str] = []
    history: str | None = None
    observe: bool = False
    beliefs: bool = False
    metrics: str | None = None
    web: str | None = None
    web_token_file: str | None = None
    log: LogFormat = "text"
    log_level: LogLevel = "info"


KEYS: Final = PeerConfig.__struct_fields__
#: Keys with a few possible values.
CHOICES: Final[dict[str, tuple[str, ...]]] = {"log": get_args(LogFormat), "log_level": get_args(LogLevel)}
#: How msgspec calls what a value is, and how people do.
_KINDS: Final = {
    "array": 'a list, such as ["…"]',
    "bool": "true or false",
    "float": "a number",
    "int": "a number",
    "object": "a table",
    "str": "text in quotes",
}
#: Whose values are paths, or begin with one.
_PATHS: Final = ("topic_key_file", "key", "web_token_file")


@dataclass(frozen=True, slots=True)
class Settings:
    """A configuration, and where each of its values stands.

    Attributes:
        config: the values. Paths are absolute, or as good as that.
        file: the configuration file; None: there is none.
        places: of each key that was given, where; for messages.
        folder: where the names in `machines` are looked for, if the file gave them.
    """

    config: PeerConfig
    file: Path | None
    places: Mapping[str, str]
    folder: Path

    @contextmanager
    def blame(self, key: str) -> Iterator[None]:
        """Say of whatever is wrong inside that it is this key's fault."""
        try:
            yield
        except (AsyncMachineError, ValueError, OSError) as error:
            if isinstance(error, ConfigError):
                raise
            told = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.strerror else error
            raise ConfigError(f"{self.places.get(key, key)}: {told}") from error

    def check(self, key: str, parse: Callable[[str], T]) -> list[T]:
        """Return each value of a key as a function reads it; its refusal names the place."""
        value = getattr(self.config, key)
        values = [] if value is None else [value] if isinstance(value, str) else value
        with self.blame(key):
            return [parse(each) for each in values]

    @property
    def topic(self) -> str:
        """The topic.

        Raises:
            ConfigError: none is given.
        """
        if not self.config.topic:
            file = self.file.name if self.file is not None else "the configuration"
            raise ConfigError(f'no topic is given: write --topic NAME, or topic = "NAME" in {file}')
        return self.config.topic

    @property
    def topic_key(self) -> bytes:
        """The secret of the topic; empty: there is none.

        Raises:
            ConfigError: its file cannot be used.
        """
        return next(iter(self.check("topic_key_file", read_topic_key)), b"")

    def check_values(self) -> None:
        """Read all values that can be read without a network.

        Raises:
            ConfigError: one cannot be used. Says where it stands.
        """
        _ = self.topic, self.topic_key, self.metrics_address, self.web_token
        if self.history_url is not None:
            from history import open_store

            with self.blame("history"):
                open_store(self.history_url).close()
        for key in ("observe", "beliefs"):
            if getattr(self.config, key) and self.history_url is None:
                raise ConfigError(f"{self.places[key]}: there is no history to keep it in: give one (history)")

    def check_network(self) -> None:
        """Read the key, if it is there, and all addresses and peer ids. Imports libp2p.

        Raises:
            ConfigError: one cannot be used. Says where it stands.
        """
        from pubsub.keys import read_identity
        from pubsub.names import owner_of
        from pubsub.transport.addresses import parse_announced, parse_listen, parse_peer

        for identity in self.check("key", lambda name: read_identity(Path(name)) if Path(name).exists() else None):
            if identity is not None:
                self.check("announce", partial(parse_announced, owner=identity.owner))
        self.check("listen", parse_listen)
        self.check("connect", parse_peer)
        self.check("allow", owner_of)

    @property
    def history_url(self) -> str | None:
        """The URL of the history; None: there is none."""
        url = self.config.history
        if url is None or "://" in url or url == "memory:":
            return url
        return f"sqlite:///{url}"

    @property
    def metrics_address(self) -> tuple[str, int] | None:
        """Host and port where metrics are served; None: nowhere.

        Raises:
            ConfigError: it is no address.
        """
        return next(iter(self.check("metrics", parse_address)), None)

    @property
    def web_address(self) -> tuple[str, int] | None:
        """Host and port where the page is served; None: nowhere.

        Raises:
            ConfigError: it is no address.
        """
        return next(iter(self.check("web", parse_address)), None)

    @property
    def web_token(self) -> str | None:
        """The token that the page asks for; None: there is no page, or it is on loopback and asks for none.

        Raises:
            ConfigError: the page can be seen by others and has none, or it cannot be used.
        """
        if self.web_address is None:
            if self.config.web_token_file is not None:
                raise ConfigError(f"{self.places['web_token_file']}: there is no page that would ask for it (web)")
            return None
        from asyncmachine.web.guard import token_for

        with self.blame("web_token_file" if self.config.web_token_file is not None else "web"):
            return token_for(self.web_address[0], self.config.web_token_file)


def read_config(path: Path) -> Settings:
    """Return what a configuration file says.

    Raises:
        ConfigError: it cannot be read, or says what cannot be. Names the file, the line and the key.
    """
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text)
        config = msgspec.convert(values, PeerConfig)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is no UTF-8 text, and so no TOML") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}{_syntax(str(error))}") from error
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(path, text, str(error))) from error
    places = {key: f"{_at(path, text, key)}: {key}" for key in values}
    folder = path.absolute().parent
    moved: dict[str, Any] = {key: _beside(folder, value) for key in _PATHS if (value := getattr(config, key))}
    if config.history is not None:
        moved["history"] = _history_beside(folder, config.history)
    return Settings(msgspec.structs.replace(config, **moved), path, places, folder)


def settings_of(path: Path | None, options: Mapping[str, Any]) -> Settings:
    """Return what a configuration file and options say together; the options win.

    Args:
        path: of the file; None: there is none.
        options: by the name of the key. Those that are None, empty or False were not given.
    """
    base = read_config(path) if path is not None else Settings(PeerConfig(), None, {}, Path.cwd())
    given = {key: value for key, value in options.items() if value}
    for key in ("listen", "connect", "announce", "allow", "machines"):
        if key in given:
            given[key] = list(given[key])
    if not given:
        return base
    places = dict(base.places) | {key: _option(key) for key in given}
    folder = Path.cwd() if "machines" in given else base.folder
    return Settings(msgspec.structs.replace(base.config, **given), base.file, places, folder)


# -- values


def read_topic_key(name: str) -> bytes:
    """Return the secret in a file, without the end of the line.

    Raises:
        ConfigError: others can read it, it is empty or too long.
    """
    path = Path(name).expanduser()
    mode = path.stat().st_mode
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ValueError(f"others can read {path} (mode {mode & 0o777:04o}): chmod 600 {path}")
    secret = path.read_bytes().rstrip(b"\r\n")
    if not 0 < len(secret) <= MAX_TOPIC_KEY:
        raise ValueError(
            f"a topic's key has 1 to {MAX_TOPIC_KEY} bytes, {path} holds {len(secret)}: am key new --topic makes one"
        )
    return secret


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``, ``[HOST]:PORT`` or ``PORT``; without a host, of loopback.

    Raises:
        ValueError: it is none of these.
    """
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) > 65535 or (":" in host and host[:1] != "["):
        raise ValueError(f"{text!r} is no address: write HOST:PORT, such as 127.0.0.1:9464")
    return host.strip("[]") or "127.0.0.1", int(port)


# -- where it stands


def _explain(path: Path, text: str, message: str) -> str:
    """Return what is wrong with a key, from what msgspec says of it: ``Expected `int`, got `str` - at `$.key[0]```."""
    problem, _, place = message.partition(" - at ")
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", problem)
    if unknown:
        key = unknown[1]
        return f"{_at(path, text, key)}: there is no key {key!r}{did_you_mean(key, KEYS)}"
    key = (re.findall(r"\w+", place) or ["?"])[0]
    mistyped = re.fullmatch(r"Expected `([^`]*)`, got `([^`]*)`", problem)
    if mistyped:
        wanted, got = (
            " or ".join(_KINDS.get(kind, kind) for kind in kinds.split(" | ") if kind != "null")
            for kinds in mistyped.groups()
        )
        problem = f"it should be {wanted}, and is {got}"
    elif key in CHOICES:
        problem = f"it should be one of {', '.join(CHOICES[key])}"
    return f"{_at(path, text, key)}: {key}: {problem}"


def _at(path: Path, text: str, key: str) -> str:
    """Return the file, and the line in which a key, or a table of its name, begins."""
    begin = re.compile(rf"""\s*(?:\[+\s*)?["']?{re.escape(key)}["']?\s*[=.\]]""")
    for number, line in enumerate(text.splitlines(), 1):
        if begin.match(line):
            return f"{path}, line {number}"
    return str(path)


def _syntax(message: str) -> str:
    """Return what is wrong with the text, from what tomllib says: ``… (at line 3, column 5)``."""
    found = re.fullmatch(r"(.*) \(at (line \d+), (column \d+)\)", message)
    return f", {found[2]}, {found[3]}: {found[1]}" if found else f": {message}"


def _option(key: str) -> str:
    return "FILE.py:NAME" if key == "machines" else f"--{key.replace('_', '-')}"


def _beside(folder: Path, name: str) -> str:
    return str(folder / Path(name).expanduser())


def _history_beside(folder: Path, url: str) -> str:
    if "://" not in url and url != "memory:":
        return _beside(folder, url)
    scheme, _, rest = url.partition(":///")
    if scheme.startswith("sqlite") and rest and not rest.startswith((":memory:", "file:")):
        return f"{scheme}:///{_beside(folder, rest)}"
    return url
