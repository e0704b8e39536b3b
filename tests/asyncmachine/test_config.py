"""Configurations: what they say, and how a wrong one is told: file, line, key, and the way out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from asyncmachine.config import KEYS, PeerConfig, Settings, parse_address, read_config, read_topic_key, settings_of
from asyncmachine.errors import ConfigError

ROOT = Path(__file__).parents[2]


def written(folder: Path, text: str) -> Path:
    path = folder / "peer.toml"
    path.write_text(text)
    return path


def test_a_configuration_is_what_the_file_says_and_defaults_for_the_rest(tmp_path: Path) -> None:
    settings = read_config(written(tmp_path, 'topic = "house"\nmdns = true\nconnect = ["/ip4/1.2.3.4/tcp/1"]\n'))
    assert settings.config == PeerConfig(topic="house", mdns=True, connect=["/ip4/1.2.3.4/tcp/1"])
    assert settings.topic == "house"
    assert settings.topic_key == b""
    assert settings.metrics_address is None
    assert settings.history_url is None


def test_what_a_file_names_is_looked_for_beside_the_file(tmp_path: Path) -> None:
    text = 'topic = "x"\nkey = "door.key"\ntopic_key_file = "/etc/topic.key"\nhistory = "h.db"\n'
    settings = read_config(written(tmp_path, text))
    assert settings.config.key == str(tmp_path / "door.key")
    assert settings.config.topic_key_file == "/etc/topic.key"
    assert settings.history_url == f"sqlite:///{tmp_path / 'h.db'}"
    assert settings.folder == tmp_path


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("sqlite:///h.db", "sqlite:///{}/h.db"),
        ("sqlite:////var/h.db", "sqlite:////var/h.db"),
        ("sqlite://", "sqlite://"),
        ("memory:", "memory:"),
        ("postgresql+psycopg://me@host/name", "postgresql+psycopg://me@host/name"),
    ],
)
def test_the_url_of_a_history_may_be_a_relative_one(given: str, url: str, tmp_path: Path) -> None:
    settings = read_config(written(tmp_path, f'topic = "x"\nhistory = "{given}"\n'))
    assert settings.history_url == url.format(tmp_path)


WRONG = [
    ('topic = "x"\nkee = "k"\n', "line 2: there is no key 'kee' — did you mean 'key'?"),
    ('topic = "x"\n\n[peer]\nkey = "k"\n', "line 3: there is no key 'peer'; there are: topic, "),
    ('topic = "x"\nlisten = "/ip4/127.0.0.1/tcp/0"\n', 'line 2: listen: it should be a list, such as ["…"], and is'),
    ('topic = "x"\n  machines=[\n  3]\n', "line 2: machines: it should be text in quotes, and is a number"),
    ("topic = 4\n", "line 1: topic: it should be text in quotes, and is a number"),
    ('topic = "x"\n"mdns" = "yes"\n', "line 2: mdns: it should be true or false, and is text in quotes"),
    ('topic = "x"\nlog = "xml"\n', "line 2: log: it should be one of text, json"),
    ('topic = "x"\nlog_level = "loud"\n', "line 2: log_level: it should be one of debug, info, warning, error"),
    ("topic = x\n", "line 1, column 9: "),
    ('topic = "x"\ntopic = "y"\n', ": "),
]


@pytest.mark.parametrize(("text", "told"), WRONG, ids=[text for text, _ in WRONG])
def test_a_wrong_file_is_told_with_line_and_key(text: str, told: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        read_config(path)
    assert str(error.value).startswith(str(path))
    assert told in str(error.value)


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"peer\.toml: cannot be read: No such file"):
        read_config(tmp_path / "peer.toml")
    (tmp_path / "peer.toml").write_bytes(b"topic = \xff")
    with pytest.raises(ConfigError, match="is no UTF-8 text"):
        read_config(tmp_path / "peer.toml")


VALUES = [
    ('metrics = "here"', "'here' is no address: write HOST:PORT"),
    ('metrics = "127.0.0.1:99999"', "is no address"),
    ('topic_key_file = "no"', "No such file or directory: "),
    ('history = "mysql://x/y"', "only sqlite and postgresql are known"),
    ('history = "://"', "is no database URL"),
    ("observe = true", "there is no history to keep it in"),
]


@pytest.mark.parametrize(("line", "told"), VALUES, ids=[line for line, _ in VALUES])
def test_a_wrong_value_is_told_with_its_line(line: str, told: str, tmp_path: Path) -> None:
    settings = read_config(written(tmp_path, f'topic = "x"\n\n{line}\n'))
    with pytest.raises(ConfigError) as error:
        settings.check_values()
    assert str(error.value).startswith(f"{tmp_path / 'peer.toml'}, line 3: {line.split()[0]}: ")
    assert told in str(error.value)


NETWORK = [
    ('listen = ["/ip4/127.0.0.1/udp/0"]', "give an IP address and a TCP port"),
    ('connect = ["/ip4/127.0.0.1/tcp/4001"]', "add /p2p/ and the peer's id"),
    ('allow = ["me"]', "is no peer id"),
]


@pytest.mark.parametrize(("line", "told"), NETWORK, ids=[line for line, _ in NETWORK])
def test_a_wrong_address_is_told_with_its_line(line: str, told: str, tmp_path: Path) -> None:
    settings = read_config(written(tmp_path, f'topic = "x"\n{line}\n'))
    with pytest.raises(ConfigError, match=re.escape(told)) as error:
        settings.check_network()
    assert f"line 2: {line.split()[0]}: " in str(error.value)


def test_a_key_that_others_can_read_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "door.key").write_text("0" * 64)
    (tmp_path / "door.key").chmod(0o644)
    settings = read_config(written(tmp_path, 'topic = "x"\nkey = "door.key"\n'))
    with pytest.raises(ConfigError, match=r"line 2: key: others can read .*: chmod 600"):
        settings.check_network()


def test_reading_a_configuration_makes_no_key(tmp_path: Path) -> None:
    read_config(written(tmp_path, 'topic = "x"\nkey = "door.key"\n')).check_network()
    assert not (tmp_path / "door.key").exists()


def test_options_win_over_the_file_and_are_blamed_by_their_names(tmp_path: Path) -> None:
    path = written(tmp_path, 'topic = "x"\nmetrics = "1"\nlog = "json"\n')
    settings = settings_of(path, {"topic": "y", "metrics": "here", "log": None, "listen": ("/a", "/b"), "mdns": False})
    assert settings.topic == "y"
    assert settings.config.log == "json"
    assert settings.config.listen == ["/a", "/b"]
    with pytest.raises(ConfigError, match=r"^--metrics: 'here' is no address"):
        settings.check_values()
    with pytest.raises(ConfigError, match=r"^--listen: '/a' is no multiaddr"):
        settings.check_network()


def test_machines_of_the_command_line_are_looked_for_in_the_working_directory(tmp_path: Path) -> None:
    path = written(tmp_path, 'topic = "x"\nmachines = ["a.py:b"]\n')
    assert settings_of(path, {}).folder == tmp_path
    given = settings_of(path, {"machines": ["c.py:d"]})
    assert (given.folder, given.config.machines) == (Path.cwd(), ["c.py:d"])


@pytest.mark.parametrize("options", [{}, {"topic": ""}])
def test_without_a_topic_both_ways_to_give_one_are_told(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match='write --topic NAME, or topic = "NAME"'):
        settings_of(None, options).check_values()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        (":9464", ("127.0.0.1", 9464)),
        ("9464", ("127.0.0.1", 9464)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("[::1]:9464", ("::1", 9464)),
        ("localhost:80", ("localhost", 80)),
    ],
)
def test_metrics_are_on_loopback_unless_another_host_is_named(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "host", "host:", "host:port", "::1:80", "1:65536", "1:-1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no address: write HOST:PORT"):
        parse_address(text)


def test_the_secret_of_a_topic_is_what_its_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "topic.key"
    path.write_bytes(b"open sesame\n")
    path.chmod(0o600)
    assert read_topic_key(str(path)) == b"open sesame"
    path.chmod(0o640)
    with pytest.raises(ValueError, match=r"others can read .* \(mode 0640\): chmod 600"):
        read_topic_key(str(path))


@pytest.mark.parametrize("secret", [b"", b"\n", b"x" * 65])
def test_a_secret_of_a_topic_is_neither_empty_nor_too_long(secret: bytes, tmp_path: Path) -> None:
    path = tmp_path / "topic.key"
    path.write_bytes(secret)
    path.chmod(0o600)
    with pytest.raises(ValueError, match="1 to 64 bytes"):
        read_topic_key(str(path))


def test_the_example_is_a_good_configuration() -> None:
    settings = read_config(ROOT / "examples" / "house.toml")
    settings.check_values()
    settings.check_network()


def test_every_key_is_a_line_of_the_guide() -> None:
    page = (ROOT / "docs" / "am.md").read_text(encoding="utf-8")
    table = page[page.index("## Configuration") : page.index("## ", page.index("## Configuration") + 3)]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(KEYS)


def test_an_error_that_is_told_already_is_not_told_twice(tmp_path: Path) -> None:
    settings = Settings(PeerConfig(), None, {"key": "there"}, tmp_path)
    with pytest.raises(ConfigError, match=r"^once$"), settings.blame("key"):
        raise ConfigError("once")
