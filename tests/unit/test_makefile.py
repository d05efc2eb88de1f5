"""`make help` is where a newcomer looks: every command is in it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()


def test_help_lists_every_command() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert phony is not None
    assert [line.split()[0] for line in shown.splitlines()] == re.findall(r"^([A-Za-z0-9_-]+):.*##", MAKEFILE, re.MULTILINE)
    assert {line.split()[0] for line in shown.splitlines()} == set(phony[1].split())


def test_every_part_of_the_suite_has_its_place_among_the_workers() -> None:
    from tests.conftest import PARTS  # noqa: PLC0415 - beside what it is about

    folders = {path.parent.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").glob("*/**/test_*.py")}
    placed = {folder for folder in folders for part in PARTS if f"{folder}/".startswith(f"{part}/")}
    assert folders - placed == {"benchmarks"} & folders
    assert all((ROOT / "tests" / part).is_dir() for part in PARTS)
