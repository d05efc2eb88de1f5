"""`make help` is where a newcomer looks: every command is in it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()


def test_help_lists_every_command() -> None:
    shown = subprocess.run(["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert phony is not None
    assert [line.split()[0] for line in shown.splitlines()] == re.findall(r"^([A-Za-z0-9_-]+):.*##", MAKEFILE, re.MULTILINE)
    assert {line.split()[0] for line in shown.splitlines()} == set(phony[1].split())
