"""The three notebooks as nbmake runs them, each in a Jupyter kernel of its own: on small data and a ledger with trades."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from local.cli.notebook.command import NotebookFacts, run_notebook
from tests.integration.test_report_command import database  # noqa: F401 - the fixture
from tests.integration.test_report_source import reports  # noqa: F401 - the fixture
from tests.integration.trading_samples import ACCOUNT
from tests.unit.inference.tiny_bundle import write_bundle
from tests.unit.training.synthetic import walk, write_candles

pytestmark = [pytest.mark.integration, pytest.mark.timeout(280)]
NBMAKE = ("-p", "no:cacheprovider", "-c", "pytest.ini", "--nbmake", "--nbmake-timeout=120", "-q")


def test_every_notebook_runs_in_jupyter(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setenv("SIGNALBOX_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    data = write_candles(tmp_path / "data", walk(4), walk(4, seed=2, symbol="ETH-USD"))
    facts = NotebookFacts(data, write_bundle(tmp_path / "tiny", "tiny"), ACCOUNT.account, database)
    books = tmp_path / "books"
    books.mkdir()
    (books / "pytest.ini").write_text("[pytest]\n")
    run_notebook(books, facts, opens=False, as_json=True)
    names = sorted(path.name for path in books.glob("*.ipynb"))
    assert len(names) == 3
    account = books / names[-1]
    account.write_text(account.read_text().replace("START = None", "START = '2024-02-01'"))  # its trades are of that year
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *NBMAKE, "--overwrite", *names], cwd=books, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert "3 passed" in done.stdout
    printed = "".join(
        "".join(output.get("text", ())) for cell in json.loads(account.read_text())["cells"] for output in cell.get("outputs", ())
    )
    assert "2 trades" in printed or "1 trades" in printed, printed  # of the ledger, not an empty frame
