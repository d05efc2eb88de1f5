"""A live account on PostgreSQL: what makes it ready is in the rows, and nobody changes those afterwards."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest

from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.ledger import PostgresLedger
from signalbox.adapters.postgres.trading import PostgresTradingLedger
from signalbox.adapters.postgres.trading_reading import TradingReader
from signalbox.orders.events import OrderAccepted, OrderSubmitted
from signalbox.orders.messages import ExecutionReported
from signalbox.orders.parts import in_parts
from signalbox.portfolio.entries import Fill
from signalbox.signals.model import DeployedModel
from signalbox.signals.signal import DeploymentStage, Thresholds
from signalbox.trading.changes import RiskEventKind
from signalbox.trading.commands import COMMANDS
from signalbox.trading.errors import CommandError
from signalbox.trading.readiness import NotReady
from signalbox.trading.service import AccountOutcome, TradingService
from tests.fakes.postgres_server import PostgresServer, app_source
from tests.integration.samples import SIGNAL
from tests.unit.signals.test_cycle import FixedScorer
from tests.unit.trading.market import BTC, ETH, SOL, START, signal, wave
from tests.unit.trading.test_live_service import FIRM, MODEL, NAME, PASSED, RULES, SECOND, entries, view
from tests.unit.trading.test_service import cycle, order

pytestmark = pytest.mark.integration


@pytest.fixture
def service(source: ConnectionSource) -> TradingService:
    """A trading service with one live account, bars, and a model that decided and passed."""
    with PostgresLedger(source).transaction() as tx:
        for symbol in (BTC, ETH, SOL):
            tx.add_candles("coinbase", wave(symbol, START - timedelta(hours=5), 8 * 60))
        model = DeployedModel(MODEL, DeploymentStage.ACTIVE, FixedScorer(), Thresholds(0.03, 0.08), 60, "b1", PASSED)
        tx.add_deployed_model(model, START)
        tx.add_signal(replace(SIGNAL, deployment=MODEL, stage=DeploymentStage.ACTIVE, decided_at=START))
    ledger = PostgresTradingLedger(source)
    ledger.open_account(FIRM, START - timedelta(hours=1), "anna")
    found = TradingService(ledger, "coinbase")
    found.on_event(cycle())
    return found


def say(service: TradingService, what: str, request_id: str, at: object = START, who: str = "anna") -> AccountOutcome:
    output = {"kind": "confirm", "account": NAME, "request_id": request_id, "requested_at": at, "what": what}
    return service.on_command(COMMANDS.validate_python(output), who)


def made_ready(service: TradingService) -> None:
    say(service, "live", "req-live")
    say(service, RULES, "req-rules")
    service.on_event(view(START))


def codes(service: TradingService, at: object = START) -> list[NotReady]:
    return [reason.code for reason in service.readiness_report(NAME, at).readiness.reasons]  # type: ignore[arg-type]


def test_it_trades_while_confirmed_judged_and_compared_and_stops_without_any_of_them(service: TradingService) -> None:
    assert codes(service) == [
        NotReady.MODE_NOT_CONFIRMED, NotReady.NOT_COMPARED, NotReady.SECRETS_MISSING, NotReady.RULES_NOT_CONFIRMED,
    ]  # fmt: skip
    assert entries(service.on_event(signal(BTC))) == []
    made_ready(service)
    assert codes(service) == []
    assert [e.terms.symbol for e in entries(service.on_event(signal(ETH)))] == [ETH]
    service.on_event(view(START + SECOND, positions={"SOL-USD": "1"}))
    assert codes(service, START + SECOND) == [NotReady.DIFFERENCE]
    say(service, "withdrawn", "req-out", START + 2 * SECOND)
    with pytest.raises(CommandError, match="MODE_NOT_CONFIRMED"):
        service.on_command(order(START + 3 * SECOND, NAME), "anna")


def test_a_model_that_failed_a_gate_under_the_same_name_lets_nothing_out(
    service: TradingService, source: ConnectionSource
) -> None:
    made_ready(service)
    with PostgresLedger(source).transaction() as tx:
        failed = PASSED | {"G4": "fail"}
        tx.add_deployed_model(
            DeployedModel(MODEL, DeploymentStage.ACTIVE, FixedScorer(), Thresholds(0.03, 0.08), 60, "b2", failed), START
        )
    assert codes(service) == [NotReady.GATE_NOT_PASSED]
    assert entries(service.on_event(signal(BTC))) == []


def test_two_workers_that_get_one_confirmation_keep_it_once_and_the_record_names_who(
    service: TradingService, source: ConnectionSource, postgres: PostgresServer, database: str
) -> None:
    def again(_: int) -> bool:
        with app_source(postgres, database) as own:
            return bool(say(TradingService(PostgresTradingLedger(own), "coinbase"), "live", "req-live").changes.confirmations)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(again, range(8))) == [False] * 7 + [True]
    found = TradingReader(source).risk_events(NAME, START - SECOND, START + SECOND)
    lines = [line for line in found if line.kind is RiskEventKind.OVERRIDE]
    assert [(line.code, line.who, line.detail) for line in lines] == [("CONFIRM", "anna", "live")]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE confirmations SET what = 'live'",
        "DELETE FROM confirmations",
        "UPDATE deployed_models SET gates = '{}'",
        "DELETE FROM deployed_models",
        "UPDATE accounts SET mode = 'live'",
        "UPDATE accounts SET configuration = '{}'",
    ],
)
def test_the_functions_may_add_to_what_was_said_and_never_change_it(
    service: TradingService, source: ConnectionSource, statement: str
) -> None:
    made_ready(service)
    with pytest.raises(Exception, match="permission denied") as refused, source.transaction() as connection:
        connection.execute(statement)
    assert isinstance(refused.value.__cause__ or refused.value, psycopg.errors.InsufficientPrivilege)


def test_a_view_of_five_thousand_trades_comes_in_parts_and_is_recorded_whole(
    service: TradingService, source: ConnectionSource
) -> None:
    made_ready(service)
    keys = {}
    for symbol, price in ((ETH, "2990"), (SOL, "99")):
        wanted = order(account=NAME, symbol=symbol, type="LIMIT", limit_price=price, quantity="2.5", request_id=f"req-{symbol}")
        sent = service.on_command(wanted, "ada").order
        assert sent is not None
        keys[symbol] = (sent.client_order_id, price)
        reported = (
            OrderSubmitted(client_order_id=sent.client_order_id, at=START + SECOND),
            OrderAccepted(client_order_id=sent.client_order_id, at=START + SECOND, venue_order_id=f"V-{symbol}"),
        )
        service.on_event(
            ExecutionReported(account=NAME, client_order_id=sent.client_order_id, reported_at=START + SECOND, events=reported)
        )
    made = view(
        START + 60 * SECOND,
        orders=[
            {"client_order_id": key, "venue_order_id": f"V-{symbol}", "symbol": symbol, "status": "FILLED", "limit_price": price}
            | {"quantity": "2.5", "filled": "2.5"}
            for symbol, (key, price) in keys.items()
        ],
        trades=[
            {"trade_id": f"t{i}", "client_order_id": key, "symbol": symbol, "side": "BUY", "quantity": "0.001", "price": price}
            | {"executed_at": START + 2 * SECOND + timedelta(milliseconds=i), "fee": "0.0012345678"}
            for i in range(2_500)
            for symbol, (key, price) in keys.items()
        ],
        positions=dict.fromkeys(keys, "2.5"),
    )
    parts = in_parts(made)
    assert len(parts) > 3
    for part in parts[:-1]:
        assert service.on_event(part) == ()
    assert service.query(NAME, START + 60 * SECOND).compared_at == START
    (handled,) = service.on_event(parts[-1])
    assert {symbol: handled.state.books.position(symbol).quantity for symbol in keys} == dict.fromkeys(keys, Decimal("2.5"))
    assert (handled.state.halt, handled.state.compared_at) == (None, START + 60 * SECOND)
    fills = [entry for entry in TradingReader(source).entries(NAME, START, START + 60 * SECOND) if isinstance(entry, Fill)]
    assert len(fills) == 5_000
    assert [one.changes.entries for part in reversed(parts) for one in service.on_event(part)] == []
