"""Rules of the house, read from the sources: orders and portfolio know no float, no clock and no outside."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import signalbox.exact
import signalbox.orders
import signalbox.portfolio
from signalbox.orders.state_page import state_page
from tools.order_states import PAGE

PACKAGES = [Path(module.__file__ or "").parent for module in (signalbox.orders, signalbox.portfolio)]
SOURCES = [Path(signalbox.exact.__file__), *(path for package in PACKAGES for path in sorted(package.rglob("*.py")))]
OUTSIDE = {"open", "print", "round", "input", "eval", "exec"}
CLOCKS = {"now", "utcnow", "today", "time", "monotonic", "perf_counter"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_money_knows_no_float_no_clock_and_no_outside(path: Path) -> None:
    is_exact = path.name == "exact.py"  # it names float in order to refuse it
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        where = f"{path.name}:{getattr(node, 'lineno', 0)}"
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, (float, complex))), where
        if isinstance(node, ast.Name):
            assert node.id not in OUTSIDE, where
            assert is_exact or node.id != "float", where
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            assert called not in CLOCKS, where
        assert not (isinstance(node, ast.Attribute) and node.attr.startswith("float")), where


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_no_file_is_a_god(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_the_page_of_the_state_machine_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == state_page(), "run: python -m tools.order_states"
