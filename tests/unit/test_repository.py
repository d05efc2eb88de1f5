"""Rules of the repository that no linter knows: names, lengths of files, and what the import contracts cover."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
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


PRODUCT: Final = ("layers", "lambdas", "local", "training", "cdk", "sagemaker", "agents", "tools")
MAX_LINES: Final = 400  # "about 350" (style, R29), with room for a branch that grows a file
# Longer files and why they stay whole. A shorter reason is to split the file.
LONG: Final = {
    "agents/mt5/signalbox_mt5/venue.py": "one send path of the terminal: look up, send, look up again",
    "layers/core/python/signalbox/adapters/postgres/trading_rows.py": "writing and reading of each table, side by side",
    "layers/core/python/signalbox/adapters/venues/ccxt_orders.py": "one venue adapter behind one port",
    "layers/core/python/signalbox/contracts.py": "every name that templates, functions and tests share",
    "layers/core/python/signalbox/risk/snapshot.py": "facts of a decision and their canonical text, field by field",
    "layers/core/python/signalbox/trading/draft.py": "every write of an account, so that nothing else writes its fields",
    "layers/core/python/signalbox/trading/monitoring.py": "one minute of an account, from marks to internal stops, in order",
    "local/cli/data/importing/run.py": "one import from files to days, with its interruption",
    "local/simulation/venue.py": "one simulated venue with every fault",
    "local/simulation/world.py": "one schedule: actors, moves and the invariants they are judged by",
    "local/stand_ins/mt5_server.py": "one broker's server behind the terminal's package",
    "local/stand_ins/trading.py": "one exchange with orders, balances and faults",
}
# Names that the field's terms replaced (docs/glossary.md, "Former names"), as words of an identifier
FORMER: Final = {"desk", "sheet", "tape", "shelf", "tend", "tended", "told", "tell", "tells", "said", "stretch"}
KEPT: Final = {
    ("layers/core/python/signalbox/orders/agent_answers.py", "handed_on_at"),  # a field of messages on their way
    ("local/cli/data/importing/recognise.py", "told"),
    ("local/cli/data/importing/run.py", "_tell"),
    ("training/backtest/engine.py", "tells_refusals"),
}


@cache
def product_sources() -> tuple[Path, ...]:
    """Return the Python files of the product. Where there is no git, every file below its folders."""
    listed = subprocess.run(["git", "ls-files", *PRODUCT], cwd=ROOT, capture_output=True, text=True, check=False)
    names = listed.stdout.splitlines() if listed.returncode == 0 else []
    found = [ROOT / name for name in names] or [path for folder in PRODUCT for path in (ROOT / folder).rglob("*.py")]
    return tuple(path for path in found if path.suffix == ".py" and path.exists())


def identifiers(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def words(identifier: str) -> set[str]:
    return set(re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", identifier).lower().split("_"))


def test_a_long_file_says_why_it_is_one() -> None:
    lines = {path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in product_sources()}
    assert {name: count for name, count in lines.items() if count > MAX_LINES and name not in LONG} == {}
    assert set(LONG) <= set(lines)


def test_no_name_of_the_product_is_one_that_the_fields_terms_replaced() -> None:
    found = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in product_sources()
        for name in identifiers(path)
        if words(name) & FORMER
    }
    assert found - KEPT == set()
    assert words("StandInDesk") & words("the_desk_of") == {"desk"}  # both spellings are seen
