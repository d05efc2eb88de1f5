"""Runs of an account kept on disk, so that the same backtest need not trade the same signals again.

The key of a run is a digest of all that it depends on: the candles, the signals, the account, the plan, and the text of every
module of `signalbox` and `training.backtest`. A changed line of code therefore has another key, as changed candles have. A run is
kept only if what was written is read back equal to it, and a file that cannot be read is a run that was never kept.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from pydantic import TypeAdapter

import signalbox
from signalbox.events import SignalGenerated
from signalbox.risk.ftmo.state import AccountDay
from signalbox.trading.changes import RiskEvent
from signalbox.trading.state import AccountState, Halt
from training.backtest.bar_grid import BarGrid
from training.backtest.engine import BacktestEnding, BacktestRun, Plan
from training.backtest.record import BacktestRecord, EquityRow, TradeRow
from training.backtest.starts import Attempt
from training.errors import TrainingError

KEPT: Final = 64  # files; the oldest are removed
MOST_BYTES: Final = 64 * 2**20  # of a file that is read
_FORMAT: Final = 1
_PACKAGES: Final = ("numpy", "pydantic", "tzdata")
_DECIMALS: Final = 4  # of an AccountDay
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _StoredRun:
    """A BacktestRun as it is written.

    An AccountDay is a tuple, because its field `date` hides the type of that name. A line of the compliance record has its limit
    and its value apart, each with whether it is a number, because both may be a text of digits.
    """

    state: AccountState
    trades: list[TradeRow]
    days: list[tuple[date, Decimal, Decimal, Decimal, Decimal]]
    equity: list[EquityRow]
    risk: list[tuple[RiskEvent, tuple[bool, str | None], tuple[bool, str | None]]]
    halts: list[Halt]
    ending: BacktestEnding
    ended_at: datetime
    signals_after: int
    watched: int

    @classmethod
    def of(cls, run: BacktestRun) -> _StoredRun:
        """Return the run in the form that is written."""
        record = run.record
        return cls(
            _writable(run.state),
            record.trades,
            [(day.date, day.baseline, day.daily_limit, day.closing_balance, day.worst_equity) for day in record.days],
            record.equity,
            [(replace(line, limit=None, value=None), _written(line.limit), _written(line.value)) for line in record.risk],
            record.halts,
            run.ending,
            run.ended_at,
            run.signals_after,
            run.watched,
        )

    def run(self) -> BacktestRun:
        """Return the run that was written."""
        days = [AccountDay(*day) for day in self.days]
        risk = [replace(line, limit=_read(limit), value=_read(value)) for line, limit, value in self.risk]
        record = BacktestRecord(self.trades, days, self.equity, risk, self.halts)
        return BacktestRun(self.state, record, self.ending, self.ended_at, self.signals_after, self.watched)


def _writable(state: AccountState) -> AccountState:
    """Return the state with plain dictionaries in place of read-only views, which pydantic does not write."""
    books = state.books
    return state.after(
        books=replace(books, positions=dict(books.positions), lots=dict(books.lots)),
        orders=dict(state.orders),
        trades=dict(state.trades),
        marks=dict(state.marks),
        closings=dict(state.closings),
    )


def _written(value: Decimal | str | None) -> tuple[bool, str | None]:
    return isinstance(value, Decimal), None if value is None else str(value)


def _read(written: tuple[bool, str | None]) -> Decimal | str | None:
    is_number, text = written
    return Decimal(text) if is_number and text is not None else text


_RUN: Final = TypeAdapter(_StoredRun)
_ATTEMPTS: Final = TypeAdapter(tuple[Attempt, ...])


@dataclass(frozen=True, slots=True)
class RunInputs:
    """The digest of what every run of a backtest shares: the code, the candles and the signals."""

    digest: bytes

    @classmethod
    def of(cls, grid: BarGrid, signals: Sequence[SignalGenerated]) -> RunInputs:
        """Return the digest of a grid and the signals that an account may follow."""
        found = hashlib.blake2b(f"{_FORMAT} {_code()} {grid.first_ms} {grid.open.shape}".encode(), digest_size=32)
        for bars in grid.bars:
            found.update(f"{bars.symbol} {len(bars)}".encode())
            for column in (bars.open_time_ms, bars.open, bars.high, bars.low, bars.close, bars.volume):
                found.update(np.ascontiguousarray(column, column.dtype.newbyteorder("<")).data)
        for signal in signals:
            found.update(signal.model_dump_json().encode())
        return cls(found.digest())

    def key(self, kind: str, plan: Plan, starts: Sequence[datetime] = ()) -> str:
        """Return the name of the file of a run, or of the attempts from several start dates."""
        dates = " ".join(start.isoformat() for start in starts)
        of_plan = f"{plan.account.model_dump_json()} {plan.start} {plan.end} {plan.every_bar} {plan.stop_at_target}"
        whole = f"{kind} {of_plan} {plan.stop_when_over} {plan.tells_refusals} {dates}"
        return f"{kind}-{hashlib.blake2b(self.digest + whole.encode(), digest_size=16).hexdigest()}.json"


class KeptRuns:
    """A folder of runs by what they were made from. Several processes may share it: a file is written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find_run(self, key: str) -> BacktestRun | None:
        """Return a kept run, or None."""
        stored = self._find(key, _RUN)
        return None if stored is None else stored.run()

    def keep_run(self, key: str, run: BacktestRun) -> None:
        """Keep a run, if all of it can be read back. Raises TrainingError if its file cannot be written."""
        content = _RUN.dump_json(_StoredRun.of(run))
        if _RUN.validate_json(content).run() == run:
            self._keep(key, content)

    def find_attempts(self, key: str) -> tuple[Attempt, ...] | None:
        """Return the attempts from several start dates, or None."""
        return self._find(key, _ATTEMPTS)

    def keep_attempts(self, key: str, attempts: tuple[Attempt, ...]) -> None:
        """Keep attempts. Raises TrainingError if their file cannot be written."""
        content = _ATTEMPTS.dump_json(attempts)
        if _ATTEMPTS.validate_json(content) == attempts:
            self._keep(key, content)

    def _find(self, key: str, form: TypeAdapter[T]) -> T | None:
        path = self._folder / key
        try:
            if path.stat().st_size > MOST_BYTES:
                return None
            return form.validate_json(path.read_bytes())
        except (OSError, ValueError):  # of pydantic too
            return None

    def _keep(self, key: str, content: bytes) -> None:
        if len(content) > MOST_BYTES:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".part-", delete=False) as part:
                part.write(content)
            Path(part.name).replace(self._folder / key)
            for old in sorted(self._folder.glob("*.json"), key=_age, reverse=True)[KEPT:]:
                old.unlink(missing_ok=True)
        except OSError as error:
            raise TrainingError(
                f"{self._folder}: cannot write runs ({error}); choose another folder with --scores, or use none with --fresh"
            ) from error


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another process removed it
        return 0.0


@lru_cache(maxsize=1)
def _code() -> str:
    """Return a digest of everything that a run computes with: our modules, the interpreter and the packages."""
    found = hashlib.blake2b(sys.version.encode(), digest_size=16)
    for name in _PACKAGES:
        found.update(f"{name} {importlib.metadata.version(name)}".encode())
    for top in (Path(signalbox.__file__).parent, Path(__file__).parent):
        for path in sorted(top.rglob("*.py")):
            found.update(f"{path.relative_to(top)}\n".encode())
            found.update(path.read_bytes())
    return found.hexdigest()
