"""Who may ask: names of this computer, the token, and no page of somebody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from asyncmachine.web.app import Page
from asyncmachine.web.guard import COOKIE, VARIABLE, TokenError, token_for
from asyncmachine.web.source import Source
from tests.asyncmachine.web_house import Asker, a_house, page_of

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8321", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:8321", 200),
        ("evil.example:8321", 403),
        ("127.0.0.1.evil.example", 403),
        ("127.0.0.2", 403),
        ("[::1].evil.example", 403),
        ("127.0.0.1:8321.evil.example", 403),
        ("", 403),
    ],
)
async def test_a_name_that_others_can_own_is_refused_on_loopback(tmp_path: Path, host: str, status: int) -> None:
    async with a_house(tmp_path) as store:
        found = await Asker(page_of(store), host=host).send("/api/info")
    assert found.status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),  # there is no file in it
        ({"origin": "http://127.0.0.1:8321"}, 400),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 400),
    ],
)
async def test_a_file_comes_from_the_page_itself(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    async with a_house(tmp_path) as store:
        found = await Asker(page_of(store)).send("/api/open", "POST", headers=headers)
    assert found.status_code == status


async def test_a_token_is_asked_for_everywhere(tmp_path: Path) -> None:
    async with a_house(tmp_path) as store:
        page = Page(Source(store, mode="history", title="house"), token=TOKEN)
        ask = Asker(page, host="192.0.2.7:8321")
        for path in ("/", "/api/info", "/api/feed", "/api/export", "/openapi.json", "/static/index.html", "/nowhere"):
            response = await ask.send(path)
            assert (response.status_code, response.headers["www-authenticate"][:6]) == (401, "Bearer")
            assert TOKEN not in response.text
        for value in ("", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "é" * 16, "' OR 1=1 --"):
            header = f"Bearer {value}".encode()
            assert (await ask.send("/api/info", headers={"authorization": header})).status_code == 401
            assert (await ask.send("/api/info", headers={"cookie": f"{COOKIE}={value}".encode()})).status_code == 401
            assert (await ask.send("/", params={"token": value})).status_code == 401
        # an address is kept in histories and logs: there it counts on the way in only
        assert (await ask.send("/api/info", params={"token": TOKEN})).status_code == 401
        assert (await ask.send("/api/info", headers={"authorization": f"bearer {TOKEN}"})).status_code == 200
        let_in = await ask.send("/", params={"token": TOKEN})
        assert (let_in.status_code, let_in.headers["location"]) == (303, "/")
        cookie = let_in.headers["set-cookie"]
        assert cookie == f"{COOKIE}={TOKEN}; Path=/; HttpOnly; SameSite=Strict"
        assert (await ask.send("/api/info", headers={"cookie": f"a=b; {COOKIE}={TOKEN}"})).status_code == 200
        assert (await ask.send("/", headers={"cookie": f"{COOKIE}={TOKEN}"})).status_code == 200


def test_a_page_that_others_can_reach_needs_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    file = tmp_path / "token"
    for host in ("127.0.0.1", "::1", "localhost", "127.1.2.3"):
        assert token_for(host, None) is None
    for host in ("0.0.0.0", "::", "192.0.2.7", "example.org"):
        with pytest.raises(TokenError, match=r"can be seen by others, and needs a token: name a file with one"):
            token_for(host, None)
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o644)
    with pytest.raises(TokenError, match=r"others can read .*: chmod 600"):
        token_for("0.0.0.0", str(file))
    file.chmod(0o600)
    assert token_for("0.0.0.0", str(file)) == token_for("127.0.0.1", str(file)) == TOKEN
    for text, told in (("", "is empty"), ("short", "16 characters or more"), ("with a space in it", "cannot be used")):
        file.write_text(text)
        with pytest.raises(TokenError, match=told):
            token_for("127.0.0.1", str(file))
    with pytest.raises(TokenError, match=r"No such file"):
        token_for("127.0.0.1", str(tmp_path / "none"))
    monkeypatch.setenv(VARIABLE, TOKEN)
    assert token_for("0.0.0.0", None) == TOKEN
