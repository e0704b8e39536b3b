"""Who may ask: the name of the host, the token, where a form comes from; and what browsers are told to refuse.

On loopback there is no token: whoever runs programs here may look. But a page of somebody else's in a browser here must
not, so the host has to be one of loopback's names, which no other page can have (DNS rebinding). Elsewhere a token is
needed; a browser gets it once as ``/?token=…`` and keeps it in a cookie that no script can read.
"""

from __future__ import annotations

import hmac
import os
import re
import stat
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from asyncmachine.web.answers import Wrong
from machine.errors import AsyncMachineError

VARIABLE: Final = "ASYNCMACHINE_WEB_TOKEN"
COOKIE: Final = "asyncmachine_token"
SHORTEST: Final = 16  # characters of a token
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")

POLICY: Final = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self';"
    " frame-ancestors 'none'"
)
HEADERS: Final = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


class TokenError(AsyncMachineError, ValueError):
    """Report a token that is missing, or cannot be used."""


Message = MutableMapping[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]


def is_loopback(host: str) -> bool:
    """Tell whether only this computer can reach what listens there."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def token_for(host: str, file: str | None) -> str | None:
    """Return the token that is to be asked for; None: none is.

    Args:
        host: where the page is served.
        file: that holds the token; None: it is in the environment, if there is one.

    Raises:
        TokenError: one is needed and none is there, or it cannot be used.
    """
    token = os.environ.get(VARIABLE) if file is None else _read(file)
    where = f"${VARIABLE}" if file is None else file
    if not token:
        if is_loopback(host) and file is None:
            return None
        if file is None:
            raise TokenError(
                f"a page on {host} can be seen by others, and needs a token:"
                f" name a file with one ({SHORTEST} characters or more, mode 0600), or set ${VARIABLE}"
            )
        raise TokenError(f"{file} is empty: it should hold a token of {SHORTEST} characters or more")
    if len(token) < SHORTEST or not token.isascii() or not token.isprintable() or set(' ",;\\') & set(token):
        raise TokenError(
            f"the token in {where} cannot be used: it should have {SHORTEST} characters or more,"
            " letters and digits, as `openssl rand -hex 24` makes them"
        )
    return token


def _read(name: str) -> str:
    path = Path(name).expanduser()
    try:
        mode = path.stat().st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise TokenError(f"others can read {path} (mode {mode & 0o777:04o}): chmod 600 {path}")
        return path.read_text(encoding="ascii").strip()
    except UnicodeDecodeError as error:
        raise TokenError(f"{path} holds no token: letters and digits are expected") from error
    except OSError as error:
        raise TokenError(f"{error.strerror}: {path}") from error


class Guard:
    """Stands before an application, and lets in who may ask.

    Args:
        app: the application.
        token: that is asked for; None: none is, and the host has to be loopback's.
    """

    def __init__(self, app: App, *, token: str | None) -> None:
        self._app = app
        self._token = token
        self.refused = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1000})
            else:
                await self._app(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        problem = self._problem(scope, headers)
        if problem is not None:
            self.refused += 1
            await _refuse(told, *problem)
            return
        if self._token is not None and scope["path"] == "/" and self._is_given(scope):
            await _let_in(told, self._token)
            return
        await self._app(scope, receive, told)

    def _problem(self, scope: Any, headers: dict[bytes, str]) -> tuple[int, str] | None:
        host = headers.get(b"host", "")
        if self._token is None and _name_of(host) not in LOOPBACK:
            return 403, f"{host[:80]!r} is no name of this computer itself: ask for http://127.0.0.1 or localhost"
        if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            origin = headers.get(b"origin")
            if origin is not None and origin.partition("://")[2] != host:
                return 403, f"{origin[:80]!r} is another site: this page is changed from itself only"
            if headers.get(b"sec-fetch-site", "same-origin") not in ("same-origin", "none"):
                return 403, "another site asks: this page is changed from itself only"
        if self._token is not None and not self._is_known(scope, headers):
            return 401, "a token is needed: open /?token=… once, or send Authorization: Bearer …"
        return None

    def _is_given(self, scope: Any) -> bool:
        query = scope.get("query_string", b"").decode("latin-1")
        return any(name == "token" and self._is_right(value) for name, value in parse_qsl(query))

    def _is_known(self, scope: Any, headers: dict[bytes, str]) -> bool:
        kind, _, value = headers.get(b"authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._is_right(value.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get(b"cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        if cookie is not None and self._is_right(cookie.value):
            return True
        return scope["path"] == "/" and self._is_given(scope)

    def _is_right(self, token: str) -> bool:
        assert self._token is not None
        return hmac.compare_digest(token.encode("utf-8", "replace"), self._token.encode())


_HOST: Final = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^:\[\]]+?)\.?)(?::\d*)?", re.IGNORECASE | re.ASCII)


def _name_of(host: str) -> str:
    """Return the host of a Host header, without the port; empty: it is none."""
    found = _HOST.fullmatch(host)
    return "" if found is None else (found[1] or found[2]).lower()


async def _refuse(send: Any, status: int, text: str) -> None:
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    if status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="asyncmachine"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": msgspec.json.encode(Wrong(error=text))})


async def _let_in(send: Any, token: str) -> None:
    """Let the browser keep the token, and forget the address that it came in."""
    cookie = f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict"
    headers = [(b"location", b"/"), (b"set-cookie", cookie.encode()), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
