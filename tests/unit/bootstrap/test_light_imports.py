"""A function that needs no numpy does not load it: it is a sixth of a cold start (docs/performance.md)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from signalbox.contracts import Function

LIBRARY = Path(__file__).parents[3] / "layers" / "core" / "python"
# Who computes columns: features and models, days of the lake, charts.
HEAVY = {
    Function.GENERATE_SIGNALS,
    Function.REGISTER_MODEL,
    Function.LIBRARY_API,
    Function.SCORE_SIGNALS,
    Function.COMPACT_CANDLES,
    Function.PUBLISH_REPORTS,
    Function.SEND_ALERTS,
}
PACKAGES = ("numpy", "pandas", "onnxruntime", "talib", "pyarrow", "jinja2")


def loaded(functions: set[Function], script: str = "") -> set[str]:
    """The heavy packages in a fresh process that composes nothing, but has imported what these functions import."""
    lines = [f"import sys; sys.path.insert(0, {str(LIBRARY)!r})"]
    lines += [f"import signalbox.bootstrap.{function.value}" for function in sorted(functions)]
    lines += [script, f"print(*(name for name in {PACKAGES!r} if name in sys.modules))"]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_functions_that_need_no_columns_load_none_of_the_packages_for_them() -> None:
    assert loaded(set(Function) - HEAVY) == set()


def test_the_check_sees_what_is_loaded() -> None:
    assert loaded({Function.GENERATE_SIGNALS}) >= {"numpy"}
