"""What is wrong with the line of a backtest is said before anything slow is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

LINE = """
import sys
from local.cli.backtest import backtest
try:
    backtest({arguments})
except Exception as error:
    print(error)
print([name for name in ("training.backtest.backtest", "onnxruntime", "pyarrow", "matplotlib") if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        ("Path('training/starter_bundle'), data=Path('.'), account='paper-9x'", "--account: account 'paper-9x': expected KIND"),
        ("Path('training/starter_bundle'), data=Path('.'), phase='second'", "has no phase second; its phases: challenge, veri"),
        ("Path('compare'), runs=[Path('one')]", "compare: expected the folders of two runs, got 1"),
    ],
)
def test_a_wrong_argument_is_refused_before_the_backtest_is_loaded(arguments: str, wrong: str) -> None:
    code = f"from pathlib import Path\n{LINE.format(arguments=arguments)}"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert wrong in found[0]
    assert found[1] == "[]"
