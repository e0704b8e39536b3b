"""The files that the page is made of, from memory.

Below ``/static/VERSION/`` nothing ever changes: the version is made of all that is in the files. So a browser keeps
them, and when it comes again it asks for the page alone, which names the version of now. What is asked for without one
is kept too, but never used before the server has said that it is still the same.
"""

from __future__ import annotations

import gzip
import logging
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response

from asyncmachine.web import bundle

TEXTS: Final = (".css", ".html", ".js")
KINDS: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
INDEX: Final = "index.html"
NEVER: Final = "private, max-age=31536000, immutable"  # is never asked for again
ASK: Final = "no-cache"
VERSION: Final = re.compile(r"[0-9a-f]{24}", re.ASCII)
SMALL: Final = 1000  # bytes that fit into a packet or so, and are not compressed
LEVEL: Final = 1  # of what is compressed for one answer: half the time of level 6, for some more bytes

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class File:
    """A file. ``packed``: the same as gzip; empty: it is too small for that."""

    body: bytes
    packed: bytes
    tag: str
    kind: str


class Files:
    """The files below a folder; read when they are asked for first, and again when they have changed.

    Args:
        folder: that holds them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._state: tuple[tuple[str, int, int], ...] = ()
        self._files: dict[str, File] = {}
        self.version = ""

    def read(self) -> Files:
        """Read what is new; return itself. To look whether something is takes some 200 us."""
        with self._lock:
            paths = sorted(path for path in self._folder.rglob("*") if path.is_file())
            found = [(path.relative_to(self._folder).as_posix(), path.stat()) for path in paths]
            state = tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in found)
            if state != self._state:
                bodies = {name: (self._folder / name).read_bytes() for name, *_ in state}
                self.version = _sum(part for name, body in bodies.items() for part in (name.encode(), body))
                made = self._whole({name: body.decode() for name, body in bodies.items() if Path(name).suffix in TEXTS})
                self._files = {name: _file(name, body) for name, body in {**bodies, **made}.items()}
                self._state = state
        return self

    def _whole(self, texts: dict[str, str]) -> dict[str, bytes]:
        """Return the page, and what it asks for in one piece; if that cannot be made, it asks for many."""
        index = texts.get(INDEX, "")
        made: dict[str, str] = {}
        try:
            made = {bundle.WHOLE_SCRIPT: bundle.script(texts), bundle.WHOLE_STYLE: bundle.style(texts, index)}
            index = bundle.shortened(index)
        except (bundle.BundleError, LookupError) as error:
            _log.warning("the page is served in many files: %s", error)
        made[INDEX] = index.replace('"/static/', f'"/static/{self.version}/')
        return {name: text.encode() for name, text in made.items()}

    def get(self, path: str) -> tuple[File, bool] | None:
        """Return a file, and whether what is there never changes; None: there is none.

        Args:
            path: below ``/static/``, with or without the version.
        """
        first, _, rest = path.partition("/")
        name = rest if VERSION.fullmatch(first) else path
        is_fixed = first == self.version  # of an older one, what there is now is better than nothing
        found = self._files.get(name)
        return None if found is None or name == INDEX else (found, is_fixed)

    def index(self) -> File:
        """Return the page itself."""
        return self._files[INDEX]


def answer(file: File, asked: Headers, *, is_fixed: bool = False) -> Response:
    """Return a file as a response, or that it is still the same."""
    is_packed = bool(file.packed) and takes_gzip(asked)
    tag = f'"{file.tag}-gzip"' if is_packed else f'"{file.tag}"'
    headers = {"etag": tag, "cache-control": NEVER if is_fixed else ASK, "vary": "accept-encoding"}
    if _names(asked.get("if-none-match", ""), tag):
        return Response(None, 304, headers)
    if is_packed:
        headers["content-encoding"] = "gzip"
    return Response(file.packed if is_packed else file.body, 200, {**headers, "content-type": file.kind})


def takes_gzip(asked: Headers) -> bool:
    """Tell whether whoever asks can read what is compressed."""
    for one in asked.get("accept-encoding", "").split(","):
        name, _, more = one.strip().partition(";")
        if name.strip().lower() in ("gzip", "*"):
            return more.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def pack(body: bytes, level: int = LEVEL) -> bytes:
    """Compress; the same always comes to the same."""
    return gzip.compress(body, level, mtime=0)


def _names(told: str, tag: str) -> bool:
    """Tell whether an ``If-None-Match`` has a tag in it."""
    return told.strip() == "*" or tag in (one.strip().removeprefix("W/") for one in told.split(","))


def _file(name: str, body: bytes) -> File:
    packed = pack(body, 6) if len(body) > SMALL else b""
    kind = KINDS.get(Path(name).suffix, "text/plain; charset=utf-8")
    return File(body, packed, _sum([body]), kind)


def _sum(parts: Iterable[bytes]) -> str:
    made = blake2b(digest_size=12)
    for part in parts:
        made.update(len(part).to_bytes(8, "little"))
        made.update(part)
    return made.hexdigest()
