"""The deployed trading service.

A paper account from signals to closed trades, commands, the kill switch, deliveries that repeat.
"""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import psycopg
import pytest

from local.cloud.accounts import AccountRecord, summarise_account, worst_used
from local.cloud.processes import wait_until
from local.settings import VENUE
from signalbox.contracts import Function, Metric, StackOutput
from signalbox.market.candles import ONE_MINUTE, Symbol
from signalbox.orders.order import Order
from signalbox.orders.transitions import OrderState
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading.commands import AnyCommand, HaltTrading, ResumeTrading, SubmitOrder
from signalbox.trading.state import AccountState
from tests.e2e.conftest import START, Market

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
ACCOUNT = "ftmo-2step-100k"
SIGNED = {  # the emulator resolves the key and checks no signature
    "authorization": "AWS4-HMAC-SHA256 Credential=000000000000/20260114/us-east-1/execute-api/aws4_request, "
    "SignedHeaders=host, Signature=00"
}


@pytest.fixture(autouse=True)
def running(market: Market) -> None:
    """The account trades before each test, whatever those before it did to it."""
    if state(market).halt is not None:
        send(market, ResumeTrading(account=ACCOUNT, request_id=f"free-{market.now:%H%M}", requested_at=market.now, why="a test"))


def cycle(market: Market) -> None:
    at = market.cycle()
    market.cloud.watch.until_traded(at, seconds=60)


def send(market: Market, command: AnyCommand) -> None:
    """Put a command on the trading queue and wait until it is carried out."""
    market.cloud.emulator.client("sqs").send_message(
        QueueUrl=market.cloud.outputs[StackOutput.TRADING_QUEUE_URL],
        MessageBody=command.model_dump_json(),
        MessageGroupId=command.account,
    )
    market.quiet()


def state(market: Market) -> AccountState:
    return market.cloud.accounts.state(ACCOUNT, market.now)


def record(market: Market) -> AccountRecord:
    (found,) = market.cloud.accounts.record(START - timedelta(days=1), market.now)
    return found


def order(market: Market, command: SubmitOrder) -> Order:
    return record(market).orders[command.terms().client_order_id]


def buy(market: Market, request_id: str, quantity: str = "0.5") -> SubmitOrder:
    return SubmitOrder.model_validate(
        {
            "account": ACCOUNT, "request_id": request_id, "requested_at": market.now, "symbol": "SOL-USD", "side": "BUY",
            "type": "MARKET", "quantity": quantity,
        }
    )  # fmt: skip


def facts(market: Market) -> list[tuple[str, int]]:
    """How many rows each table of accounts has."""
    names = ("orders", "order_events", "fills", "account_entries", "trades", "equity_snapshots", "risk_events", "halts", "outbox")
    with psycopg.connect(market.cloud.postgres.dsn) as connection:
        return [(name, connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]) for name in names]  # type: ignore[index]


def test_signals_become_trades_and_their_profit_closes(market: Market) -> None:
    for _ in range(48):
        cycle(market)
        if any(trade.closed_at for trade in record(market).trades):
            break
    found = record(market)
    closed = [trade for trade in found.trades if trade.closed_at]
    assert closed
    cash, held = Decimal(100_000), defaultdict[str, Decimal](Decimal)
    for fill in found.facts.fills:
        cash -= fill.signed_quantity * fill.price + fill.fee
        held[fill.symbol] += fill.signed_quantity
    newest = found.facts.equity[-1]
    bars = {s: market.cloud.ledger.bars(VENUE, Symbol(s), newest.at - ONE_MINUTE, newest.at) for s in held}
    closes = {symbol: Decimal(repr(float(of.close[-1]))) for symbol, of in bars.items()}
    assert (newest.at, newest.cash) == (market.now, cash)
    assert newest.equity == cash + sum(quantity * closes[symbol] for symbol, quantity in held.items())
    by_trade = [order for order in found.orders.values() if order.terms.strategy == found.account.strategy]
    assert len(by_trade) >= 2 * len(closed)
    assert summarise_account(found)["trades_closed"] == len(closed)
    used = worst_used(found)["max_loss"]
    assert Decimal(0) <= Decimal(used["used"]) < Decimal(used["limit"])


def test_every_trade_is_told_when_it_opens_and_when_it_closes(market: Market) -> None:
    market.quiet()
    sent, before = len(market.texts()), record(market)
    opened, closed = 0, 0
    for _ in range(48):
        cycle(market)
        now = record(market)
        opened, closed = len(now.trades) - len(before.trades), _closed(now) - _closed(before)
        if opened and closed:
            break
    market.quiet()
    reported = [text for text in market.texts()[sent:] if ACCOUNT in text]
    assert opened
    assert closed
    assert sum("\nStop " in text for text in reported) == opened
    assert sum(" closed " in text for text in reported) == closed


def test_cycle_delivered_and_published_twice_doubles_nothing(market: Market) -> None:
    cycle(market)
    market.quiet()
    before, sent = facts(market), len(market.texts())
    with psycopg.connect(market.cloud.postgres.dsn) as connection:  # as after a crash between commit and publish
        connection.execute("UPDATE outbox SET published_at = NULL WHERE created_at = %s", (market.now,))
    assert market.cloud.clock.fire(market.relay, market.now).answer["published"] >= 1
    market.fire(market.now)
    market.quiet()
    assert (facts(market), len(market.texts())) == (before, sent)


def test_monitor_twice_at_an_instant_leaves_what_once_leaves(market: Market) -> None:
    monitor = market.cloud.schedule_of(Function.MONITOR_RISK)
    cycle(market)
    at = market.now + ONE_MINUTE
    assert market.cloud.clock.fire(monitor, at).answer == {"accounts": 1, "halts": 0}
    before = facts(market)
    assert market.cloud.clock.fire(monitor, at).error is None
    assert facts(market) == before
    assert state(market).at == at


def test_command_of_the_queue_is_an_order_once_however_often_it_comes(market: Market) -> None:
    cycle(market)
    command = buy(market, f"once-{market.now:%H%M}")
    send(market, command)
    assert order(market, command).state is OrderState.ACCEPTED
    again = json.dumps(json.loads(command.model_dump_json()), indent=1)  # another text, so that the queue takes it again
    _queue(market, again)
    cycle(market)
    found = order(market, command)
    assert (found.state, found.filled) == (OrderState.FILLED, Decimal("0.5"))
    assert sum(fill.quantity == Decimal("0.5") for fill in record(market).facts.fills if fill.symbol == "SOL-USD") >= 1
    assert [line.who for line in record(market).facts.risk_events if line.key == f"submit:{command.request_id}"] == [
        "000000000000"
    ]


def test_messages_that_no_account_takes_hold_nothing_back(market: Market) -> None:
    cycle(market)
    refused = market.cloud.logs.total(Function.MANAGE_ORDERS, Metric.EVENTS_REFUSED)
    _queue(market, "{")
    nobody = HaltTrading(account="nobody-1k", request_id=f"req-{market.now:%H%M}", requested_at=market.now, why="nobody is there")
    _queue(market, nobody.model_dump_json())
    cycle(market)
    assert state(market).at == market.now
    wait_until(
        lambda: market.cloud.logs.total(Function.MANAGE_ORDERS, Metric.EVENTS_REFUSED) == refused + 2 or None,
        what="two refused messages",
        seconds=20,
    )


def test_halt_stops_entries_survives_a_restart_of_the_function_and_is_told(market: Market) -> None:
    cycle(market)
    sent = len(market.texts())
    halt = HaltTrading(account=ACCOUNT, request_id=f"halt-{market.now:%H%M}", requested_at=market.now, why="somebody looks")
    send(market, halt)
    assert "somebody looks" in market.await_text(f"{ACCOUNT}: halted", sent)
    _kill_workers(market, "manage-orders")
    refused = buy(market, f"no-{market.now:%H%M}")
    send(market, refused)
    found = order(market, refused)
    assert (found.state, found.reason) == (OrderState.DENIED, "ACCOUNT_HALTED")
    opened = {trade.entry for trade in record(market).trades}
    for _ in range(3):
        cycle(market)
    assert {trade.entry for trade in record(market).trades} <= opened
    assert state(market).halt is not None
    send(market, ResumeTrading(account=ACCOUNT, request_id=f"go-{market.now:%H%M}", requested_at=market.now, why="looked"))
    assert state(market).halt is None
    accepted = buy(market, f"yes-{market.now:%H%M}")
    send(market, accepted)
    found = order(market, accepted)
    # a stop that was hit meanwhile may have locked the symbol for a while, which is no halt
    assert found.state is OrderState.ACCEPTED or found.reason == "ENTRY_LOCKED"


def test_flatten_closes_what_is_held(market: Market) -> None:
    cycle(market)
    send(market, buy(market, f"flat-{market.now:%H%M}"))
    cycle(market)
    assert state(market).books.position("SOL-USD").quantity > 0
    halt = HaltTrading(
        account=ACCOUNT, request_id=f"out-{market.now:%H%M}", requested_at=market.now, level=HaltLevel.FLATTEN, why="get out"
    )
    send(market, halt)
    cycle(market)
    assert not any(position.quantity for position in state(market).books.positions.values())


def test_api_shows_an_account_to_a_signed_request_and_nothing_to_others(market: Market) -> None:
    cycle(market)
    status, body = _call(market, "GET", f"/accounts/{ACCOUNT}", signed=True)
    assert (status, body["account"], body["capital"], body["mode"]) == (200, ACCOUNT, "100000", "paper")
    assert _call(market, "GET", f"/accounts/{ACCOUNT}", signed=False)[0] == 403
    assert _call(market, "GET", "/accounts/nobody-1k", signed=True)[0] == 404


def test_api_says_what_is_wrong_with_an_order(market: Market) -> None:
    before = facts(market)
    good = json.loads(buy(market, "api-0001").model_dump_json(exclude={"kind"}))
    status, body = _call(market, "POST", "/orders", good, signed=True)
    assert (status, body["detail"].split(":")[0]) == (409, "requested_at")  # the market's clock is not the gateway's
    status, body = _call(market, "POST", "/orders", {**good, "quantity": "-1"}, signed=True)
    assert (status, [w["pointer"] for w in body["errors"]]) == (422, ["#/quantity"])
    assert facts(market) == before


def test_what_the_desk_did_is_counted(market: Market) -> None:
    cycle(market)
    market.quiet()
    opened = wait_until(
        lambda: market.cloud.logs.total(Function.MANAGE_ORDERS, Metric.TRADES_OPENED) or None, what="a counted trade", seconds=20
    )
    assert opened <= len(record(market).trades)


def _closed(found: AccountRecord) -> int:
    return sum(trade.closed_at is not None for trade in found.trades)


def _queue(market: Market, text: str) -> None:
    url = market.cloud.outputs[StackOutput.TRADING_QUEUE_URL]
    market.cloud.emulator.client("sqs").send_message(QueueUrl=url, MessageBody=text, MessageGroupId=ACCOUNT)


def _call(market: Market, method: str, path: str, body: object = None, *, signed: bool) -> tuple[int, dict[str, Any]]:
    url = urlsplit(market.cloud.outputs[StackOutput.ORDERS_API_URL])
    headers = {"host": url.netloc, **(SIGNED if signed else {})}
    answer = httpx.request(method, f"{market.cloud.emulator.url}{path}", headers=headers, json=body, trust_env=False, timeout=60)
    return answer.status_code, answer.json()


def _kill_workers(market: Market, function: str) -> None:
    """End the warm processes of a function, as a new version or a crash does."""
    service = market.cloud.emulator._service
    assert service is not None
    workers = [
        p for p in psutil.Process(service.guard_pid).children(recursive=True) if any(function in part for part in p.cmdline())
    ]
    assert workers
    for worker in workers:
        worker.kill()
    psutil.wait_procs(workers, timeout=10)
