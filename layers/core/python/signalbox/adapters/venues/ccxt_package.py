"""ccxt without the exchanges that nobody asks for: its package imports all of its classes, whichever module of it is wanted.

Here the package is put among the modules without being run. `ccxt.base.errors`, or an exchange as a module (`ccxt.kraken`), then
reads itself and the base alone; a name that only the package knows (`ccxt.exchanges`) runs it after all. A function needs one or
two exchanges, and reading all of them was two thirds of its cold start (docs/performance.md).
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from typing import Any, Final

PACKAGE: Final = "ccxt"
_OWN_NAMES: Final = frozenset({"__version__", "__all__"})  # what else has two underscores is the import system's


def defer_exchanges() -> None:
    """Put ccxt's package among the modules without running it. If ccxt is imported already, nothing changes."""
    spec = importlib.util.find_spec(PACKAGE) if PACKAGE not in sys.modules else None
    if spec is None or spec.loader is None:  # there, or not installed: then the import that follows says so
        return
    module, loader = importlib.util.module_from_spec(spec), spec.loader
    lock = threading.RLock()
    ran = False

    def missing(name: str) -> Any:
        nonlocal ran
        if name.startswith("__") and name not in _OWN_NAMES:
            raise AttributeError(f"module {PACKAGE!r} has no attribute {name!r}")
        with lock:  # a second thread waits until all of it is there
            if not ran:
                ran = True
                loader.exec_module(module)
        try:
            return module.__dict__[name]
        except KeyError:
            raise AttributeError(f"module {PACKAGE!r} has no attribute {name!r}") from None

    module.__dict__["__getattr__"] = missing
    sys.modules[PACKAGE] = module
