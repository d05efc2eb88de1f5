"""`signalbox ftmo simulate`: replay an account from a file under one rule set; say what broke, when, and how each day went.

JSON out: money and shares are strings of plain decimals, exact (the share is rounded to six places); times carry the
offset of the rules' time zone. Nothing is printed or written before the whole file was read and found good.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from local.errors import AccountFileError, WorkbenchError
from local.ftmo_events import number_of, read_events
from signalbox.exact import plain, to_places
from signalbox.risk import RiskError
from signalbox.risk.ftmo import RULES, AccountBreach, AccountDay, AccountStatus, Closed, FtmoAccount, FtmoRules

CHART_FOLDER: Final = Path("out/ftmo")
SHARE_PLACES: Final = 6


@dataclass(frozen=True, slots=True)
class FtmoReplay:
    """What a file of events did to an account; `curve` is the equity after each event."""

    rules: FtmoRules
    capital: Decimal
    phase: str
    status: AccountStatus
    breaches: tuple[AccountBreach, ...]
    trading_days: int
    best_day_share: Decimal | None
    days: tuple[AccountDay, ...]
    curve: tuple[tuple[datetime, Decimal], ...]

    @property
    def zone(self) -> ZoneInfo:
        """Where midnight is."""
        return ZoneInfo(self.rules.time_zone)


def run_simulate(rules: str, capital: str, events: Path, *, phase: str | None, out: Path | None, json_output: bool) -> None:
    """Replay a file; print the result as JSON, or draw it and print a table. Raises WorkbenchError for bad input."""
    replay = replay_file(_rules(rules), _capital(capital), events, phase=phase)
    text = json.dumps(to_json(replay), indent=2)
    if json_output:
        if out is not None:
            _write(replay, out, text)
        sys.stdout.write(text + "\n")
        return
    from local.ftmo_view import print_replay  # noqa: PLC0415 - rich, only where a table is wanted

    chart = _write(replay, out or CHART_FOLDER, None)
    print_replay(replay, chart)


def replay_file(rules: FtmoRules, capital: Decimal, path: Path, *, phase: str | None = None) -> FtmoReplay:
    """Return what the events of a file did. Raises AccountFileError naming the line that could not have happened."""
    try:
        account = FtmoAccount(rules, capital, phase=phase)
    except KeyError as error:
        names = ", ".join(p.name for p in rules.phases)
        raise WorkbenchError(f"expected a phase of {rules.name} ({names}), was {phase}") from error
    curve: list[tuple[datetime, Decimal]] = []
    closed_at: dict[str, int] = {}
    for line in read_events(path):
        try:
            account.apply(line.event)
        except RiskError as error:
            before = closed_at.get(getattr(line.event, "position", ""))
            hint = "" if before is None else f" (closed at line {before})"
            raise AccountFileError(f"line {line.number}: {error}{hint}") from error
        if isinstance(line.event, Closed):
            closed_at[line.event.position] = line.number
        curve.append((line.event.time, account.equity))
    return FtmoReplay(
        rules=rules,
        capital=capital,
        phase=rules.phase(phase).name,
        status=account.status,
        breaches=account.breaches,
        trading_days=account.trading_days,
        best_day_share=account.best_day_share,
        days=account.days,
        curve=tuple(curve),
    )


def to_json(replay: FtmoReplay) -> dict[str, Any]:
    """Return the result as `--json` prints it."""
    share = replay.best_day_share
    return {
        "rules": replay.rules.name,
        "status": replay.status.value,
        "breaches": [
            {
                "rule": b.rule.value,
                "time": b.time.astimezone(replay.zone).isoformat(),
                "limit": plain(b.limit),
                "equity": plain(b.equity),
            }
            for b in replay.breaches
        ],
        "trading_days": replay.trading_days,
        "best_day_share": None if share is None else plain(to_places(share, SHARE_PLACES)),
        "days": [
            {
                "date": d.date.isoformat(),
                "baseline": plain(d.baseline),
                "daily_limit": plain(d.daily_limit),
                "closing_balance": plain(d.closing_balance),
                "worst_equity": plain(d.worst_equity),
            }
            for d in replay.days
        ],
    }


def _rules(name: str) -> FtmoRules:
    if name not in RULES:
        raise WorkbenchError(f"expected rules of {', '.join(RULES)}, was {name!r}")
    return RULES[name]


def _capital(text: str) -> Decimal:
    capital = number_of(text)
    if capital is None or capital <= 0:
        raise WorkbenchError(f"expected a capital above 0, was {text!r}")
    return capital


def _write(replay: FtmoReplay, folder: Path, text: str | None) -> Path:
    """Write the chart, and the JSON when given; return the chart's path."""
    from local.ftmo_chart import draw_account  # noqa: PLC0415 - matplotlib

    chart = folder / "account.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        chart.write_bytes(draw_account(replay))
        if text is not None:
            (folder / "result.json").write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise WorkbenchError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return chart
