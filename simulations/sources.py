"""The code that decides what a run does, as one short name: an outcome of other code is not taken for one of this.

    code() -> "3f9c02d1a4b7e655"

It is a hash of `simulations.experiment`, of what that imports from machine, pubsub and simulations, and so on. What
does not run, such as the pages and reports that are made from outcomes, is not in it; and neither are comments,
docstrings and layout, since only what Python makes of a file is hashed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path

from simulations.errors import SetupError

PACKAGES = ("machine", "pubsub", "simulations")
ROOT = "simulations.experiment"  # what runs


@cache
def code() -> str:
    """Return the name of the code that this process has, or would import now.

    Raises:
        SetupError: its sources cannot be read.
    """
    return code_now()


def code_now() -> str:
    """Return the name of the code that the files hold now; they may have changed since this process imported them.

    Raises:
        SetupError: they cannot be read.
    """
    return code_of({package: _folder(package) for package in PACKAGES}, ROOT)


def code_of(folders: dict[str, Path], root: str) -> str:
    """Return the name of a module and of all that it imports, from packages in these folders.

    Raises:
        SetupError: a file cannot be read.
    """
    trees: dict[str, ast.Module] = {}
    waiting = [root]
    while waiting:
        name = waiting.pop()
        path = None if name in trees else _file_of(name, folders)
        if path is not None:
            tree = trees[name] = _parsed(path)
            waiting += [name.rpartition(".")[0], *_imported(tree)]
    digest = blake2b(digest_size=8)
    for name in sorted(trees):
        digest.update(f"{name}\n{ast.dump(trees[name], annotate_fields=False)}\n".encode())
    return digest.hexdigest()


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise SetupError(f"the sources of {package} are not to be found, so nobody can tell which outcomes are of them")
    return Path(spec.origin).parent


def _file_of(name: str, folders: dict[str, Path]) -> Path | None:
    """Return where a module is; None: in none of the packages, or it is no module but a name from one."""
    package, *inner = name.split(".")
    if package not in folders:
        return None
    at = folders[package].joinpath(*inner)
    return next((path for path in (at / "__init__.py", at.with_suffix(".py")) if path.is_file()), None)


def _parsed(path: Path) -> ast.Module:
    """Return what a file says, without its docstrings."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError) as error:
        raise SetupError(f"{path} cannot be read: {error}") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [said for said in node.body if not _is_text(said)]
    return tree


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _imported(tree: ast.Module) -> Iterator[str]:
    """Yield the names of modules that may be imported; of `from a import b` a.b, too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
            yield node.module
            yield from [f"{node.module}.{alias.name}" for alias in node.names]


__all__ = ["code", "code_now", "code_of"]
