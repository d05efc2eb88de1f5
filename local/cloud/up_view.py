"""Shows `signalbox up` to the operator: a live screen in a terminal, otherwise one line per event.

Counts are of the ledger, so that they survive a restart: signals and cycles of the last 24 hours. Alerts are counted by the
messenger's stand-in, which forgets them when it ends; `AlertCount` keeps how many it had sent.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from local.cloud.accounts import AccountLine, account_text
from local.cloud.live_screen import LiveScreen
from signalbox.market.candles import Symbol
from signalbox.market.clock import CYCLE, cycle_of
from signalbox.signals.ports import SymbolRefusal
from signalbox.signals.signal import Signal

COLOURS = {"BUY": "bold green", "SELL": "bold red", "HOLD": "dim"}


@dataclass(frozen=True, slots=True)
class UpCycle:
    """One decided cycle. issued, cycles: of the last 24 hours, from the ledger. alerts: since the state began."""

    cycle_at: datetime
    signals: Sequence[Signal]
    refusals: Sequence[SymbolRefusal]
    issued: Mapping[Symbol, int]
    cycles: int
    alerts: int
    accounts: Sequence[AccountLine] = ()


class UpView(AbstractContextManager["UpView"], Protocol):
    """Shows the events of the running local cloud. Called from several threads."""

    def say(self, text: str) -> None:
        """Show a message that stays on the screen."""

    def cycle(self, facts: UpCycle) -> None:
        """Show a decided cycle. Called again once its orders are complete."""


class AlertCount:
    """Counts the alerts since the state folder was created."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._before = int(json.loads(path.read_text())["alerts"])
        except (OSError, ValueError, KeyError, TypeError):
            self._before = 0

    def total(self, sent: int) -> int:
        """Add the alerts of this run, store the count and return it."""
        found = self._before + sent
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps({"alerts": found}))
        partial.replace(self._path)
        return found


def cycle_text(facts: UpCycle) -> str:
    """Return a cycle in one line."""
    lines = [f"{s.symbol} {s.price:,.2f} {s.direction} {s.tier} {s.confidence:.0%} [{s.stage}]" for s in facts.signals]
    lines += [f"{r.symbol} refused: {r.reason}" for r in facts.refusals]
    return f"{facts.cycle_at:%Y-%m-%d %H:%M}  " + "  ".join(lines) + f"  alerts {facts.alerts}"


class PlainUpView:
    """Lines for logs and pipes."""

    def __init__(self) -> None:
        self._shown_cycle: datetime | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing to restore."""

    def say(self, text: str) -> None:
        with suppress(BrokenPipeError):
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def cycle(self, facts: UpCycle) -> None:
        if self._shown_cycle != facts.cycle_at:
            self._shown_cycle = facts.cycle_at
            self.say(cycle_text(facts))
        for account in facts.accounts:
            self.say(f"  {account_text(account)}")


class LiveUpView(LiveScreen):
    """The newest signal of each symbol, accounts and counts, redrawn in place; messages scroll above them."""

    def __init__(self, symbols: Sequence[Symbol], console: Console, now: Callable[[], datetime]) -> None:
        self._symbols, self._now = symbols, now
        self._facts: UpCycle | None = None
        self._lock = threading.Lock()
        super().__init__(console, per_second=1)

    def say(self, text: str) -> None:
        self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def cycle(self, facts: UpCycle) -> None:
        with self._lock:
            if self._facts is None or facts.cycle_at >= self._facts.cycle_at:
                self._facts = facts

    @override
    def _screen(self) -> Group:
        with self._lock:
            facts = self._facts
        now = self._now()
        left = int((cycle_of(now) + CYCLE - now).total_seconds())
        head = Text(f"{now:%Y-%m-%d %H:%M:%S} UTC, next cycle in {left // 60}:{left % 60:02}", style="bold")
        if facts is None:
            return Group(head, Text("no cycle is decided yet", style="dim"))
        parts: list[Text | Table] = [head, self._table(facts)]
        parts += [Text(account_text(account)) for account in facts.accounts]
        if any(signal.stage == "shadow" for signal in facts.signals):
            parts.append(Text("SHADOW model: it has not passed its gates. Recorded, not for trading.", style="yellow"))
        return Group(*parts)

    def _table(self, facts: UpCycle) -> Table:
        caption = f"{facts.cycle_at:%H:%M}; {facts.cycles} cycles in 24 hours; alerts sent: {facts.alerts}"
        table = Table(expand=True, caption=caption, caption_justify="left")
        for name in ("symbol", "price", "signal", "tier", "confidence", "issued in 24 h"):
            table.add_column(name, justify="left" if name in {"symbol", "signal", "tier"} else "right")
        signals, refusals = {s.symbol: s for s in facts.signals}, {r.symbol: r for r in facts.refusals}
        for symbol in self._symbols:
            issued = str(facts.issued.get(symbol, 0))
            if (signal := signals.get(symbol)) is not None:
                direction = Text(signal.direction, style=COLOURS[signal.direction])
                table.add_row(symbol, f"{signal.price:,.2f}", direction, signal.tier, f"{signal.confidence:.1%}", issued)
            elif (refusal := refusals.get(symbol)) is not None:
                table.add_row(symbol, "-", Text("refused", style="yellow"), refusal.reason, "-", issued)
        return table


def choose_up_view(symbols: Sequence[Symbol], now: Callable[[], datetime], *, plain: bool) -> UpView:
    """Return the live screen for a terminal, plain lines for anything else or when asked for."""
    console = Console()
    return PlainUpView() if plain or not console.is_terminal else LiveUpView(symbols, console, now)
