"""Modules that are loaded when somebody uses them, not when somebody imports them.

libp2p imports two clients of HTTP, for certificates that no peer here asks for: 11 MB and 0.1 s. `defer` puts a module
into `sys.modules` that is empty until the first look at what it defines. So it changes nothing for whoever needs it,
now or later. The `LazyLoader` of the standard library is of no use for this: its module is loaded by a plain `import`
of it, which looks at its `__spec__` (CPython 3.11).
"""

from __future__ import annotations

import sys
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
        try:
            spec.loader.exec_module(self)
        except BaseException:
            sys.modules.pop(spec.name, None)  # as any import that fails: the next one tries again
            raise
        return getattr(self, name)


def defer(*names: str) -> None:
    """Let the next import of these top-level modules do nothing until one of them is used.

    Those that are there already, or nowhere to be found, are left as they are.
    """
    for name in names:
        if name in sys.modules or (spec := find_spec(name)) is None or spec.loader is None:
            continue
        module = module_from_spec(spec)
        module.__class__ = Deferred
        sys.modules[name] = module
