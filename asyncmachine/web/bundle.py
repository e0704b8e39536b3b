"""The modules and the style sheets of the page in one piece each, as they are sent; at their own addresses they stay.

Forty files are forty requests, and on a busy computer each waits for its turn in three processes. So what is asked for
by the page is put together here: each module becomes a function that is called once, in the order in which modules need
each other, and returns what it exports. For that they keep to a few forms of `import` and `export`, each from the
beginning of a line; for any other form there is an error, which a test would show.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Final

MAIN: Final = "js/main.js"
WHOLE_SCRIPT: Final = "js/whole.js"
WHOLE_STYLE: Final = "css/whole.css"

_IMPORT: Final = re.compile(
    r'^import (?:(?P<default>\w+)|\{(?P<names>[^}]*)\}) from "(?P<path>\.[^"]+)";$', re.MULTILINE
)
_EXPORT: Final = re.compile(r"^export (?P<kind>const|class|function|async function) (?P<name>\w+)", re.MULTILINE)
_NOTHING: Final = re.compile(r"^export \{\};$", re.MULTILINE)
_OTHER: Final = re.compile(r"^(?:import|export|await)\b.*|.*\bimport\.meta\b.*", re.MULTILINE)
_PRELOAD: Final = re.compile(r' *<link rel="modulepreload" href="/static/js/[^"]+" />\n')
_STYLE: Final = re.compile(r' *<link rel="stylesheet" href="/static/([^"]+)"[^>]*>\n')


class BundleError(ValueError):
    """Report a module that cannot be put together with others."""


def script(files: Mapping[str, str], main: str = MAIN) -> str:
    """Return a module and all that it imports as one module. What is below ``vendor/`` is imported as it is.

    Raises:
        BundleError: a module has a form that is not known here, or needs itself.
    """
    done: dict[str, str] = {}  # by path, in order
    vendor: dict[str, None] = {}

    def add(path: str, way: tuple[str, ...]) -> str:
        if path in way:
            raise BundleError(f"{' -> '.join((*way, path))}: modules that need each other cannot be put in an order")
        name = re.sub(r"\W", "_", path)
        if path in done:
            return name
        if path not in files:
            raise BundleError(f"{way[-1] if way else path} imports {path}, which is not there")

        def imported(found: re.Match[str]) -> str:
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), found["path"]))
            if target.startswith("vendor/"):
                address = posixpath.relpath(target, posixpath.dirname(main))
                vendor[f'import {found["default"]} from "{address}";'] = None
                return ""
            names = re.sub(r"(\w+) as (\w+)", r"\1: \2", found["names"] or "")
            return f"const {{{names}}} = {add(target, (*way, path))};"

        text = _IMPORT.sub(imported, files[path])
        names = [found["name"] for found in _EXPORT.finditer(text)]
        text = _NOTHING.sub("", _EXPORT.sub(r"\g<kind> \g<name>", text))
        if other := _OTHER.search(text):
            raise BundleError(f"{path}: a form that is not known in {__name__}: {other[0]}")
        done[path] = f"// {path}\nconst {name} = (() => {{\n{text.rstrip()}\nreturn {{ {', '.join(names)} }};\n}})();\n"
        return name

    add(main, ())
    return "\n".join((*vendor, *done.values()))


def style(files: Mapping[str, str], index: str) -> str:
    """Return all style sheets of a page as one, in their order."""
    return "\n".join(files[path] for path in _STYLE.findall(index))


def shortened(index: str) -> str:
    """Return the page with one script and one style sheet, in the place of the last one that has an id."""
    sheets = list(_STYLE.finditer(index))
    kept = next((sheet for sheet in sheets if " id=" in sheet[0]), sheets[0])
    for sheet in sheets:
        line = sheet[0].replace(sheet[1], WHOLE_STYLE) if sheet is kept else ""
        index = index.replace(sheet[0], line)
    return _PRELOAD.sub("", index).replace(f"/static/{MAIN}", f"/static/{WHOLE_SCRIPT}")
