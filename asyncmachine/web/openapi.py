"""The OpenAPI 3.1 document, made of the same structs that read questions and are answers."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import msgspec

import asyncmachine
from asyncmachine.web import answers, asked, feed
from asyncmachine.web.questions import QUESTIONS

REF: Final = "#/components/schemas/{name}"
WRONG: Final = {
    "400": "The question cannot be answered as it was asked; what would work.",
    "401": "A token is needed.",
    "403": "Asked from another site, or by a name that is not this computer's.",
    "404": "There is no such machine, owner, graph or window.",
    "410": "Retention has let that moment go.",
    "413": "Too much for one file.",
    "429": "Too many pages follow already.",
    "503": "The database cannot be read just now.",
}


@lru_cache(maxsize=1)
def document() -> bytes:
    """Return the document as JSON."""
    infos: list[tuple[str, type[asked.Ask], type[answers.Answer]]]
    infos = [("info", asked.AskInfo, answers.Info), *((q.path, q.asked, q.answer) for q in QUESTIONS)]
    kinds = [kind for _, _, kind in infos] + [answers.Wrong, answers.Opened, answers.Health, *feed.EVENTS.values()]
    _, components = msgspec.json.schema_components(kinds, ref_template=REF)
    paths: dict[str, Any] = {
        f"/api/{path}": {"get": _operation(path, ask, _json(kind), ("400", "404", "410", "503"))}
        for path, ask, kind in infos
    }
    binary = {"application/vnd.sqlite3": {"schema": {"type": "string", "format": "binary"}}}
    file = {"application/json": {"schema": {"type": "object"}}, **binary}
    paths["/api/export"] = {
        "get": _operation("export", asked.AskExport, file, ("400", "404", "410", "413", "503")),
    }
    body = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}, **binary}}
    opened = _operation("open", asked.Ask, _json(answers.Opened), ("400", "403", "413"))
    opened |= {"requestBody": body, "summary": "Open a file that export gave; ask about it with window=."}
    paths["/api/open"] = {"post": opened}
    events = ", ".join(feed.EVENTS)
    told = {
        "text/event-stream": {"schema": {"type": "string", "description": f"Events: {events}; each a JSON object."}}
    }
    paths["/api/feed"] = {"get": _operation("feed", asked.AskFeed, told, ("400", "429"))}
    paths["/api/health"] = {
        "get": _operation("health", None, _json(answers.Health), ()) | {"summary": "Tell that it is there."}
    }
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "asyncmachine: the page's questions",
                "version": asyncmachine.__version__,
                "description": "Moments are ns since 1970 as decimal text. A wrong question gets a 4xx with `error`,"
                " and `parameter` where one is to blame. A parameter that does not exist is refused.",
            },
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {
                    "bearer": {"type": "http", "scheme": "bearer", "description": "Needed beyond loopback only."}
                },
            },
            "security": [{}, {"bearer": []}],
        }
    )


def _json(kind: type[answers.Answer]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": REF.format(name=kind.__name__)}}}


def _operation(
    name: str, ask: type[asked.Ask] | None, content: dict[str, Any], statuses: tuple[str, ...]
) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": {"description": "The answer.", "content": content}}
    for status in dict.fromkeys((*statuses, "401", "403")):
        responses[status] = {"description": WRONG[status], "content": _json(answers.Wrong)}
    return {
        "operationId": name,
        "summary": (ask.__doc__ or "").strip().splitlines()[0] if ask is not None else name,
        "parameters": [] if ask is None else [_parameter(field) for field in msgspec.structs.fields(ask)],
        "responses": dict(sorted(responses.items())),
    }


def _parameter(field: msgspec.structs.FieldInfo) -> dict[str, Any]:
    schema = msgspec.json.schema(field.type)
    choices = schema.pop("anyOf", None)
    if choices is not None:  # a parameter that is left out is left out: there is no null in an address
        (kept,) = [choice for choice in choices if choice != {"type": "null"}]
        schema |= kept
    told = schema.pop("description", None)
    if field.default not in (None, msgspec.NODEFAULT):
        schema["default"] = field.default
    parameter = {"name": field.encode_name, "in": "query", "required": field.required, "schema": schema}
    return parameter if told is None else parameter | {"description": told}
