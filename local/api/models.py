"""Scores of a model and backtests of its signals as frames."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from local.api.candles import folder_of, instant
from local.settings import load_settings
from signalbox.inference import Workspace, load_bundle
from signalbox.market.candles import ONE_MINUTE, MarketDataError, to_ms
from training.backtest.backtest import BacktestRequest
from training.backtest.backtest import backtest as run_backtest
from training.data.candles import find_candle_files
from training.data.dataset import build_dataset
from training.evaluate import read_all
from training.judge.kept_scores import KeptScores
from training.judge.scoring import score as run_score
from training.progress import NoProgress


@dataclass(frozen=True, slots=True)
class Backtest:
    """The results of an account over a period.

    Amounts are exact Decimals in the account's currency; `.astype(float)` before plotting.

    headline: the first line of the report. summary: the figures of `signalbox backtest --json` (docs/backtest.md).
    trades: a row a closed trade: symbol, side, stage, leg (why it was left), decided_at, opened_at, closed_at (UTC), quantity
    (base currency), entry_price, exit_price, stop_loss, take_profit (quote currency), fees, realised (after fees).
    equity: at (UTC), balance, equity, at every instant that was applied. days: date, baseline, worst_equity, closing_balance.
    """

    headline: str
    summary: dict[str, Any]
    trades: pd.DataFrame
    equity: pd.DataFrame
    days: pd.DataFrame


TRADE_COLUMNS = (
    "symbol",
    "side",
    "stage",
    "leg",
    "decided_at",
    "opened_at",
    "closed_at",
    "quantity",
    "entry_price",
    "exit_price",
    "stop_loss",
    "take_profit",
    "fees",
    "realised",
)


def score(
    bundle: Path | str,
    data: Path | str | None = None,
    *,
    start: datetime | str | None = None,
    end: datetime | str | None = None,
) -> pd.DataFrame:
    """Return a model's scores of all five-minute decisions with start < decided_at <= end, by time, then by symbol.

    bundle: a folder with a manifest. data, start, end: as of `candles`. Scores of earlier runs are looked up in the state folder.
    Columns: symbol, decided_at (UTC), probability_up (float64, calibrated), direction (BUY, SELL, HOLD), outcome (float64, simple
    return of the next hour before costs; NaN where it is not known yet).
    Raises BundleError for a bundle that may not be used, MarketDataError where candles give no decision.
    """
    ensemble = load_bundle(Path(bundle), Workspace.MACHINE)
    folder, first, last = folder_of(data), instant(start), instant(end)
    history = 2 * ensemble.history_bars * ONE_MINUTE + pd.Timedelta(days=1).to_pytimedelta()
    files = find_candle_files(folder)
    bars = read_all(files, None if first is None else first - history, last, NoProgress())
    dataset = build_dataset(ensemble.schema, bars, window_bars=ensemble.window_bars, unjudged=True)
    decided = dataset.decided_at_ms
    chosen = (decided > (-1 if first is None else to_ms(first))) & (decided <= (decided[-1] if last is None else to_ms(last)))
    if not chosen.any():
        raise MarketDataError(f"{folder}: no decision in the period has complete features")
    found = run_score(ensemble, dataset.select(chosen), kept=KeptScores(load_settings().scores))
    side = np.where(found.side > 0, "BUY", "SELL")
    return pd.DataFrame(
        {
            "symbol": np.array(found.data.symbols, dtype=object)[found.data.symbol],
            "decided_at": pd.to_datetime(found.data.decided_at_ms, unit="ms", utc=True),
            "probability_up": found.probability_up,
            "direction": np.where(found.issued, side, "HOLD"),
            "outcome": found.data.outcome,
        }
    )


def backtest(
    bundle: Path | str,
    data: Path | str | None = None,
    *,
    account: str = "ftmo-2step-100k",
    start: datetime | str | None = None,
    end: datetime | str | None = None,
    starts: int = 0,
) -> Backtest:
    """Trade a model's signals on an account as the deployed functions would (docs/backtest.md).

    account: KIND-CAPITALk. starts: start dates of the probability of passing, 0 for none. Otherwise as `score`; AccountError for
    an invalid account name.
    """
    request = BacktestRequest(
        Path(bundle), folder_of(data), account, instant(start), instant(end), starts, None, load_settings().scores
    )
    found = run_backtest(request, NoProgress())
    record = found.run.record
    trades = [{name: _plain(getattr(trade, name)) for name in TRADE_COLUMNS} for trade in record.trades]
    equity = [(row.at, row.balance, row.equity) for row in record.equity]
    days = [(day.date, day.baseline, day.worst_equity, day.closing_balance) for day in record.days]
    return Backtest(
        found.headline,
        found.to_json(),
        pd.DataFrame(trades, columns=list(TRADE_COLUMNS)),
        pd.DataFrame(equity, columns=["at", "balance", "equity"]),
        pd.DataFrame(days, columns=["date", "baseline", "worst_equity", "closing_balance"]),
    )


def _plain(value: Any) -> Any:
    return getattr(value, "value", value)
