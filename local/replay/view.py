"""What the operator sees during a replay: a live screen in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.panel import Panel
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from local.cloud.accounts import AccountLine, account_text
from local.cloud.live_screen import LiveScreen
from local.cloud.up_view import COLOURS
from signalbox.market.candles import Symbol
from signalbox.signals.ports import SymbolRefusal
from signalbox.signals.signal import Signal
from training.bar_columns import CountColumn, TimesColumn

SHOWN_WARNINGS = 6


@dataclass(frozen=True, slots=True)
class CycleFacts:
    """One decided cycle, as it is shown to the operator."""

    number: int
    total: int
    cycle_at: datetime
    milliseconds: float
    signals: Sequence[Signal]
    refusals: Sequence[SymbolRefusal]
    alerts_sent: int
    accounts: Sequence[AccountLine] = ()


class View(AbstractContextManager["View"], Protocol):
    """Shows the progress of a replay."""

    def phase(self, text: str) -> None:
        """Show what is being prepared."""

    def begin(self, title: str, total: int) -> None:
        """Show that the cycles begin."""

    def cycle(self, facts: CycleFacts) -> None:
        """Show a decided cycle."""

    def finished(self, alerts_sent: int) -> None:
        """Show that every cycle is decided and every alert is sent."""

    def warn(self, text: str) -> None:
        """Show a warning to the operator."""


class PlainView:
    """Plain lines for logs, pipes and CI: every phase, every twelfth cycle, every warning."""

    def __init__(self, *, every: int = 12) -> None:
        self._every = every

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Do nothing, because there is nothing to restore."""

    def phase(self, text: str) -> None:
        self._print_line(f"· {text}")

    def begin(self, title: str, total: int) -> None:
        self._print_line(f"{title} ({total} cycles)")

    def cycle(self, facts: CycleFacts) -> None:
        if facts.number % self._every and facts.number not in {1, facts.total}:
            return
        signals = "  ".join(f"{s.symbol} {s.price:,.2f} {s.direction} {s.confidence:.0%}" for s in facts.signals)
        head = f"cycle {facts.number}/{facts.total}  {facts.cycle_at:%Y-%m-%d %H:%M}  {facts.milliseconds:.0f} ms"
        self._print_line(f"{head}  {signals}  alerts {facts.alerts_sent}")
        for account in facts.accounts:
            self._print_line(f"  {account_text(account)}")

    def finished(self, alerts_sent: int) -> None:
        self._print_line(f"all queues are empty, {alerts_sent} alerts sent")

    def warn(self, text: str) -> None:
        self._print_line(f"! {text}")

    def _print_line(self, text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


class LiveView(LiveScreen):
    """A progress bar, one row per symbol, and the newest warnings, redrawn in place."""

    def __init__(self, symbols: Sequence[Symbol], console: Console) -> None:
        self._symbols, self._title, self._total = symbols, "", 0
        self._newest: dict[str, Signal | SymbolRefusal] = {}
        self._prices: dict[str, Decimal] = {}
        self._issued = dict.fromkeys(symbols, 0)
        self._alerts, self._shadow = 0, False
        self._accounts: Sequence[AccountLine] = ()
        self._warnings: list[str] = []
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            CountColumn(),
            TimesColumn(),
            TextColumn("{task.fields[pace]}"),
            console=console,
            expand=True,
        )
        self._task = self._progress.add_task("starting", total=None, pace="")
        super().__init__(console, per_second=8)

    def phase(self, text: str) -> None:
        self._progress.update(self._task, description=text)

    def begin(self, title: str, total: int) -> None:
        self._title, self._total = title, total
        self._progress.reset(self._task, total=total, description="replaying", pace="")

    def cycle(self, facts: CycleFacts) -> None:
        for signal in facts.signals:
            self._newest[signal.symbol], self._prices[signal.symbol] = signal, signal.price
            self._issued[Symbol(signal.symbol)] += signal.issued
            self._shadow = signal.stage == "shadow"
        for refusal in facts.refusals:
            self._newest[refusal.symbol] = refusal
        self._alerts, self._accounts = facts.alerts_sent, facts.accounts
        pace = f"{facts.cycle_at:%m-%d %H:%M} · {facts.milliseconds:.0f} ms"
        self._progress.update(self._task, completed=facts.number, pace=pace)

    def finished(self, alerts_sent: int) -> None:
        self._alerts = alerts_sent
        self._progress.update(self._task, description="done")

    def warn(self, text: str) -> None:
        self._warnings.append(text)

    @override
    def _screen(self) -> Group:
        parts: list[Text | Table | Progress | Panel] = []
        if self._title:
            parts.append(Text(self._title, style="bold"))
        parts.append(self._progress)
        if self._newest:
            parts.append(self._table())
        parts += [Text(account_text(account)) for account in self._accounts]
        if self._shadow:
            parts.append(Text("SHADOW model: it has not passed its gates. Not for trading.", style="yellow"))
        if self._warnings:
            shown = "\n".join(self._warnings[-SHOWN_WARNINGS:])
            parts.append(Panel(Text(shown), title=f"warnings ({len(self._warnings)})", border_style="yellow"))
        return Group(*parts)

    def _table(self) -> Table:
        table = Table(expand=True, caption=f"alerts sent: {self._alerts}", caption_justify="left")
        for name in ("symbol", "price", "signal", "tier", "confidence", "issued"):
            table.add_column(name, justify="left" if name in {"symbol", "signal", "tier"} else "right")
        for symbol in self._symbols:
            row = self._newest.get(symbol)
            price = f"{self._prices[symbol]:,.2f}" if symbol in self._prices else "-"
            if isinstance(row, Signal):
                direction = Text(row.direction, style=COLOURS[row.direction])
                table.add_row(symbol, price, direction, row.tier, f"{row.confidence:.1%}", str(self._issued[symbol]))
            elif row is not None:
                table.add_row(symbol, price, Text("refused", style="yellow"), row.reason, "-", str(self._issued[symbol]))
        return table


def choose_view(symbols: Sequence[Symbol], *, plain: bool) -> View:
    """Return the live screen for a terminal, or plain lines on request and for any other output."""
    console = Console(stderr=True)
    if plain or not console.is_terminal:
        return PlainView()
    return LiveView(symbols, console)
