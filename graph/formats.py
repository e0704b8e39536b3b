"""What a graph can be written as, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from graph.export import to_d2, to_dot, to_graphml, to_json, to_jsonl, to_markdown, to_mermaid, to_xml
from graph.svg import to_svg
from graph.view import View

graph_formats: Mapping[str, Callable[[View], str]] = MappingProxyType(
    {
        "d2": to_d2,
        "dot": to_dot,
        "graphml": to_graphml,
        "json": to_json,
        "jsonl": to_jsonl,
        "markdown": to_markdown,
        "mermaid": to_mermaid,
        "svg": to_svg,
        "xml": to_xml,
    }
)
