"""The files of the page: kept by browsers for as long as they are what they were, and sent as small as is of use."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from asyncmachine.web.app import STATIC
from asyncmachine.web.files import Files
from tests.asyncmachine.web_house import Asker, a_house, page_of

NOW = "no-cache"
FOR_EVER = "private, max-age=31536000, immutable"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Asker]:
    async with a_house(tmp_path) as store:
        yield Asker(page_of(store))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    folder = tmp_path / "static"
    (folder / "js").mkdir(parents=True)
    (folder / "index.html").write_text('<script src="/static/js/main.js"></script>')
    (folder / "js" / "main.js").write_text("// " + "much the same, " * 200 + "\nexport default 1;\n")
    (folder / "js" / "tiny.js").write_text("1;")
    return Files(folder).read()


async def test_the_page_names_files_that_never_change(house: Asker) -> None:
    page = await house.send("/")
    assert page.headers["cache-control"] == NOW
    assert page.headers["content-type"].startswith("text/html")
    assert page.text != (STATIC / "index.html").read_text(encoding="utf-8")
    named = re.findall(r'"(/static/[^"]+)"', page.text)
    assert len(named) == 6
    for path in named:
        file = await house.send(path)
        assert file.status_code == 200, path
        assert file.headers["cache-control"] == FOR_EVER
        if "whole" not in path:
            assert file.content == (STATIC / path.split("/", 3)[3]).read_bytes()


def test_what_cannot_be_put_together_is_served_in_many_files(files: Files) -> None:
    assert f'"/static/{files.version}/js/main.js"'.encode() in files.index().body
    assert files.get("js/whole.js") is None


async def test_without_a_version_it_is_always_asked_whether_it_is_still_the_same(house: Asker) -> None:
    for path in ("/", "/static/js/main.js", "/static/0123456789abcdef01234567/js/main.js"):
        first = await house.send(path)
        assert (first.status_code, first.headers["cache-control"]) == (200, NOW)
        for told in (first.headers["etag"], f'"x", W/{first.headers["etag"]}', "*"):
            again = await house.send(path, headers={"if-none-match": told})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == first.headers["etag"]
        assert (await house.send(path, headers={"if-none-match": '"x"'})).status_code == 200


async def test_files_have_the_type_that_browsers_insist_on(house: Asker) -> None:
    for path, kind in {
        "js/main.js": "text/javascript",
        "vendor/cytoscape/cytoscape.esm.min.mjs": "text/javascript",
        "css/theme.css": "text/css",
        "icon.svg": "image/svg+xml",
        "vendor/README.md": "text/plain",
    }.items():
        assert (await house.send(f"/static/{path}")).headers["content-type"].startswith(kind)
    assert (await house.send("/static/js/main.js", "HEAD")).status_code == 200
    assert (await house.send("/static/js/main.js", "POST")).status_code == 405


async def test_files_are_compressed_for_who_can_read_it(house: Asker) -> None:
    path = "/static/js/main.js"
    plain = await house.send(path, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    for accepted in ("gzip", "br;q=1, gzip;q=0.5", "*"):
        packed = await house.send(path, headers={"accept-encoding": accepted})
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.content == plain.content  # httpx has unpacked it
        assert packed.headers["etag"] != plain.headers["etag"]
        assert packed.headers["vary"] == "accept-encoding"
    for refused in ("gzip;q=0", "br"):
        response = await house.send(path, headers={"accept-encoding": refused})
        assert "content-encoding" not in response.headers


def test_what_has_changed_has_another_version(files: Files, tmp_path: Path) -> None:
    before, index = files.version, files.index()
    assert f'"/static/{before}/js/main.js"'.encode() in index.body
    found = files.get(f"{before}/js/main.js")
    assert found is not None
    assert found[1] is True
    assert gzip.decompress(found[0].packed) == found[0].body
    tiny = files.get("js/tiny.js")
    assert tiny is not None
    assert (tiny[0].packed, tiny[1]) == (b"", False)
    assert files.read().version == before
    main = tmp_path / "static" / "js" / "main.js"
    main.write_text("other")
    os.utime(main, ns=(1, 1))
    assert files.read().version != before
    late = files.get(f"{before}/js/main.js")
    assert late is not None
    assert (late[0].body, late[1]) == (b"other", False)  # better than nothing, and not to be kept
    assert files.index().tag != index.tag


def test_only_what_is_in_the_folder_is_there(files: Files, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    for path in ("../secret", "js/../../secret", f"{files.version}/../secret", "", "js", "js/", "index.html", "/"):
        assert files.get(path) is None, path


async def test_answers_are_compressed_for_who_is_far_away_only(house: Asker) -> None:
    async def ask(host: str, accepted: str, path: str = "/api/network") -> httpx.Response:
        transport = httpx.ASGITransport(app=house.page.asgi, client=(host, 1234))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get(path, headers={"accept-encoding": accepted})

    near = await ask("127.0.0.1", "gzip")
    assert "content-encoding" not in near.headers
    far: Any = await ask("192.0.2.7", "gzip")
    if len(near.content) > 1000:
        assert far.headers["content-encoding"] == "gzip"
        assert far.headers["vary"] == "accept-encoding"
    assert far.content == near.content
    assert "content-encoding" not in (await ask("192.0.2.7", "identity")).headers
    assert "content-encoding" not in (await ask("192.0.2.7", "gzip", "/api/health")).headers
