"""`signalbox backtest`: apply a bundle's signals to a named account over a period of candles."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from signalbox.inference import BundleManifest, Gate, Verdict, Workspace, load_bundle
from signalbox.market.candles import ONE_MINUTE, MarketDataError, from_ms, to_ms
from signalbox.market.clock import CYCLE
from signalbox.reports.price_chart import PriceChart
from signalbox.signals.cycle import STANDARD
from signalbox.signals.rate_limit import SignalLimits
from signalbox.trading.account import TradingAccount
from training.backtest.bar_grid import BarGrid
from training.backtest.chosen_account import chosen_account
from training.backtest.decisions import Decisions, decide
from training.backtest.engine import BacktestEnding, BacktestRun, Plan, run
from training.backtest.figures import Figures, FiguresPart, figures_of
from training.backtest.kept_runs import KeptRuns, RunInputs
from training.backtest.performance import (
    Excursion,
    MinuteEquity,
    Performance,
    at_worst_prices,
    excursions_of,
    minute_equity,
    performance_of,
)
from training.backtest.price_view import price_chart_of
from training.backtest.starts import Attempt, Passing, attempting, judge_attempts, start_dates
from training.data.candles import CandleSeries, find_candle_files
from training.data.dataset import build_dataset
from training.data.splits import Span
from training.evaluate import read_all
from training.judge.history import Overlap, overlap_of, read_history
from training.judge.kept_scores import KeptScores
from training.progress import Progress, each_of

STARTS: Final = 12
RUNS: Final = "runs"  # the folder of kept runs, beside the scores
_RUN_OF: Final = "account"
_ATTEMPTS_OF: Final = "starts"


@dataclass(frozen=True, slots=True)
class BacktestRequest:
    """What to run.

    start, end: aware five-minute boundaries; decisions lie in (start, end]; None means no bound.
    starts: the number of start dates from which the probability of passing is estimated; 0 skips it. phase: of the prop-firm
    rules.
    scores: the folder of earlier scores and runs (training/judge/kept_scores.py, kept_runs.py); None computes all anew.
    """

    bundle: Path
    data: Path
    account: str = "ftmo-2step-100k"
    start: datetime | None = None
    end: datetime | None = None
    starts: int = STARTS
    phase: str | None = None
    scores: Path | None = None


@dataclass(frozen=True, slots=True)
class BacktestSpeed:
    """How fast the backtest ran."""

    decisions_a_second: float  # scored or looked up, then classified and rate-limited
    decisions_reused: int  # decisions with a score from an earlier run
    is_run_reused: bool  # whether an earlier backtest of the same candles, signals, account and code had traded them
    seconds_of_account: float
    trades_a_second: float


@dataclass(frozen=True, eq=False)  # without slots: what its page and its picture share is made once
class BacktestResult:
    """The result of a backtest, with everything it was made from. minutes: up to where the run ended."""

    manifest: BundleManifest
    account: TradingAccount
    start: datetime
    end: datetime
    decisions: Decisions
    run: BacktestRun
    figures: Figures
    passing: Passing | None
    overlap: Overlap
    sources: tuple[CandleSeries, ...]
    speed: BacktestSpeed
    performance: Performance
    minutes: MinuteEquity
    grid: BarGrid

    @cached_property
    def excursions(self) -> list[Excursion]:
        """How far the price of each closed trade went."""
        return excursions_of(self.grid, self.run.record.trades)

    @cached_property
    def prices(self) -> PriceChart:
        """The candles with the signals and trades of the run."""
        return price_chart_of(self.grid, self.decisions.signals, self.run, self.start, self.excursions)

    @property
    def headline(self) -> str:
        """The first line of the report: money, then the model, then the rules."""
        return " ".join((self._seen(), self._money(), self._model(), self._outcome())).strip()

    def to_json(self) -> dict[str, Any]:
        """Return the report; docs/backtest.md describes it."""
        found = self.run
        return {
            "headline": self.headline,
            "bundle": self.manifest.name,
            "gates": {gate.value: verdict.value for gate, verdict in self.manifest.gates.items()},
            "qualifies": self.manifest.passes_promotion,
            "seen_before": self.overlap.to_json(),
            "account": self.account.model_dump(mode="json"),
            "limits": self.account.limits.version,
            "rules": None if self.account.rules is None else self.account.rules.version,
            "period": {"start": self.start.isoformat(), "end": self.end.isoformat()},
            "symbols": list(self.decisions.symbols),
            "decisions": len(self.decisions),
            "outcome": {
                "ending": found.ending.value,
                "at": found.ended_at.isoformat(),
                "halts": [{"level": h.level.value, "why": h.why, "since": h.since.isoformat()} for h in found.record.halts],
                "open_trades": len(found.state.trades),
            },
            "figures": self.figures.to_json(),
            "performance": self.performance.to_json(),
            "passing": None if self.passing is None else self.passing.to_json(),
            "equity": [[row.at.isoformat(), str(row.balance), str(row.equity)] for row in found.record.equity],
            "days": [
                {
                    "date": day.date.isoformat(),
                    "baseline": str(day.baseline),
                    "daily_limit": str(day.daily_limit),
                    "closing_balance": str(day.closing_balance),
                    "worst_equity": str(day.worst_equity),
                }
                for day in found.days
            ],
            "sources": [{"name": source.name, "sha256": source.sha256()} for source in self.sources],
            "speed": {
                "decisions_a_second": round(self.speed.decisions_a_second),
                "decisions_reused": self.speed.decisions_reused,
                "run_reused": self.speed.is_run_reused,
                "seconds_of_account": round(self.speed.seconds_of_account, 2),
                "trades_a_second": round(self.speed.trades_a_second),
                "minutes_watched": found.watched,
            },
        }

    def _seen(self) -> str:
        if not self.overlap.in_sample:
            return ""
        return f"IN-SAMPLE: the model was trained on {self.overlap.days:.0f} days of this period, so these results prove nothing."

    def _money(self) -> str:
        return money_text(self.figures.change, self.figures.whole, float(self.account.capital), len(self.run.state.trades))

    def _model(self) -> str:
        return gates_text(self.manifest.gates, promotes=self.manifest.passes_promotion)

    def _outcome(self) -> str:
        at = f"{self.run.ended_at:%Y-%m-%d}"
        match self.run.ending:
            case BacktestEnding.BREACHED:
                return f"The account broke a loss rule on {at}."
            case BacktestEnding.EXHAUSTED:
                return f"From {at} on so little was left above the internal stop that no order could pass the checks."
            case BacktestEnding.HALTED:
                return f"The kill switch was set on {at}; a backtest has no operator to resume trading."
            case _:
                return ""


def money_text(change: float, closed: FiguresPart, capital: float, still_open: int) -> str:
    """Return the change of equity, split into closed and open trades. change: relative to the capital, after costs."""
    if not closed.trades and not still_open:
        return "No money was made or lost: no trade was opened."
    verb = "lost" if change < 0 else "made"
    of_closed = closed.net / capital
    parts = f"{of_closed:+.2%} in {closed.trades:,} closed trades"
    if still_open:
        parts += f", {change - of_closed:+.2%} in {still_open} still open"
    return f"Money was {verb} after costs: {change:+.2%} of the capital ({parts})."


def gates_text(gates: Mapping[Gate, Verdict], *, promotes: bool) -> str:
    """Return the gate verdicts of a model in words. A gate that was not evaluated does not count as failed."""
    failed = ", ".join(gate.value for gate, verdict in gates.items() if verdict is Verdict.FAIL)
    unknown = ", ".join(gate.value for gate, verdict in gates.items() if verdict is Verdict.NOT_EVALUATED)
    parts = [f"failed {failed}"] * bool(failed) + [f"not evaluated {unknown}"] * bool(unknown)
    shown = "; ".join(parts)
    if promotes:
        detail = f" ({shown})" if shown else ""
        return f"The model passed the gates that promote it{detail}; a backtest deploys it as shadow all the same."
    return f"The model runs in shadow only: gates {shown}."


def backtest(request: BacktestRequest, progress: Progress, *, limits: SignalLimits = STANDARD) -> BacktestResult:
    """Run an account through a period. Raises BundleError, MarketDataError, AccountError or TradingError."""
    ensemble = load_bundle(request.bundle, Workspace.MACHINE)
    account = chosen_account(request.account, request.phase)
    progress.stage("read candles", 0.06)
    files = find_candle_files(request.data)
    history = timedelta(minutes=2 * ensemble.history_bars + 1440)
    bars = read_all(files, None if request.start is None else request.start - history, request.end, progress)
    grid = BarGrid.of(bars)
    start, end = _period(request, grid)
    progress.stage("features", 0.10)
    data = build_dataset(ensemble.schema, bars, each_of(progress, len(bars)), window_bars=ensemble.window_bars, unjudged=True)
    progress.stage("signals", 0.12)
    kept = None if request.scores is None else KeptScores(request.scores)
    began = time.monotonic()
    decisions = decide(
        ensemble,
        data,
        grid,
        request.bundle.resolve().name,
        start_ms=to_ms(start),
        end_ms=to_ms(end),
        limits=limits,
        on_progress=progress.advance,
        kept=kept,
    )
    if not len(decisions):
        raise MarketDataError(
            f"{request.data}: no decision after {start:%Y-%m-%d %H:%M} and up to {end:%Y-%m-%d %H:%M} has its features; "
            f"features need {ensemble.history_bars} minutes of candles before the decision"
        )
    scored = time.monotonic()
    progress.stage("account", 0.12)

    def on_progress(fraction: float, trades: int) -> None:
        progress.advance(fraction)
        progress.detail(f"{trades:,} trades")

    dates = start_dates(start, end, request.starts) if account.rules is not None else ()
    plan = Plan(account, grid.minute(start), grid.minute(end))
    runs, inputs = (
        (None, None) if request.scores is None else (KeptRuns(request.scores / RUNS), RunInputs.of(grid, decisions.signals))
    )
    found, attempts = _kept(runs, inputs, plan, dates)
    reused = found is not None
    with ExitStack() as beside:
        # the start dates are many times the account's own work, so they begin with it, on the other cores
        attempted = (
            beside.enter_context(attempting(grid, decisions.signals, account, dates, end=plan.end))
            if dates and attempts is None
            else None
        )
        if found is None:
            found = run(grid, decisions.signals, plan, on_progress)
            if runs is not None and inputs is not None:  # now: whoever interrupts the start dates has the account's run
                runs.keep_run(inputs.key(_RUN_OF, plan), found)
        traded = time.monotonic()
        if attempted is not None:
            progress.stage("start dates", 0.55)
            attempts = attempted(progress.advance)
            if runs is not None and inputs is not None:
                runs.keep_attempts(inputs.key(_ATTEMPTS_OF, plan, dates), attempts)
    passing = judge_attempts(attempts, end) if attempts else None
    progress.stage("figures", 0.05)
    minutes = minute_equity(grid, found, start, found.ended_at)
    seen = overlap_of(Span(to_ms(start), to_ms(end)), read_history(request.bundle, ensemble.manifest).seen)
    return BacktestResult(
        ensemble.manifest,
        account,
        start,
        end,
        decisions,
        found,
        at_worst_prices(figures_of(grid, decisions.signals, found, ensemble.manifest.label.horizon_minutes), grid, minutes),
        passing,
        seen,
        files,
        BacktestSpeed(
            len(decisions) / max(scored - began, 1e-9),
            0 if kept is None else kept.reused,
            reused,
            traded - scored,
            len(found.record.trades) / max(traded - scored, 1e-9),
        ),
        performance_of(grid, found, start, end),
        minutes,
        grid,
    )


def _kept(
    runs: KeptRuns | None, inputs: RunInputs | None, plan: Plan, dates: Sequence[datetime]
) -> tuple[BacktestRun | None, tuple[Attempt, ...] | None]:
    """Return the account's run and its attempts as an earlier backtest of the same inputs made them, each None if none did."""
    if runs is None or inputs is None:
        return None, None
    attempts = runs.find_attempts(inputs.key(_ATTEMPTS_OF, plan, dates)) if dates else None
    return runs.find_run(inputs.key(_RUN_OF, plan)), attempts


def _period(request: BacktestRequest, grid: BarGrid) -> tuple[datetime, datetime]:
    """Return the requested period, limited to the candles and to five-minute boundaries."""
    step = CYCLE // ONE_MINUTE
    start = request.start or from_ms(grid.first_ms)
    end = request.end or grid.instant(grid.minutes // step * step)
    for name, instant in (("--start", start), ("--end", end)):
        if grid.minute(instant) % step or instant.second or instant.microsecond:
            raise MarketDataError(f"{name}: expected a five-minute boundary, got {instant.isoformat()}")
    last = grid.instant(grid.minutes // step * step)
    start, end = max(start, grid.instant(0)), min(end, last)
    if start >= end:
        raise MarketDataError(
            f"no candles from {start.isoformat()} to {end.isoformat()}: --start must be before --end, with candles between"
        )
    return start, end
