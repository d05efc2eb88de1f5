"""Faults that had no test of their metric: the handler is driven into each, and what its alarm watches is what it sends.

Which test proves which alarm is in tests/infrastructure/test_alarm_proofs.py.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from types import ModuleType
from typing import Any

import pytest
from aws_lambda_powertools.utilities.batch.exceptions import BatchProcessingError

from signalbox.alternative.collection import SeriesOutcome
from signalbox.alternative.observations import ObservationKind
from signalbox.bootstrap.relay_outbox import OutboxRelay
from signalbox.events import CollectionProblem
from signalbox.market.acceptance import AcceptedCandles
from signalbox.market.candles import ONE_MINUTE
from signalbox.market.collection import CollectionReport, SymbolCollection
from signalbox.orders.events import OrderSubmitted, OrderUnconfirmed
from signalbox.orders.messages import ExecutionReported
from signalbox.orders.terms import Leg
from signalbox.signals.cycle import NO_WRITES, CycleOutcome
from signalbox.signals.ports import CycleState
from signalbox.trading.changes import ChangeSet, RiskEvent, RiskEventKind
from signalbox.trading.events import ExitFailed, RuleBreached
from tests.builders import BTC, NOON, candle, event
from tests.fakes.lambda_context import FakeLambdaContext
from tests.unit.lambdas.test_handlers import FakeGenerate, logged, metric_values
from tests.unit.lambdas.test_handlers import sqs as plain_sqs
from tests.unit.lambdas.test_trading_handlers import ACCOUNT, CYCLE, KEY, FakeService, sqs

CONTEXT = FakeLambdaContext()
EXIT_FAILED = ExitFailed(
    account=ACCOUNT, mode="live", symbol="BTC-USD", leg=Leg.STOP_LOSS, quantity=Decimal(1), since=NOON, at=NOON, number=1,
    attempts=2, reason="closed", retry_at=None,
)  # fmt: skip
BREACHED = RuleBreached(account=ACCOUNT, rule="daily", at=NOON, limit=Decimal(95_000), equity=Decimal(94_000))


def line(kind: RiskEventKind) -> ChangeSet:
    return ChangeSet(risk=(RiskEvent(kind, "k", NOON, "X"),))


@pytest.mark.parametrize(
    ("metric", "changes"),
    [
        ("ExitsFailed", ChangeSet(events=(EXIT_FAILED,))),
        ("RulesBreached", ChangeSet(events=(BREACHED,))),
        ("VenueDifferences", line(RiskEventKind.DIFFERENCE)),
        ("VenueDifferences", line(RiskEventKind.OVERFILL)),
        ("OthersAtVenue", line(RiskEventKind.OTHERS_AT_VENUE)),
    ],
)
def test_what_went_wrong_with_an_account_is_counted_by_whoever_saw_it(
    load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str], metric: str, changes: ChangeSet
) -> None:
    load("manage_orders").make_handler(FakeService(changes))(sqs(CYCLE, queue="trading.fifo"), CONTEXT)
    assert metric_values(logged(capsys))[metric] == 1
    load("monitor_risk").make_handler(FakeService(changes))(
        {"job": "monitor_risk", "scheduled_at": "2024-03-01T12:00:00Z"}, CONTEXT
    )
    assert metric_values(logged(capsys))[metric] == 1


def test_a_configured_account_that_is_another_in_the_ledger_is_counted(
    load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    service = FakeService()
    service.refused = {ACCOUNT: "exists and is another"}
    load("manage_orders").make_handler(service)(sqs(CYCLE, queue="trading.fifo"), CONTEXT)
    assert metric_values(logged(capsys))["AccountsNotOpened"] == 1


def test_an_order_whose_outcome_is_unknown_is_counted(
    load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    """What the venue's adapter reports when it got no answer: the rest of the path is test_execute_orders.py's."""
    module = load("execute_orders")
    report = ExecutionReported(
        account="live-1",
        client_order_id=KEY,
        reported_at=NOON,
        events=(OrderSubmitted(client_order_id=KEY, at=NOON), OrderUnconfirmed(client_order_id=KEY, at=NOON, attempt="submit")),
    )

    def carried_out(_event: object, _context: object) -> None:
        module._count("request_carried_out", (report,))

    module.metrics.log_metrics(carried_out)({}, CONTEXT)
    assert metric_values(logged(capsys))["OrdersUnconfirmed"] == 1


NEW = CycleOutcome(NOON, CycleState.READY, NO_WRITES, (), ())
AGAIN = CycleOutcome(NOON, CycleState.DECIDED, NO_WRITES, (), ())


def test_a_decided_cycle_is_counted_and_one_that_fails_or_comes_again_is_silence(
    load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    for outcome, is_counted in ((NEW, True), (AGAIN, False), (ConnectionError("the ledger is away"), False)):
        with suppress(BatchProcessingError):  # of a batch that failed whole
            load("generate_signals").make_handler(FakeGenerate(outcome))(plain_sqs(event()), CONTEXT)
        assert ("CycleDuration" in metric_values(logged(capsys))) == is_counted, outcome


@pytest.mark.filterwarnings("ignore:No application metrics")
def test_what_does_not_run_is_silence(load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]) -> None:
    def away(*_: object) -> Any:
        raise ConnectionError("the ledger is away")

    class Away:
        on_minute = staticmethod(away)

    for job, metric, app in (
        ("relay_outbox", "OutboxOldestAge", OutboxRelay(away, away)),
        ("monitor_risk", "MonitorRuns", Away()),
        ("collect_candles", "CandlesCollected", away),
    ):
        handler = load(job).make_handler(app)
        with pytest.raises(ConnectionError):
            handler({"job": job, "scheduled_at": "2024-03-01T12:00:00Z"}, CONTEXT)
        assert metric not in metric_values(logged(capsys)), job


def test_a_venue_that_gives_no_bar_counts_below_one(
    load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    def collect(_: datetime) -> CollectionReport:
        bad = SymbolCollection("coinbase", BTC, NOON, AcceptedCandles((), ()), CollectionProblem.VENUE_TIMEOUT, "no answer")
        return CollectionReport("coinbase", NOON, (bad,), 1)

    load("collect_candles").make_handler(collect)({"job": "collect_candles", "scheduled_at": "2024-03-01T12:00:00Z"}, CONTEXT)
    assert metric_values(logged(capsys))["CandlesCollected"] == 0


@pytest.mark.parametrize(("field", "metric"), [("conflicting", "CandlesConflicting"), ("revised", "CandlesRevised")])
def test_bars_that_changed_after_the_fact_are_counted_each(
    load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str], field: str, metric: str
) -> None:
    bars: dict[str, Any] = {field: (candle(BTC, NOON), candle(BTC, NOON + ONE_MINUTE))}
    changed = replace(NEW, writes=replace(NO_WRITES, **bars))
    for outcome, values in ((changed, {metric: 2}), (NEW, {})):
        load("generate_signals").make_handler(FakeGenerate(outcome))(plain_sqs(event()), CONTEXT)
        counted = metric_values(logged(capsys))
        assert {name: counted[name] for name in ("CandlesConflicting", "CandlesRevised") if name in counted} == values


def test_symbols_decided_on_a_fallback_and_a_fallback_that_is_down_are_counted(
    load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    def found(venue: str, problem: CollectionProblem | None = None) -> SymbolCollection:
        return SymbolCollection(venue, BTC, NOON, AcceptedCandles((), ()), problem, None)

    def counted(report: CollectionReport) -> tuple[float | None, float | None]:
        load("collect_candles").make_handler(lambda _: report)(
            {"job": "collect_candles", "scheduled_at": "2024-03-01T12:00:00Z"}, CONTEXT
        )
        values = metric_values(logged(capsys))
        return values.get("FallbackSymbols"), values.get("FallbackFailures")

    down = CollectionProblem.VENUE_UNAVAILABLE
    assert counted(CollectionReport("coinbase", NOON, (found("coinbase"),), 1)) == (None, None)
    assert counted(CollectionReport("coinbase", NOON, (found("kraken"),), 1, (found("coinbase", down),))) == (1, None)
    assert counted(CollectionReport("coinbase", NOON, (found("coinbase"),), 1, (found("kraken", down),))) == (None, 1)


def test_a_run_without_an_answer_counts_no_observation(
    load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    new = SeriesOutcome("okx", ObservationKind.FUNDING_RATE, BTC, added=3, refused=("a value of the future",))
    down = replace(new, added=0, refused=(), problem=CollectionProblem.VENUE_TIMEOUT, detail="no answer")
    for found, counted in (
        ((new, down), {"ObservationsAdded": 3, "ObservationsRefused": 1, "AlternativeFailures": 1}),
        ((down, down), {"ObservationsAdded": 0, "AlternativeFailures": 2}),
    ):
        handler = load("collect_alternative").make_handler(lambda _, found=found: found)
        answer = handler({"job": "collect_alternative", "scheduled_at": "2024-03-01T12:03:00Z"}, CONTEXT)
        assert metric_values(logged(capsys)) == counted
        assert answer["series"] == 2
