"""Rules of the repository that no linter knows: names of tests, and what the import contracts cover."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parents[2]
MAX_NAME: Final = 80
SPARE: Final = 5  # so that two branches that rename do not fail each other
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def long_names(*sources: str) -> list[str]:
    """Return the names of tests that are too long to be read in a report."""
    nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
    return [
        node.name
        for node in nodes
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and len(node.name) > MAX_NAME
    ]


def test_no_test_has_a_long_name() -> None:
    found = long_names(*(path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests").rglob("test_*.py"))))
    assert found == [], f"name the behaviour in at most {MAX_NAME} characters"


def test_a_long_name_is_found_wherever_it_is() -> None:
    name = "test_" + "x" * 76
    assert long_names(f"class TestIt:\n    def {name}(self): ...", f"def {name[:-1]}(): ...") == [name]


def test_the_import_contracts_cover_every_function_and_the_training_jobs() -> None:
    linted = PROJECT["tool"]["importlinter"]
    handlers = {f"lambdas.{path.parent.name}" for path in (ROOT / "lambdas").glob("*/handler.py")}
    assert {name for name in linted["root_packages"] if name.startswith("lambdas.")} == handlers
    assert "sagemaker" in linted["root_packages"]
    by_name = {contract["name"]: contract for contract in linted["contracts"]}
    assert set(by_name["functions are apart"]["modules"]) == handlers
    (rule,) = (contract for name, contract in by_name.items() if name.startswith("a handler takes its application"))
    assert set(rule["source_modules"]) == handlers
    assert handlers < set(by_name["nothing imports a handler or a job"]["forbidden_modules"])


def test_coverage_counts_handlers_and_training_jobs() -> None:
    covered = PROJECT["tool"]["coverage"]
    assert set(covered["run"]["source_dirs"]) == {"lambdas", "sagemaker"}
    assert covered["report"]["include_namespace_packages"], "handlers that no test runs would be left out"


def test_mypy_judges_every_test_and_ignores_the_errors_of_none() -> None:
    mypy = PROJECT["tool"]["mypy"]
    assert "tests" in mypy["files"]
    assert "exclude" not in mypy
    assert [one["module"] for one in (mypy, *mypy["overrides"]) if one.get("ignore_errors")] == []
