"""Rules of the house, read from the sources: what risk may import, that it knows no float, and who may approve."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import signalbox.risk
from signalbox.risk import RefusalCode, RiskApproved, RiskError, RiskRefused, assess
from signalbox.risk.codes import MEANINGS, codes_page
from tests.unit.risk.facts import LIMITS, order, snapshot
from tools.risk_codes import PAGE

RISK = Path(signalbox.risk.__file__).parent
ROOT = Path(__file__).resolve().parents[3]
SOURCES = [
    p
    for folder in ("layers/core/python", "lambdas", "local", "tools", "training", "sagemaker", "agents")
    for p in sorted((ROOT / folder).rglob("*.py"))
]
ALLOWED = {
    "__future__", "abc", "bisect", "collections", "copy", "dataclasses", "datetime", "decimal", "enum", "functools",
    "hashlib", "itertools", "pydantic", "signalbox", "types", "typing", "typing_extensions", "zoneinfo",
}  # fmt: skip
CLOCKS = {"now", "utcnow", "today", "time", "monotonic", "perf_counter"}


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def name_of(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("path", sorted(RISK.rglob("*.py")), ids=lambda p: str(p.relative_to(RISK)))
def test_risk_knows_no_float_no_clock_and_no_outside(path: Path) -> None:
    for node in nodes(path):
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), f"{path.name}:{node.lineno}"
        assert not (isinstance(node, ast.Name) and node.id in {"float", "open", "print", "round"}), f"{path.name}:{node.lineno}"
        assert not (isinstance(node, ast.Call) and name_of(node.func) in CLOCKS), f"{path.name}:{node.lineno}"
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= ALLOWED
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] in ALLOWED


def test_only_assess_builds_an_approval_or_holds_the_seal() -> None:
    inside, seals = set(), set()
    for path in SOURCES:
        for node in nodes(path):
            if isinstance(node, ast.Call) and name_of(node.func) == "RiskApproved":
                inside.add(path.relative_to(RISK).as_posix() if path.is_relative_to(RISK) else str(path))
            is_of_risk = isinstance(node, ast.ImportFrom) and (node.module or "").startswith("signalbox.risk")
            if (isinstance(node, ast.ImportFrom) and is_of_risk and "SEAL" in {a.name for a in node.names}) or (
                isinstance(node, ast.Attribute) and node.attr == "SEAL"
            ):
                seals.add(path.name)
    assert inside == {"assess.py"}
    assert seals == {"assess.py"}


def test_an_approval_built_by_hand_is_an_error() -> None:
    approved = assess(order(stop="49000"), snapshot(), LIMITS)
    assert isinstance(approved, RiskApproved)
    with pytest.raises(RiskError, match="can only be created by"):
        RiskApproved(approved.order, approved.snapshot, approved.limits_version, object())
    with pytest.raises(ValueError, match="InitVar"):
        replace(approved, limits_version="mine")  # type: ignore[call-arg] # what mypy refuses, Python refuses too


def test_a_refusal_needs_a_reason() -> None:
    with pytest.raises(RiskError, match="at least one breach"):
        RiskRefused(order(), snapshot(), "v", ())


def test_every_code_has_a_meaning_and_the_page_is_up_to_date() -> None:
    assert list(MEANINGS) == list(RefusalCode)
    assert PAGE.read_text(encoding="utf-8") == codes_page(), "run: python -m tools.risk_codes"
