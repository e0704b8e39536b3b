"""The page in one piece: what its modules are, in the order in which they need each other."""

from __future__ import annotations

import re

import pytest

from asyncmachine.web.app import STATIC
from asyncmachine.web.bundle import MAIN, WHOLE_SCRIPT, WHOLE_STYLE, BundleError, script, shortened, style

INDEX = """
    <link rel="stylesheet" href="/static/vendor/x.css" />
    <link rel="stylesheet" href="/static/css/a.css" id="odd" />
    <script type="module" src="/static/js/main.js"></script>
    <link rel="modulepreload" href="/static/vendor/big.mjs" />
    <link rel="modulepreload" href="/static/js/a.js" />
"""
FILES = {
    "js/main.js": 'import {\n  a,\n  b as c,\n} from "./a.js";\nimport big from "../vendor/big.mjs";\n\nbig(a, c);\n',
    "js/a.js": 'import { one } from "./deep.js";\nexport const a = one;\nexport function b() {}\nconst MOST = 1;\n',
    "js/deep.js": '/** See import("./types.js"). */\nexport const one = 1;\nconst MOST = 2;\nexport {};\n',
    "js/alone.js": "export default 3;\n",
    "css/a.css": "a {}",
    "vendor/x.css": "x {}",
}


def test_each_module_comes_behind_what_it_needs() -> None:
    made = script(FILES)
    assert [line for line in made.splitlines() if line.startswith("// js/")] == [
        "// js/deep.js",
        "// js/a.js",
        "// js/main.js",
    ]
    assert made.splitlines()[0] == 'import big from "../vendor/big.mjs";'
    assert "const {\n  a,\n  b: c,\n} = js_a_js;" in made
    assert "return { a, b };" in made
    assert not re.search("^export", made, re.MULTILINE)


@pytest.mark.parametrize(
    "text",
    [
        "export default 1;",
        "export let a = 1;",
        "export { a };",
        'import * as b from "./deep.js";',
        'import "./deep.js";',
        "await 1;",
        "const a = import.meta.url;",
        'import { a } from "./a.js";',
        'import { a } from "./nobody.js";',
    ],
)
def test_what_is_not_understood_is_an_error_that_names_the_module(text: str) -> None:
    with pytest.raises(BundleError, match=r"js/a\.js"):
        script({**FILES, "js/a.js": f"{text}\n"})


def test_the_page_asks_for_one_script_and_one_style_sheet() -> None:
    page = shortened(INDEX)
    assert re.findall(r'(?:href|src)="/static/([^"]+)"', page) == [WHOLE_STYLE, WHOLE_SCRIPT, "vendor/big.mjs"]
    assert f'href="/static/{WHOLE_STYLE}" id="odd"' in page
    assert style(FILES, INDEX) == "x {}\na {}"


def test_the_modules_of_the_page_can_be_put_together() -> None:
    """All of them are in it, but types, which are comments, and what is loaded before."""
    texts = {path.relative_to(STATIC).as_posix(): path.read_text(encoding="utf-8") for path in STATIC.rglob("*.js")}
    made = script(texts)
    own = {name for name in texts if name.startswith("js/")}
    there = {line.removeprefix("// ") for line in made.splitlines() if line.startswith("// js/")}
    assert own - there == {"js/types.js", "js/early.js"}
    assert MAIN in there
