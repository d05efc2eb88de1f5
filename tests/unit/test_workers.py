"""How the tests are dealt out to workers: nothing that was set up dearly is set up twice, and the long parts start first."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import OWN_CLOUD, PARTS, TESTS, _part, together

E2E = sorted((TESTS / "e2e").glob("test_*.py"))


def asks_for_the_market(path: Path) -> bool:
    """Whether a test or a fixture of the file takes the cloud that all share."""
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    fixtures = {node.name for node in functions if any("fixture" in ast.unparse(one) for one in node.decorator_list)}
    asked = {a.arg for f in functions if f.name.startswith("test_") or f.name in fixtures for a in f.args.args}
    return bool(asked & {"market", "cloud"} - fixtures)


@pytest.mark.parametrize("path", E2E, ids=lambda path: path.stem)
def test_file_is_with_the_market_exactly_if_it_asks_for_it(path: Path) -> None:
    group = together(f"tests/e2e/{path.name}::test_x[a::b]")
    assert (group == "e2e") is asks_for_the_market(path)
    assert group in {"e2e", f"e2e/{path.name}"}


def test_every_exception_is_a_file() -> None:
    assert {f"test_{name}.py" for name in OWN_CLOUD} <= {path.name for path in E2E}


def test_templates_stay_together_and_other_files_are_alone() -> None:
    assert {together(f"tests/infrastructure/{p.name}::t") for p in (TESTS / "infrastructure").glob("test_*.py")} == {
        "infrastructure"
    }
    assert together("tests/unit/training/backtest/test_engine.py::test_x") == "unit/training/backtest/test_engine.py"


def test_every_part_is_a_folder_and_has_its_place_before_the_folder_around_it() -> None:
    assert all((TESTS / part).is_dir() for part in PARTS)
    assert [_part(f"{part}/test_x.py") for part in PARTS] == list(range(len(PARTS)))


def test_two_workers_take_whole_files(tmp_path: Path) -> None:
    """With the real xdist: its own option for groups does nothing under this pytest, and nobody would see it."""
    for name in ("a", "b", "c"):
        folder = tmp_path / "tests" / "infrastructure" if name == "c" else tmp_path / "tests" / "unit"
        folder.mkdir(parents=True, exist_ok=True)
        body = (
            f"def test_{name}(n, worker_id):\n    open({str(tmp_path / 'seen')!r}, 'a').write('{name} ' + worker_id + chr(10))\n"
        )
        (folder / f"test_{name}.py").write_text(f"import pytest\n@pytest.mark.parametrize('n', range(6))\n{body}")
    for name in ("conftest.py", "examples.py"):
        (tmp_path / "tests" / name).write_text((TESTS / name).read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    environment = {"PATH": os.defpath, "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "pytest", "-q", "-n2", "--dist=loadscope", "--no-loadscope-reorder", "tests"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    seen = [line.split() for line in (tmp_path / "seen").read_text().splitlines()]
    assert len(seen) == 18
    assert len({tuple(one) for one in seen}) == 3  # each file in one worker
    assert "c" in {name for name, _ in seen[:6]}  # infrastructure starts before the rest of unit
