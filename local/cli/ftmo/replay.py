"""Replays a file of events on an account under one rule set: status, breaches, days, and the equity after each event.

In JSON, money and shares are strings of exact decimals (the best day's share is rounded to six places), and times carry the
offset of the rules' time zone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from local.cli.ftmo.events import read_events
from local.errors import AccountFileError, WorkbenchError
from signalbox.exact import plain, to_places
from signalbox.risk import RiskError
from signalbox.risk.ftmo import AccountBreach, AccountDay, AccountStatus, Closed, FtmoAccount, FtmoRules

SHARE_PLACES: Final = 6


@dataclass(frozen=True, slots=True)
class FtmoReplay:
    """The result of a replay. curve: the equity after each event."""

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
        """The time zone of the rules' midnight."""
        return ZoneInfo(self.rules.time_zone)


def replay_file(rules: FtmoRules, capital: Decimal, path: Path, *, phase: str | None = None) -> FtmoReplay:
    """Replay the events of a file. Raises AccountFileError with the line of an impossible event."""
    try:
        account = FtmoAccount(rules, capital, phase=phase)
    except KeyError as error:
        names = ", ".join(p.name for p in rules.phases)
        raise WorkbenchError(f"expected a phase of {rules.name} ({names}), got {phase}") from error
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
