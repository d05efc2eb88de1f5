"""A function that asks ccxt for one exchange does not read the others; whoever asks the package for a name gets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[3] / "layers" / "core" / "python"
COUNTED = "print(*sorted(n for n in sys.modules if n.startswith('ccxt.') and n.count('.') == 1))"


def printed(*lines: str) -> list[str]:
    script = "\n".join((f"import sys; sys.path.insert(0, {str(LIBRARY)!r})", *lines))
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize(
    ("function", "exchanges"),
    [("collect_candles", []), ("collect_alternative", []), ("execute_orders", ["ccxt.coinbaseexchange"])],
)
def test_a_function_reads_the_exchanges_that_it_names(function: str, exchanges: list[str]) -> None:
    found = printed(f"import signalbox.bootstrap.{function}", COUNTED)
    assert [name for name in found if name not in {"ccxt.base", "ccxt.abstract", "ccxt.static_dependencies"}] == exchanges


def test_an_exchange_is_read_when_it_is_asked_for() -> None:
    found = printed("from signalbox.adapters.venues import ccxt_candles", "ccxt_candles._exchange('kraken')", COUNTED)
    assert "ccxt.kraken" in found
    assert "ccxt.okx" not in found


def test_an_exchange_that_was_asked_for_is_still_the_packages_class() -> None:
    lines = ("from signalbox.adapters.venues import ccxt_candles", "ccxt_candles._exchange('kraken')", "import ccxt")
    assert printed(*lines, "print(ccxt.kraken().id)") == ["kraken"]


def test_the_package_still_has_all_of_its_names() -> None:
    lines = ("import signalbox.adapters.venues", "import ccxt", "print(hasattr(ccxt, 'nothing'), hasattr(ccxt, '__wrapped__'))")
    assert printed(*lines, "print(ccxt.okx().id, 'kraken' in ccxt.exchanges)") == ["False", "False", "okx", "True"]
    assert printed("import ccxt", "import signalbox.adapters.venues", "print(ccxt.okx().id)") == ["okx"]
    assert printed("import signalbox.adapters.venues", "import ccxt", "print(ccxt.__version__ > '4')") == ["True"]
