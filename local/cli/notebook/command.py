"""Writes the notebooks: each is a Markdown file whose ```python fences become cells. Jupyter is optional."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

TEMPLATES: Final = Path(__file__).with_name("templates")
INSTALL: Final = (
    "Jupyter is not installed: `.venv/bin/python -m pip install jupyterlab` adds it, or open the files in an editor that runs"
    " notebooks"
)
_FENCE: Final = re.compile(r"^```python\n(.*?)^```\n", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class NotebookFacts:
    """The data that the notebooks use. database: None means the running local cloud's."""

    data: Path
    bundle: Path
    account: str
    database: str | None = None


def run_notebook(out: Path, facts: NotebookFacts, *, opens: bool, as_json: bool) -> None:
    """Write the notebooks that do not exist yet, print their names, and open the folder in Jupyter."""
    written, kept = [], []
    for template in sorted(TEMPLATES.glob("*.md")):
        path = out / f"{template.stem}.ipynb"
        if path.exists():
            kept.append(str(path))
            continue
        path.write_text(json.dumps(notebook_of(template.read_text(encoding="utf-8"), facts), indent=1) + "\n", encoding="utf-8")
        written.append(str(path))
    has_jupyter = find_spec("jupyterlab") is not None
    if as_json:
        print(json.dumps({"written": written, "kept": kept, "jupyter": has_jupyter}))
    else:
        print("\n".join([*(f"written: {one}" for one in written), *(f"kept as it is: {one}" for one in kept)]))
    if opens and has_jupyter:
        subprocess.run([sys.executable, "-m", "jupyterlab", "--notebook-dir", str(out)], check=False)
    elif opens:
        print(INSTALL, file=sys.stderr)


def notebook_of(text: str, facts: NotebookFacts) -> dict[str, Any]:
    """Return a notebook (nbformat 4.5) of a template: text between fences is Markdown, fences are code."""
    values = {"DATA": str(facts.data), "BUNDLE": str(facts.bundle), "ACCOUNT": facts.account, "DATABASE": facts.database}
    for name, value in values.items():
        text = text.replace(f"{name} = ...", f"{name} = {value!r}")
    cells: list[dict[str, Any]] = []
    for number, part in enumerate(_FENCE.split(text)):
        if not part.strip():
            continue
        cell: dict[str, Any] = {"id": f"cell-{len(cells)}", "metadata": {}, "source": part.strip().splitlines(keepends=True)}
        if number % 2:
            cell |= {"cell_type": "code", "execution_count": None, "outputs": []}
        else:
            cell["cell_type"] = "markdown"
        cells.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
