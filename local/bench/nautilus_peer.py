"""Runs bracket orders over bars in nautilus_trader's BacktestEngine. The Python of .venv-nautilus runs this file by its path.

usage: nautilus_peer.py FOLDER, which holds bars.npz and orders.json as backtest.py writes them. Prints JSON: the version, the
seconds of the engine alone, elapsed and of the processor (bars and instruments are made before), and each closed trade with the
minutes it began and ended in.
"""

from __future__ import annotations

import json
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import nautilus_trader
import numpy as np
import pandas as pd
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import AccountType, CurrencyType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import Currency, Money, Price, Quantity
from nautilus_trader.persistence.wranglers import BarDataWrangler
from nautilus_trader.trading.strategy import Strategy

SIM: Final = Venue("SIM")
MINUTE_NS: Final = 60_000_000_000
FEE: Final = Decimal("0.000325")


def main(folder: Path) -> None:
    """Run the engine and print its trades and times."""
    given = json.loads((folder / "orders.json").read_text())
    bars = np.load(folder / "bars.npz")
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(
        venue=SIM,
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        base_currency=USD,
        starting_balances=[Money(given["capital"], USD)],
        default_leverage=Decimal(20),
    )
    instruments = {}
    for name in given["symbols"]:
        instrument = instruments[name] = _instrument(name)
        engine.add_instrument(instrument)
        frame = pd.DataFrame(
            bars[name][:, 1:],
            columns=["open", "high", "low", "close", "volume"],
            index=pd.to_datetime(bars[name][:, 0].astype(np.int64) + 60_000, unit="ms", utc=True),  # a bar is known at its close
        )
        engine.add_data(BarDataWrangler(_bar_type(name), instrument).process(frame))
    strategy = Brackets(instruments, given["orders"])
    engine.add_strategy(strategy)
    began, cpu = time.perf_counter(), time.process_time()
    engine.run()
    found = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
    print(json.dumps({"version": nautilus_trader.__version__, **found, "trades": strategy.trades}))


def _instrument(name: str) -> CurrencyPair:
    code = name.partition("-")[0]
    base = Currency(code, 8, 0, code, CurrencyType.CRYPTO)
    return CurrencyPair(
        instrument_id=InstrumentId(Symbol(name), SIM),
        raw_symbol=Symbol(name),
        base_currency=base,
        quote_currency=USD,
        price_precision=2,
        size_precision=8,
        price_increment=Price(0.01, 2),
        size_increment=Quantity(1e-8, 8),
        margin_init=Decimal("0.05"),
        margin_maint=Decimal("0.05"),
        maker_fee=FEE,
        taker_fee=FEE,
        ts_event=0,
        ts_init=0,
    )


def _bar_type(name: str) -> BarType:
    return BarType.from_str(f"{name}.SIM-1-MINUTE-LAST-EXTERNAL")


class Brackets(Strategy):
    """A strategy that sends each bracket at the close of the bar before its entry, and closes positions at their deadlines."""

    def __init__(self, instruments: dict[str, Any], orders: list[dict[str, Any]]) -> None:
        super().__init__()
        self.trades: list[dict[str, Any]] = []
        self._instruments = instruments
        self._due: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in instruments}
        for one in orders:
            self._due[one["symbol"]][one["at_ms"] * 1_000_000] = one
        self._open: dict[str, dict[str, Any]] = {}

    def on_start(self) -> None:
        """Subscribe to the bars of every symbol."""
        for name in self._instruments:
            self.subscribe_bars(_bar_type(name))

    def on_bar(self, bar: Any) -> None:
        """Send the bracket that is due, or close the position whose time is over."""
        name = bar.bar_type.instrument_id.symbol.value
        held = self._open.get(name)
        if held is not None:
            if bar.ts_event >= held["deadline_ms"] * 1_000_000:
                instrument_id = self._instruments[name].id
                held["leg"] = "TIMEOUT"
                self.cancel_all_orders(instrument_id)
                self.close_all_positions(instrument_id)
            return
        one = self._due[name].get(bar.ts_event)
        if one is None:
            return
        instrument = self._instruments[name]
        self._open[name] = {**one, "leg": None}
        self.submit_order_list(
            self.order_factory.bracket(
                instrument_id=instrument.id,
                order_side=OrderSide.BUY if one["side"] == "BUY" else OrderSide.SELL,
                quantity=instrument.make_qty(float(one["quantity"])),
                sl_trigger_price=instrument.make_price(float(one["stop"])),
                tp_price=instrument.make_price(float(one["target"])),
            )
        )

    def on_position_closed(self, event: Any) -> None:
        """Record the trade: its leg is the order that closed it."""
        name = event.instrument_id.symbol.value
        one = self._open.pop(name)
        order = self.cache.order(event.closing_order_id)
        kinds = {"STOP_MARKET": "STOP_LOSS", "LIMIT": "TAKE_PROFIT"}
        leg = one["leg"] or kinds.get(
            order.type_string() if callable(getattr(order, "type_string", None)) else order.order_type.name
        )
        closed_ms = event.ts_closed // 1_000_000
        self.trades.append(
            {
                "number": one["number"],
                "leg": leg,
                "closed_ms": closed_ms,
                "entry_price": event.avg_px_open,
                "exit_price": event.avg_px_close,
            }
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
