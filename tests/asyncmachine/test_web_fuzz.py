"""The HTTP interface, asked what nobody would: schemathesis makes questions of the OpenAPI document, right and wrong.

Over a real socket. There is never a 5xx; what is refused is a 4xx that says why; what is answered is what the document
says.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import msgspec
import pytest
import schemathesis
import trio
from hypothesis import HealthCheck
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from asyncmachine.web.openapi import document
from asyncmachine.web.server import bind_page, serve_page
from tests.asyncmachine.web_house import a_house, page_of

EXAMPLES = 25  # of an operation and a mode
SCHEMA = schemathesis.openapi.from_dict(msgspec.json.decode(document()))
FOUND: list[Any] = [operation.ok() for operation in SCHEMA.get_all_operations()]  # type: ignore[union-attr]
OPERATIONS = {operation.label: operation for operation in FOUND if operation.path != "/api/feed"}  # it has no end


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve a house in a thread of its own."""
    ready, over = threading.Event(), threading.Event()
    told: list[str] = []
    token: list[trio.lowlevel.TrioToken] = []
    scope = trio.CancelScope()

    async def serve(folder: Path) -> None:
        token.append(trio.lowlevel.current_trio_token())
        async with a_house(folder) as store, serve_page(bind_page(("127.0.0.1", 0)), page_of(store)) as where:
            told.append(where)
            ready.set()
            with scope:
                await trio.sleep_forever()

    def run() -> None:
        try:
            trio.run(serve, tmp_path_factory.mktemp("house"))
        finally:
            ready.set()
            over.set()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(300)
    assert told
    yield told[0]
    token[0].run_sync_soon(scope.cancel)
    thread.join(300)
    assert over.is_set()


def test_the_document_is_one_and_tells_all_paths() -> None:
    assert {operation.path for operation in OPERATIONS.values()} >= {"/api/network", "/api/open", "/api/export"}
    assert msgspec.json.decode(document())["openapi"] == "3.1.0"


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("label", list(OPERATIONS))
def test_whatever_is_asked_there_is_an_answer(url: str, label: str, mode: GenerationMode) -> None:
    operation = OPERATIONS[label]

    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    @hypothesis.settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    def ask(case: Any) -> None:
        response = case.call(base_url=url)
        assert response.status_code < 500, response.text
        if response.status_code >= 400 and response.status_code != 405:
            told = msgspec.json.decode(response.content)
            assert told["error"], response.text
        checks = [content_type_conformance, response_schema_conformance]
        if response.status_code < 400 and "/export" not in operation.path:
            case.validate_response(response, checks=checks)

    try:
        ask()
    except hypothesis.errors.Unsatisfiable:
        pytest.skip("there is nothing wrong to ask here")
