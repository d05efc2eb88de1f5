"""The glossary names every public class of the domain, and nothing that is gone."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "layers/core/python/signalbox"
DOMAIN = (
    "market", "labels", "alternative", "features", "inference", "signals", "risk", "orders", "portfolio", "trading", "library",
    "backup",
    "observation", "reports", "alerts", "chat", "events.py", "access.py",
)  # fmt: skip
GLOSSARY = ROOT / "docs/glossary.md"
FORMER = "## Former names"

# A reader understands these without a definition. Errors say what they are in their package's tree.
SELF_EVIDENT = {
    "BusEvent", "Command", "ScheduledJob",
    "CandlesClosed", "RecentCandles", "SignalResolved", "IssuedSignal", "MarketDataStale", "MarketDataRecovered", "ModelRefused",
    "ModelRegistered", "StartObservation", "EndObservation",
    "ModelNotQualified", "ModelEvaluated", "EvaluationFailed", "TrainingFailed",
    "OpenAccount", "ConfirmAccount", "ChooseLots", "SubmitOrder", "CancelOrder", "ReplaceOrder", "HaltTrading", "ResumeTrading",
    "AdoptPosition", "DepositMoney", "WithdrawMoney",
    "OrderRefused", "VenueRefused", "TradeOpened", "TradeClosed", "ExitFailed", "StopPassed", "RiskWarning", "AccountExhausted",
    "TradingHalted", "TradingResumed", "RuleBreached", "TargetReached", "DeploymentChanged", "AccountSummarised",
    "Section", "Table", "Column", "Line", "Plane", "Tick", "PageScript",
}  # fmt: skip


def classes() -> dict[str, str]:
    """Return the public classes of the domain that are no errors and no shape of JSON (docs/api), and one file of each."""
    found = {}
    for name in DOMAIN:
        paths = [LIBRARY / name] if name.endswith(".py") else sorted((LIBRARY / name).rglob("*.py"))
        for path in paths:
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if (
                    isinstance(node, ast.ClassDef)
                    and not node.name.startswith("_")
                    and not node.name.endswith(("Error", "Document"))
                ):
                    found[node.name] = path.relative_to(LIBRARY).as_posix()
    return found


def rows() -> list[list[str]]:
    lines = GLOSSARY.read_text(encoding="utf-8").split(FORMER)[0].splitlines()
    return [re.split(r"\s*\|\s*", line.strip("| ")) for line in lines if line.startswith("| ") and not line.startswith("| term")]


def named() -> set[str]:
    return {name for row in rows() for name in re.findall(r"`([A-Z][A-Za-z0-9]*)`", row[1])}


@pytest.mark.parametrize(("name", "file"), sorted(classes().items()))
def test_every_public_class_of_the_domain_is_in_the_glossary_or_self_evident(name: str, file: str) -> None:
    assert name in named() | SELF_EVIDENT, f"{file}: add {name} to docs/glossary.md"


def test_the_glossary_and_the_list_name_nothing_that_is_gone() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in sorted(LIBRARY.rglob("*.py")))
    types = {"Transition", "ClientOrderId"}  # type aliases and new types, not classes
    assert all(re.search(rf"^{name}\b.*=", source, re.MULTILINE) for name in types)
    assert named() - types - set(classes()) == set()
    assert SELF_EVIDENT - set(classes()) == set()


def test_no_class_is_both_explained_and_called_self_evident() -> None:
    assert named() & SELF_EVIDENT == set()


def test_every_row_has_a_meaning_and_the_term_of_other_systems() -> None:
    assert [row for row in rows() if len(row) != 4 or not all(row)] == []
