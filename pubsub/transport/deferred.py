"""Modules that are loaded when somebody uses them, not when somebody imports them.

libp2p imports two clients of HTTP, for certificates that no peer here asks for: 11 MB and 0.1 s. `defer` puts a module
into `sys.modules` that is empty until the first look at what it defines. So it changes nothing for whoever needs it,
now or later. Who imports a module inside of such a package looks for the package's path: that runs it, and what it has
loaded by then is not loaded again.

The `LazyLoader` of the standard library is of no use for this: its module is loaded by a plain `import` of it, which
looks at its `__spec__` (CPython 3.11).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any


class Deferred(ModuleType):
    """A module that has not been run yet."""

    def __getattr__(self, name: str) -> Any:
        """Run the module, and return what it defines by this name."""
        spec = self.__spec__
        assert spec is not None
        assert spec.loader is not None
        self.__class__ = ModuleType  # type: ignore[assignment]  # first: while it runs, it looks at itself
        if spec.submodule_search_locations is not None:
            self.__path__ = spec.submodule_search_locations
        try:
            spec.loader.exec_module(self)
        except BaseException:
            sys.modules.pop(spec.name, None)  # as any import that fails: the next one tries again
            raise
        return getattr(self, name)


class LoadedAlready(MetaPathFinder, Loader):
    """Finds modules of deferred packages that are there already, since their package was run on the way to them."""

    def __init__(self, names: Sequence[str]) -> None:
        self._inside = tuple(f"{name}." for name in names)
        self._specs: dict[str, ModuleSpec | None] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec that leads to the module as it is; None: it is not there, or is to be loaded anew."""
        if target is not None or not fullname.startswith(self._inside) or fullname not in sys.modules:
            return None
        return ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module that is there."""
        module = sys.modules[spec.name]
        self._specs[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Leave it as it was."""
        module.__spec__ = self._specs.pop(module.__name__)


def defer(*names: str) -> None:
    """Let the next import of these top-level modules do nothing until one of them is used.

    Those that are there already, or nowhere to be found, are left as they are.
    """
    sys.meta_path.insert(0, LoadedAlready(names))
    for name in names:
        if name in sys.modules or (spec := find_spec(name)) is None or spec.loader is None:
            continue
        module = module_from_spec(spec)
        module.__class__ = Deferred
        module.__dict__.pop("__path__", None)
        sys.modules[name] = module
