"""Every event that people are told of, in every language: its facts, its verdict first, and styles that Telegram takes."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import get_args

import pytest

from signalbox.adapters.telegram.bot_api import entities
from signalbox.alerts.accounts import AccountEvent
from signalbox.alerts.catalogue import Language
from signalbox.alerts.conditions import ConditionEvent, LibraryEvent
from signalbox.alerts.kinds import CRITICAL, AlertKind
from signalbox.alerts.rendering import alert_of
from signalbox.alerts.settings import parse_settings
from signalbox.chat.styled import Style, StyledText
from signalbox.events import (
    Event,
    MarketDataRecovered,
    MarketDataStale,
    ModelRefused,
    SignalGenerated,
    SignalResolved,
    parse_event,
)
from signalbox.library.events import (
    DeploymentChanged,
    EvaluationFailed,
    ModelEvaluated,
    ModelNotQualified,
    ModelRegistered,
    TrainingFailed,
)
from signalbox.orders.terms import Leg, Side
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading import events
from tests.builders import NOON, event, minutes
from tests.unit.alerts.facts import SUMMARY, signal

REGISTERED = ModelRegistered(
    model="dir60-full",
    version=3,
    job="signalbox-prod-train-20261115t020000z",
    at=NOON,
    qualifies=False,
    headline="NOT PROMOTABLE: G1 not passed; this model runs in shadow only",
    shortfalls=("G1 fail: 0.5626 [0.5431, 0.5823], n = 15721",),
    bundle_key="bundles/dir60-full/0.zip",
)
FAILED = TrainingFailed(
    model="dir60-full",
    version=4,
    job="signalbox-prod-train-20261122t020000z",
    at=NOON,
    outcome="failed",
    reason="AlgorithmError: MarketDataError: 45 whole days",
)


NOT_QUALIFIED = ModelNotQualified(
    model="dir60-full",
    version=5,
    job="pipelines-abc-Train-xyz",
    evaluation="pipelines-abc-Evaluate-xyz",
    at=NOON,
    headline="NOT PROMOTABLE: G1 not passed",
    shortfalls=("G1 fail: 0.5626 [0.5431, 0.5823], n = 15721",),
)
EVALUATED = ModelEvaluated(
    model="dir60-full",
    version=3,
    job="signalbox-prod-evaluate-20261116t020000z",
    at=NOON,
    start=NOON - timedelta(days=30),
    end=NOON,
    qualifies=False,
    headline="NOT PROMOTABLE: G3 not passed",
    shortfalls=("G3 fail: 0.08",),
)
EVALUATION_FAILED = EvaluationFailed(
    job="signalbox-prod-evaluate-20261116t020000z",
    at=NOON,
    outcome="failed",
    reason="MarketDataError: no decision",
    model_uri="s3://models/training/artifacts/x/output/model.tar.gz",
)


KEY = "0" * 32
D = Decimal
DEPLOYED = DeploymentChanged(
    deployment="dir60-full-v3", version="dir60-full@3", stage="active", state="healthy", at=NOON, who="alice", why="it passed",
    serves="dir60-full-v3",
)  # fmt: skip
TOLD: list[tuple[Event, tuple[str, ...]]] = [
    (DEPLOYED, ("✅ dir60-full-v3 decides now: dir60-full@3", "active, by alice, 2024-03-01 12:00 UTC", "it passed")),
    (
        DEPLOYED.model_copy(update={"state": "failed", "serves": None}),
        ("⛔ dir60-full-v3 was not deployed: dir60-full@3", "No model decides."),
    ),
    (
        DEPLOYED.model_copy(update={"state": "rolled_back", "serves": "dir60-full-v2"}),
        ("↩️ dir60-full-v3 was rolled back: dir60-full@3", "dir60-full-v2 decides."),
    ),
    (
        SUMMARY,
        (
            "📈 a (paper): 2024-03-01, +1,250.50", "Equity 101,250.50 USD, +1.25% since 2024-03-01 00:00 UTC",
            "Trades: 2 closed, 1 with a profit, 3 opened", "Fees -12.30, funding +0.50",
            "Largest fall -300.00, at 2024-03-01 12:00",
        ),
    ),
    (
        SUMMARY.model_copy(
            update={
                "span": "week", "net": D(-1), "closed": 0, "fall": None, "transfers": D(500), "halt": HaltLevel.HALT,
                "mode": "live",
            }
        ),
        (
            "📉 a: week of 2024-03-01, -1.00", "Trades: none closed, 3 opened", "101,250.50 USD, +0.00% since",
            "No fall from a peak",
            "Deposits and withdrawals: +500.00", "Trading is stopped: halted",
        ),
    ),
    (
        events.OrderRefused(
            account="a", client_order_id=KEY, symbol="BTC-USD", side=Side.BUY, at=NOON, code="HALTED", message="HALTED: x",
        ),
        ("a: BUY BTC-USD was refused", "HALTED: x"),
    ),
    (
        events.TradeOpened(
            account="a", mode="paper", entry=KEY, symbol="BTC-USD", side=Side.SELL, at=NOON, quantity=D("0.5000"),
            price=D("62000.50"), stop_loss=D(63000), take_profit=None, deadline=NOON + minutes(60),
        ),
        ("a (paper): SELL 0.5000 BTC-USD at 62,000.5", "Stop 63,000  Target none", "Until 2024-03-01 13:00 UTC"),
    ),
    (
        events.TradeOpened(
            account="a", mode="live", entry=KEY, symbol="BTC-USD", side=Side.BUY, at=NOON, quantity=D(1),
            price=D(62000), stop_loss=D(61000), take_profit=D(64000), deadline=NOON + minutes(60),
        ),
        ("📈 a: BUY 1 BTC-USD at 62,000", "Target 64,000"),
    ),
    (
        events.TradeClosed(
            account="a", mode="paper", entry=KEY, symbol="BTC-USD", side=Side.BUY, at=NOON, leg=Leg.STOP_LOSS, price=D(61000),
            realised=D("-12.345"), balance=D("99987.655"),
        ),
        ("🔻", "closed at its stop at 61,000", "-12.34 after fees", "balance 99,987.66"),
    ),
    (
        events.RiskWarning(
            account="a", rule="max_daily_loss", level="BLOCK", at=NOON, day="2024-03-01", used=D(4000), amount=D(5000),
            equity=D(96000), limit=D(95000),
        ),
        ("80% of the daily loss limit is used", "▓▓▓▓▓▓▓▓░░ 80%", "No new risk", "Equity 96,000.00, broken below 95,000.00"),
    ),
    (
        events.RiskWarning(
            account="a", rule="max_daily_loss", level="FLATTEN", at=NOON, day="2024-03-02", used=D(4600), amount=D(5000),
            equity=D(98957), limit=D(98557), counts_from=NOON + minutes(30),
        ),
        ("92% of the daily loss limit is used", "in force from 2024-03-01 12:30 UTC", "Everything open is closed", "98,557.00"),
    ),
    (
        events.AccountExhausted(
            account="a", rule="max_loss", at=NOON, balance=D(92100), left=D(100), least_loss=D("211.5"), until=None,
        ),
        ("exhausted", "For good", "100.00 is left", "total loss limit", "less than 211.50", "Balance 92,100.00"),
    ),
    (
        events.AccountExhausted(
            account="a", rule="max_daily_loss", at=NOON, balance=D(96100), left=D(100), least_loss=D(220),
            until=NOON + minutes(5),
        ),
        ("Until 2024-03-01 12:05 UTC", "daily loss limit"),
    ),
    (
        events.TradingHalted(account="a", level=HaltLevel.HALT, who="ops", why="nobody looks", at=NOON, until=None),
        ("a: halted by ops", "nobody looks", "Until somebody resumes"),
    ),
    (
        events.TradingHalted(account="a", level=HaltLevel.FLATTEN, who="ops", why="x", at=NOON, until=NOON + minutes(5)),
        ("everything closed by ops", "Until 2024-03-01 12:05 UTC"),
    ),
    (
        events.ExitFailed(
            account="a", mode="live", symbol="BTC-USD", leg=Leg.TIMEOUT, quantity=D("0.3736"), since=NOON, at=NOON + minutes(2),
            number=2, attempts=7, reason="MARKET_CLOSED: 10018 Market closed", retry_at=NOON + minutes(3),
        ),
        ("0.3736 BTC-USD is still open", "7 orders were sent", "MARKET_CLOSED: 10018 Market", "Next try 2024-03-01 12:03 UTC"),
    ),
    (
        events.StopPassed(account="a", entry=KEY, symbol="BTC-USD", side=Side.BUY, at=NOON, stop_loss=D(59000), price=D(55000)),
        ("BTC-USD passed its stop", "55,000 is beyond the stop of the BUY at 59,000", "closed at the market"),
    ),
    (
        events.VenueRefused(
            account="a", venue="coinbase", client_order_id="ab" * 16, request=None, what="order", symbol="BTC-USD", side=Side.BUY,
            at=NOON, reason="VENUE_REFUSED", detail="size is too small.\nMinimum size is 1",
        ),
        ("coinbase refused a request for BUY BTC-USD", "The order: VENUE_REFUSED: size is too small. Minimum size is 1"),
    ),
    (events.TradingResumed(account="a", who="ops", why="looked", at=NOON), ("resumed by ops", "looked")),
    (
        events.RuleBreached(account="a", rule="max_loss", at=NOON, limit=D(90000), equity=D("89999.99")),
        ("total loss rule is broken", "Equity 89,999.99 below 90,000.00"),
    ),
    (events.TargetReached(account="a", phase="challenge", at=NOON, balance=D(110000)), ("target of challenge", "110,000.00")),
]  # fmt: skip
STALE = MarketDataStale(symbol="SOL-USD", since=NOON, reason="VENUE_TIMEOUT", newest_close=NOON - minutes(5))
RESOLVED = SignalResolved(
    symbol="BTC-USD", decided_at=NOON, deployment="starter", stage="active", direction="SELL", tier="HIGH", horizon_minutes=60,
    price=D(62000), close=D("62310.00"), right=False,
)  # fmt: skip
TOLD += [
    (signal(), ("BUY BTC-USD at 62,000.5", "Confidence 61.0%, tier HIGH", "Entry 62,000.5  Stop", "SHADOW",
        "Expires 2024-03-01 13:00 UTC, 60 minutes", "Model starter (shadow)", "dir60-standard.1")),
    (RESOLVED, ("SELL BTC-USD was wrong: +0.50% in 60 minutes", "From 62,000 to 62,310")),
    (STALE, ("SOL-USD has no signals since 2024-03-01 12:00 UTC", "did not answer in time", "closed 2024-03-01 11:55 UTC")),
    (MarketDataRecovered(symbol="SOL-USD", at=NOON + minutes(15), stale_since=NOON), ("signals again", "after 15 minutes")),
    (ModelRefused(deployment="m2", cycle_at=NOON, reason="sha256", kept="m1"), ("Model m2 was refused", "m1 stays in use")),
    (ModelRefused(deployment="m2", cycle_at=NOON, reason="sha256", kept=None), ("no signals are made",)),
    (REGISTERED, ("does not qualify: for shadow only", "· G1 fail: 0.5626", "nothing is deployed")),
    (REGISTERED.model_copy(update={"qualifies": True, "shortfalls": (), "headline": "PROMOTABLE"}),
        ("passes its promotion gates", "PROMOTABLE", "Nothing is deployed")),
    (NOT_QUALIFIED, ("does not qualify: not registered", "· G1 fail", "evaluation pipelines-abc-Evaluate-xyz")),
    (EVALUATED, ("does not pass its promotion gates", "· G3 fail: 0.08", "as they were")),
    (EVALUATED.model_copy(update={"qualifies": True, "shortfalls": (), "headline": "PROMOTABLE"}), ("passes its", "PROMOTABLE")),
    *[(FAILED.model_copy(update={"outcome": one}), ("Training of dir60-full", FAILED.reason, FAILED.job))
        for one in ("failed", "stopped", "refused")],
    *[(EVALUATION_FAILED.model_copy(update={"outcome": one}), ("valuation", "MarketDataError: no decision"))
        for one in ("failed", "stopped", "refused")],
]  # fmt: skip
NAMES = [told.type.value for told, _ in TOLD]


def text_of(told: Event, language: str = "en", zone: str = "UTC") -> StyledText:
    alert = alert_of(told)
    assert alert is not None
    settings = parse_settings("1", {"language": language, "zone": zone})
    return alert.write(settings.words(), settings)


@pytest.mark.parametrize(("told", "parts"), TOLD, ids=NAMES)
def test_an_event_is_told_under_its_own_id_with_its_facts(told: Event, parts: tuple[str, ...]) -> None:
    alert = alert_of(told)
    assert alert is not None
    assert alert.alert_id == told.event_id
    text = text_of(told).text
    assert [part for part in parts if part not in text] == [], text
    assert len(text.splitlines()) <= 9
    assert parse_event(told.type, told.to_detail()) == told


@pytest.mark.parametrize("language", Language)
def test_a_signal_on_prices_of_a_fallback_venue_says_so(language: Language) -> None:
    assert "kraken" in text_of(signal(market="kraken"), language.value).text
    assert "Prices of kraken: the usual venue does not answer." in text_of(signal(market="kraken")).text
    assert "Prices of" not in text_of(signal()).text


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize(("told", "_parts"), TOLD, ids=NAMES)
def test_every_language_says_it_with_the_verdict_in_bold_first(told: Event, _parts: tuple[str, ...], language: Language) -> None:
    found = text_of(told, language.value, "Europe/Prague")
    first = found.spans[0]
    assert first.style is Style.BOLD
    assert found.text[first.start : first.end] in found.text.splitlines()[0]
    assert all(one.end <= other.start for one, other in zip(found.spans, found.spans[1:], strict=False))
    assert all(one["offset"] >= 0 and one["length"] > 0 for one in entities(found))
    assert "{" not in found.text
    if language is not Language.ENGLISH:
        assert found.text != text_of(told, "en", "Europe/Prague").text


def test_every_event_that_has_an_alert_is_among_them() -> None:
    known = {
        SignalGenerated,
        SignalResolved,
        events.AccountSummarised,
        *get_args(AccountEvent),
        *get_args(ConditionEvent),
        *get_args(LibraryEvent),
    }
    assert {type(told) for told, _ in TOLD} == known
    assert {alert.kind for told, _ in TOLD if (alert := alert_of(told)) is not None} == set(AlertKind) - {AlertKind.RISK_NOTICE}


def test_a_share_that_stops_nothing_is_a_notice_and_not_critical() -> None:
    warning = next(told for told, _ in TOLD if isinstance(told, events.RiskWarning))
    notice, urgent = alert_of(warning.model_copy(update={"level": "ALERT"})), alert_of(warning)
    assert notice is not None
    assert urgent is not None
    assert (notice.kind, notice.is_critical, urgent.kind in CRITICAL) == (AlertKind.RISK_NOTICE, False, True)


def test_an_active_signal_has_no_shadow_badge_and_candles_are_no_alert() -> None:
    assert "SHADOW" not in text_of(signal(stage="active")).text
    assert alert_of(event()) is None


def test_a_challenger_says_nothing_to_anybody() -> None:
    assert alert_of(signal(challenger=True)) is None
    assert alert_of(RESOLVED.model_copy(update={"challenger": True})) is None


def test_the_end_of_a_trade_replies_to_its_beginning() -> None:
    opened = next(alert_of(told) for told, _ in TOLD if isinstance(told, events.TradeOpened))
    closed = next(alert_of(told) for told, _ in TOLD if isinstance(told, events.TradeClosed))
    assert opened is not None
    assert closed is not None
    assert opened.thread == closed.reply_to
