"""`signalbox ftmo simulate`: replays an account from a file under one rule set; shows breaches and the figures of each day.

It prints and writes nothing until the whole file has been read and checked.
"""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Final

from local.cli.ftmo.events import number_of
from local.cli.ftmo.replay import FtmoReplay, replay_file, to_json
from local.errors import WorkbenchError
from signalbox.risk.ftmo import RULES, FtmoRules

CHART_FOLDER: Final = Path("out/ftmo")


def run_simulate(rules: str, capital: str, events: Path, *, phase: str | None, out: Path | None, json_output: bool) -> None:
    """Replay a file. Print the result as JSON, or draw a chart and print a table. Raises WorkbenchError for bad input."""
    replay = replay_file(_rules(rules), _capital(capital), events, phase=phase)
    text = json.dumps(to_json(replay), indent=2)
    if json_output:
        if out is not None:
            _write(replay, out, text)
        sys.stdout.write(text + "\n")
        return
    from local.cli.ftmo.view import print_replay  # noqa: PLC0415 - rich, only where a table is wanted

    chart = _write(replay, out or CHART_FOLDER, None)
    print_replay(replay, chart)


def _rules(name: str) -> FtmoRules:
    if name not in RULES:
        raise WorkbenchError(f"expected one of the rule sets {', '.join(RULES)}, got {name!r}")
    return RULES[name]


def _capital(text: str) -> Decimal:
    capital = number_of(text)
    if capital is None or capital <= 0:
        raise WorkbenchError(f"expected a capital above 0, got {text!r}")
    return capital


def _write(replay: FtmoReplay, folder: Path, text: str | None) -> Path:
    """Write the chart, and the JSON if given. Return the chart's path."""
    from local.cli.ftmo.chart import draw_account  # noqa: PLC0415 - matplotlib

    chart = folder / "account.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        chart.write_bytes(draw_account(replay))
        if text is not None:
            (folder / "result.json").write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise WorkbenchError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return chart
