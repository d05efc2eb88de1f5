"""One worked example a report: every figure is computed by hand in the comment beside it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from signalbox.orders.events import OrderCanceled
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.order import Order
from signalbox.orders.quality import Cost
from signalbox.orders.terms import Leg, Side
from signalbox.portfolio.entries import FundingPayment
from signalbox.portfolio.lots import LotMethod, StandingOrder
from signalbox.reports.blotter import blotter_report, executions
from signalbox.reports.build import BUILDERS, build
from signalbox.reports.compliance import compliance_report, level_of, limit_uses, loss_uses
from signalbox.reports.csv_text import Cents
from signalbox.reports.curve import EquitySample, fold
from signalbox.reports.errors import ReportSourceError
from signalbox.reports.execution import quality_report, unmeasured
from signalbox.reports.measurement import MeasuredOrder, Unmeasured, bars_needed, measure
from signalbox.reports.pnl import pnl_report, profit_and_loss
from signalbox.reports.report import ReportKind
from signalbox.reports.source import AccountPeriod
from signalbox.reports.tax_form import tax_parts, tax_report
from signalbox.risk.ftmo.headroom import StopLevel
from signalbox.risk.ftmo.state import AccountDay
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading.changes import RiskEvent, RiskEventKind
from signalbox.trading.state import Halt, Trade, TradeState
from tests.builders import BTC, ETH, NOON, candle, minutes
from tests.csv_text import read_csv
from tests.unit.orders import samples as orders
from tests.unit.reports.samples import CAPITAL, FTMO, PAPER, at, fill, period_of, prices, transfer

ENTRIES = (
    CAPITAL,
    fill(at(2, 29), "BUY", "2", "1000", "2", key="b1"),
    fill(at(3, 1), "SELL", "1", "1200", "1.2", key="s1"),
    FundingPayment(account=PAPER.account, key="f1", at=at(3, 2), symbol=BTC, amount=Decimal(-3)),
    transfer(at(3, 3), "-500"),
    fill(at(3, 5), "SELL", "1", "50", "0.05", symbol=ETH, key="s2"),
)


def march(**changes: Any) -> AccountPeriod:
    return period_of("2024-03", ENTRIES, prices(d0301="1100"), **changes)


def test_the_statement_of_a_month() -> None:
    found = profit_and_loss(march())
    total = found.total.statement
    assert total.opening_equity == 100_198  # 100000 - 2 + 2 * (1100 - 1000)
    assert (total.realised, total.fees, total.funding, total.transfers) == (
        Decimal(200),
        Decimal("1.25"),
        Decimal(-3),
        Decimal(-500),
    )
    assert total.unrealised_change == -290  # BTC from 2 * 100 to 1 * -100; ETH short from 50, at 40: 10
    assert total.net == Decimal("-94.25")  # 200 - 1.25 - 3 - 290
    assert total.closing_equity == Decimal("99603.75")  # 100198 - 500 - 94.25
    first, second = found.parts[0].statement, found.parts[1].statement
    assert (found.parts[0].name, len(found.parts)) == ("2024-03-01", 31)
    assert first.net == Decimal("-101.2")  # 200 - 1.2 and from 2 * 100 to 1 * -100
    assert (second.opening_equity, second.net) == (Decimal("100096.8"), Decimal(-3))  # 100198 - 101.2


def test_the_symbols_of_a_month_add_up_to_it() -> None:
    btc, eth = profit_and_loss(march()).symbols
    assert (btc.symbol, btc.fills, btc.buys, btc.volume) == (BTC, 1, 0, Decimal(1200))
    assert btc.net == Decimal("-104.2")  # 200 - 1.2 - 3 - 300
    assert (eth.symbol, eth.realised, eth.net) == (ETH, Decimal(0), Decimal("9.95"))  # 10 - 0.05
    assert btc.net + eth.net == Decimal("-94.25")


def test_the_drawdown_is_measured_without_what_was_paid_in_or_out() -> None:
    recorded = fold(
        [
            EquitySample(at(3, 1, 1), Decimal(100_298), Decimal(100_000)),  # profit 298: the peak
            EquitySample(at(3, 4, 1), Decimal(99_448), Decimal(99_500)),  # profit -52: 350 below it
            EquitySample(at(3, 6, 1), Decimal(99_500), Decimal(99_500)),
        ],
        at(3, 1, 0),
        at(4, 1, 0),
    )
    found = profit_and_loss(march(curve=recorded))
    assert found.deepest is not None
    assert (found.deepest.at, found.deepest.drawdown) == (at(3, 4, 1), Decimal(350))
    assert found.deepest_share == Decimal("0.003507")  # 350 / (298 + 99500)


def test_the_rows_of_a_statement_are_parts_total_and_symbols() -> None:
    report = pnl_report(march())
    columns, rows = read_csv(report.csv())
    named = [dict(zip(columns, row, strict=True)) for row in rows]
    assert [row["row"] for row in named] == ["part"] * 31 + ["total", "symbol", "symbol"]
    assert (named[31]["net"], named[31]["start"], named[31]["end"]) == ("-94.25", "2024-03-01T00:00:00Z", "2024-04-01T00:00:00Z")
    assert "paper trading, no real money" in report.html()
    assert "<svg" in report.html()


def test_a_price_that_is_missing_is_named_and_not_made_up() -> None:
    with pytest.raises(ReportSourceError, match=r"BTC-USD.*coinbase has no candle"):
        pnl_report(period_of("2024-03", ENTRIES, lambda _: {}))


def trade() -> tuple[Trade, object]:
    of = orders.terms(account=PAPER.account, decided_at=at(3, 1), side="SELL", leg=Leg.EXIT, quantity="1", send_before=at(3, 2))
    order = orders.applied(orders.accepted(of), orders.fill(of, "s1", "1", "1200", "1.2", at(3, 1)))
    found = Trade(
        entry=ClientOrderId("e" * 32),
        symbol=BTC,
        side=Side.BUY,
        decided_at=at(2, 29),
        deployment="starter",
        stage="shadow",
        state=TradeState.CLOSED,
        stop_loss=Decimal(900),
        take_profit=None,
        deadline=at(3, 2),
        opened_at=at(2, 29),
        exit=order.client_order_id,
        exit_leg=Leg.EXIT,
        closed_at=at(3, 1),
        realised=Decimal("196.8"),
    )
    return found, order


def test_the_blotter_lists_executions_with_what_stood_behind_them() -> None:
    made, order = trade()
    data = march(trades=(made,), orders=(order,))
    one, other = executions(data)
    assert (one.value, one.realised, one.net, one.position_after) == (
        Decimal(1200),
        Decimal(200),
        Decimal("198.8"),
        Decimal(1),
    )  # 200 - 1.2
    assert one.trade is made
    assert (other.realised, other.net, other.position_after, other.order) == (Decimal(0), Decimal("-0.05"), Decimal(-1), None)
    report = blotter_report(data)
    realised = [cell for cell in report.table.column("realised") if isinstance(cell, Decimal)]
    assert len(realised) == len(report.table.rows)
    assert sum(realised) == profit_and_loss(data).total.statement.realised == 200
    assert report.table.column("leg") == ("EXIT", None)
    assert report.table.column("stage") == ("shadow", None)
    assert "starter (shadow)" in report.html()


def test_the_blotter_shows_the_venues_reason_for_orders_that_ended_unfilled() -> None:
    words = '10019 NO_MONEY: <b>"not enough"</b>'
    of = orders.terms(account=PAPER.account, decided_at=at(3, 2), quantity="1", send_before=at(3, 3))
    name = of.client_order_id
    cut = orders.applied(
        orders.accepted(of),
        orders.fill(of, "s9", "0.4", "1200", "0", at(3, 2)),
        OrderCanceled(client_order_id=name, at=at(3, 2), reason="VENUE_REFUSED", detail=words),
    )
    old = orders.terms(account=PAPER.account, decided_at=at(2, 2), quantity="1", send_before=at(2, 3))
    before = orders.applied(
        orders.accepted(old), OrderCanceled(client_order_id=old.client_order_id, at=at(2, 2), reason="X", detail="of before")
    )
    entries = (*ENTRIES, fill(at(3, 2), "BUY", "0.4", "1200", key="s9"))
    report = blotter_report(period_of("2024-03", entries, orders=(cut, before)))
    assert words in report.table.column("venue_words")
    assert ("CANCELED", "VENUE_REFUSED") in set(
        zip(report.table.column("order_state"), report.table.column("order_reason"), strict=True)
    )
    assert "10019 NO_MONEY: &lt;b&gt;" in report.html()
    assert "of before" not in report.html()


def test_form_8949_has_two_parts_with_totals() -> None:
    history = (
        CAPITAL.model_copy(update={"at": at(12, 30, year=2022)}),
        fill(at(12, 31, year=2022), "BUY", "1", "100", "0.50", key="old"),
        fill(at(2, 20), "BUY", "1", "400", "0.40", key="new"),
        fill(at(3, 10), "SELL", "1", "300", "0.30", key="first"),  # FIFO: the lot of 2022, long
        fill(at(3, 11), "SELL", "1", "310", "0.31", key="second"),  # the lot of February, short, at a loss
        fill(at(3, 20), "BUY", "1", "320", "0", key="again"),  # within 30 days of that loss
    )
    data = period_of("2024-03", history)
    short, long = tax_parts(data)
    ((_, line),) = long.rows
    assert (line.proceeds, line.cost_basis, line.gain) == (Decimal("299.70"), Decimal("100.50"), Decimal("199.20"))
    assert not line.in_wash_sale_window
    ((_, line),) = short.rows
    assert (line.proceeds, line.cost_basis, line.gain) == (Decimal("309.69"), Decimal("400.40"), Decimal("-90.71"))
    assert line.in_wash_sale_window
    report = tax_report(data)
    assert report.table.column("row") == ("disposal", "total", "disposal", "total")
    assert report.table.column("part") == ("I", "I", "II", "II")
    assert report.table.column("gain") == tuple(Cents(Decimal(g)) for g in ("-90.71", "-90.71", "199.20", "199.20"))
    assert report.table.column("adjustment") == (None,) * 4  # flagged, never adjusted
    assert "no tax advice" in report.html()


def test_a_standing_order_chooses_the_lots_of_the_form() -> None:
    history = (
        CAPITAL,
        fill(at(2, 29, 1), "BUY", "1", "100", key="cheap"),
        fill(at(2, 29, 2), "BUY", "1", "400", key="dear"),
        fill(at(3, 10), "SELL", "1", "300", key="sale"),
    )
    hifo = (StandingOrder(LotMethod.HIFO, at(3, 1), at(3, 1)),)
    (_, fifo_line), (_, hifo_line) = (tax_parts(period_of("2024-03", history, standing_orders=s))[0].rows[0] for s in ((), hifo))
    assert (fifo_line.gain, hifo_line.gain) == (Decimal(200), Decimal(-100))  # 300 - 100, 300 - 400


def test_a_form_that_the_entries_do_not_make_is_refused() -> None:
    data = march()
    with pytest.raises(ReportSourceError, match=r"\(0 and 1\)"):
        tax_parts(replace(data, disposals=()))


EVENTS = (
    RiskEvent(RiskEventKind.ORDER_REFUSED, "o1", at(3, 1, 13), "ORDER_RATE_OVER_LIMIT", BTC, Decimal(20), Decimal(21)),
    RiskEvent(RiskEventKind.HALTED, "h1", at(3, 1, 14), "HALT", who="anna", detail="news"),
)


def ftmo_march(**changes: Any) -> AccountPeriod:
    days = (
        AccountDay(date(2024, 2, 29), Decimal(100_000), Decimal(95_000), Decimal(101_000), Decimal(99_900)),
        AccountDay(date(2024, 3, 1), Decimal(101_000), Decimal(96_000), Decimal(98_600), Decimal(98_400)),
        AccountDay(date(2024, 3, 2), Decimal(98_600), Decimal(93_600), Decimal(98_600), Decimal(89_900)),
    )
    halt = Halt(HaltLevel.HALT, "anna", "news", at(3, 1, 14))
    return period_of("2024-03", (), account=FTMO, days=days, risk_events=EVENTS, halt=halt, **changes)


def test_the_highest_use_of_each_loss_limit_by_day() -> None:
    first_daily, first_max, second_daily, second_max = loss_uses(ftmo_march())
    # 101000 - 98400 = 2600 of 5 % of 100000; over half: an alert. Overall 100000 - 98400 = 1600 of 10000
    assert (first_daily.day, first_daily.rule.used, first_daily.share) == (date(2024, 3, 1), Decimal(2600), Decimal("0.52"))
    assert (level_of(first_daily), level_of(first_max)) == (StopLevel.ALERT, StopLevel.CLEAR)
    assert (first_max.rule.used, first_max.share) == (Decimal(1600), Decimal("0.16"))
    # 98600 - 89900 = 8700 of 5000, and 100000 - 89900 = 10100 of 10000: both broke
    assert (second_daily.share, second_max.share) == (Decimal("1.74"), Decimal("1.01"))
    assert level_of(second_daily) == level_of(second_max) == StopLevel.BREACHED


def test_the_compliance_record_is_in_order_of_time_with_who_and_why() -> None:
    report = compliance_report(ftmo_march())
    rows = [dict(zip(report.table.columns, row, strict=True)) for row in report.table.rows]
    events = [row for row in rows if row["row"] == "event"]
    assert [row["kind"] for row in events] == ["ORDER_REFUSED", "HALTED"]
    assert (events[1]["who"], events[1]["detail"]) == ("anna", "news")
    refused = {use.name: use.refusals for use in limit_uses(ftmo_march())}
    assert (refused["max_orders_per_window"], refused["max_symbol_exposure_fraction"]) == (1, 0)
    assert report.figures["highest level of a loss rule"] == "BREACHED"
    assert report.figures["kill switch at the end"] == "HALT"


BARS = [
    candle(BTC, NOON - minutes(1), "99"),
    candle(BTC, NOON, "101", open="100", high="102", low="99", volume="10"),
    candle(BTC, NOON + minutes(5), "103"),
]


def executed() -> Order:
    of = orders.terms(account=PAPER.account)
    order = orders.applied(
        orders.accepted(of),
        orders.fill(of, "t-1", "4", "100.2", "0.5", orders.seconds(4)),
        orders.fill(of, "t-2", "4", "101.3", "0.5", orders.seconds(7)),
    )
    return orders.applied(order, OrderCanceled(client_order_id=of.client_order_id, at=orders.seconds(20), reason="R"))


def test_an_order_is_measured_against_the_candles_around_it() -> None:
    row = measure(executed(), "paper", BARS)
    assert isinstance(row, MeasuredOrder)
    assert (row.decision_price, row.arrival_mid, row.end_mid) == (
        Decimal(99),
        Decimal(100),
        Decimal(100),
    )  # a close, and the open of the minute
    assert row.market_vwap == Decimal("100.666666666667")  # (102 + 99 + 101) / 3
    quality = row.quality
    assert quality.arrival_slippage.bps == 75  # 4 * 0.2 + 4 * 1.3 = 6 of 800
    assert quality.effective_spread == Cost(Decimal(12), Decimal(800))  # twice that
    assert quality.realised_spread.bps == -450  # 2 * (4 * -2.8 + 4 * -1.7) = -36 of 800, the mid at 103 five minutes on
    assert quality.price_impact.bps == 600  # 2 * 8 * 3 = 48 of 800
    # 4 * 1.2 + 4 * 2.3 = 14, the 2 that were not bought rose by 1 each, fees of 1: 17 of 990
    assert quality.implementation_shortfall.bps == Decimal("171.7172")
    assert quality.vwap_slippage.cost == Decimal("0.666666666664")  # 806 - 8 * 100.666666666667
    assert quality.mean_time_to_first_fill == timedelta(seconds=3)


def test_the_bars_that_are_needed_are_those_that_are_looked_at() -> None:
    start, end = bars_needed(executed())
    assert measure(executed(), "paper", [b for b in BARS if start <= b.open_time < end]) == measure(executed(), "paper", BARS)


def test_an_order_without_candles_is_named_and_not_guessed() -> None:
    found = measure(executed(), "paper", [candle(BTC, NOON - minutes(30), "99")])
    assert isinstance(found, Unmeasured)
    assert found.reason == "no candle within 0:10:00 before its decision"
    data = march(orders=(executed(),))
    assert unmeasured(data) == (executed(),)
    assert "Orders without figures" in quality_report(data).html()


def test_quality_is_told_by_order_day_venue_symbol_and_of_all() -> None:
    row = measure(executed(), "paper", BARS)
    report = quality_report(march(quality=(row,)))
    assert report.table.column("row") == ("order", "day", "venue", "symbol", "total")
    assert report.table.column("arrival_slippage_bps") == (Decimal(75),) * 5
    assert report.table.column("fill_ratio") == (Decimal("0.8"), None, None, Decimal("0.8"), None)  # of one symbol alone
    assert report.figures["arrival slippage"] == "+75.00 bp"


@pytest.mark.parametrize("kind", list(BUILDERS))
def test_an_empty_period_gives_a_report_that_says_so(kind: ReportKind) -> None:
    report = build(kind, period_of("2024-03-15", (CAPITAL,)))
    assert report.is_empty
    assert "Nothing happened in this period" in report.html()
    assert read_csv(report.csv())[0] == report.table.columns


@pytest.mark.parametrize("kind", list(BUILDERS))
def test_a_page_escapes_what_others_wrote(kind: ReportKind) -> None:
    hostile = '<script>alert("1")</script>'
    measured = measure(executed(), "paper", BARS)
    assert isinstance(measured, MeasuredOrder)
    made, order = trade()
    event = RiskEvent(RiskEventKind.OVERRIDE, hostile, at(3, 1), hostile, who=hostile, detail=hostile)
    halt = Halt(HaltLevel.HALT, hostile, hostile, at(3, 1))
    entries = (*ENTRIES, fill(at(3, 7), "SELL", "1", "1300", key=hostile))
    data = period_of(
        "2024-03",
        entries,
        trades=(replace(made, deployment=hostile),),
        orders=(order,),
        risk_events=(event,),
        halt=halt,
        quality=(replace(measured, venue=hostile),),
    )
    assert "<script>alert" not in build(kind, data).html()
