"""What .ci/templates.py makes of checkov's report: a new finding fails, and so does an accepted one that is gone."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ENTRY = {"rule": "CKV_1", "dev": 1, "prod": 2, "reason": "because"}
FOUND = {("CKV_1", "dev"): ["one"], ("CKV_1", "prod"): ["one", "two"]}


@pytest.fixture(scope="module")
def templates() -> ModuleType:
    spec = importlib.util.spec_from_file_location("templates", ROOT / ".ci" / "templates.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def report(*failed: tuple[str, str], passed: tuple[str, ...] = ()) -> dict[str, Any]:
    lines = [{"check_id": rule, "file_path": f"/{file}.template.json", "resource": "R"} for rule, file in failed]
    return {
        "results": {
            "failed_checks": lines,
            "passed_checks": [{"check_id": "CKV_2", "file_path": f"/{file}.template.json", "resource": "R"} for file in passed],
            "parsing_errors": [],
        }
    }


def test_findings_as_accepted_are_right(templates: ModuleType) -> None:
    assert templates.not_as_accepted([ENTRY], FOUND) == []


def test_a_new_finding_a_stale_entry_and_a_missing_reason_are_wrong(templates: ModuleType) -> None:
    new = templates.not_as_accepted([ENTRY], {**FOUND, ("CKV_9", "prod"): ["bucket"]})
    assert new == ["CKV_9 prod: accepted 0, found 1: bucket"]
    assert templates.not_as_accepted([ENTRY], {("CKV_1", "dev"): ["one"]}) == [
        "CKV_1 prod: accepted 2, found 0: remove it from the list"
    ]
    assert templates.not_as_accepted([{**ENTRY, "reason": " "}], FOUND) == ["CKV_1: expected a reason, got none"]
    assert templates.not_as_accepted([ENTRY, ENTRY], FOUND) == ["expected one entry for each rule, got a rule twice"]


def test_a_report_names_rule_stage_and_place(templates: ModuleType) -> None:
    found, checks = templates.read_report(
        report(("CKV_1", "signalbox-dev-data"), passed=("signalbox-prod-data",)),
        ["x/signalbox-dev-data.template.json", "y/signalbox-prod-data.template.json", "y/signalbox-prod-dashboard.template.json"],
    )
    assert (found, checks) == ({("CKV_1", "dev"): ["signalbox-dev-data R"]}, 2)


def test_a_template_that_checkov_passed_over_is_no_success(templates: ModuleType) -> None:
    with pytest.raises(SystemExit, match="checked nothing in signalbox-prod-data"):
        templates.read_report(report(passed=("signalbox-dev-data",)), ["signalbox-prod-data.template.json"])


def test_every_accepted_rule_has_its_reason() -> None:
    entries = tomllib.loads((ROOT / ".ci" / "accepted-templates.toml").read_text(encoding="utf-8"))["accepted"]
    assert [entry["rule"] for entry in entries] == sorted({e["rule"] for e in entries}, key=lambda rule: int(rule.split("_")[-1]))
    assert all(len(entry["reason"]) > 40 for entry in entries)
