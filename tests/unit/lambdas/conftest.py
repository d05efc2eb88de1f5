from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from signalbox.contracts import Env
from tests.conftest import SERVICE
from tests.unit.library.plans import plan

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {
    Env.STAGE: "test",
    Env.EVENT_BUS_NAME: "signalbox-test",
    Env.SYMBOLS: "BTC-USD,ETH-USD",
    Env.DATABASE_HOST: "/nowhere",
    Env.DATABASE_PORT: "5432",
    Env.DATABASE_NAME: "signalbox",
    Env.DATABASE_USER: "signalbox_manage_orders",
    Env.DATABASE_SSLMODE: "disable",
    Env.SIGNAL_LIMITS: "{}",
    Env.MODELS_BUCKET: "models",
    Env.CHALLENGERS: "3",
    Env.MARKET_DATA_BUCKET: "market-data",
    Env.REPORTS_BUCKET: "reports",
    Env.BACKUPS_BUCKET: "backups",
    Env.STARTER_BUNDLE_BUCKET: "assets",
    Env.STARTER_BUNDLE_KEY: "starter.zip",
    Env.VENUE: "coinbase",
    Env.ACCOUNTS: "ftmo-2step-100k",
    Env.OWNERS: "arn:aws:iam::123456789012:user/trader",
    Env.VENUE_URL: "http://127.0.0.1:9",
    Env.COLLECTION_CURSOR_TABLE: "cursors",
    Env.IDEMPOTENCY_TABLE: "idempotency",
    Env.TELEGRAM_SECRET_ARN: "telegram",
    Env.TELEGRAM_URL: "http://127.0.0.1:9",
    Env.EXCHANGE_SECRET_ARN: "exchange",
    Env.SIGNING_KEYS_TABLE: "signing-keys",
    Env.OUTGOING_EVENTS_TABLE: "outgoing-events",
    Env.MT5_ACCOUNTS: "ftmo-1",
    Env.MT5_CHECKS_QUEUE_URL: "http://127.0.0.1:9/checks",
    Env.KILL_SWITCH_QUEUE_URL: "http://127.0.0.1:9/kill-switch",
    Env.EXECUTION_QUEUE_URL: "http://127.0.0.1:9/execution.fifo",
    Env.TRADING_QUEUE_URL: "http://127.0.0.1:9/trading.fifo",
    Env.ALARM_TOPIC_ARN: "arn:aws:sns:eu-central-1:123456789012:alarms",
    Env.DELIVERIES_QUEUE_URL: "http://127.0.0.1:9/deliveries.fifo",
    Env.KILL_SWITCH_QUEUE_ARN: "arn:aws:sqs:eu-central-1:123456789012:kill-switch",
    Env.MASTER_SECRET_ARN: "master",
    Env.WEBHOOK_SECRET_ARN: "webhook",
    Env.CHAT_TABLE: "chat",
    Env.UPDATES_QUEUE_URL: "http://127.0.0.1:9/updates.fifo",
    Env.QUERY_FUNCTION_NAME: "query",
    Env.ORDERS_API_URL: "http://127.0.0.1:9",
    Env.LIBRARY_API_URL: "http://127.0.0.1:9",
    Env.ORDERS_API_VIA: "",
    Env.MIGRATE_FUNCTION_NAME: "migrate",
    Env.TRAINING_PLAN: plan().model_dump_json(),
}


@pytest.fixture
def environment(aws: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the templates give the functions."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return {str(k): v for k, v in ENVIRONMENT.items()}


@pytest.fixture
def load(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import `lambdas/NAME/handler.py` as Lambda does: composed from the environment, without any I/O."""

    def load_handler(name: str) -> ModuleType:
        # as in a new process: a logger of an earlier test writes to what that test captured
        logging.Logger.manager.loggerDict.pop(SERVICE, None)
        spec = importlib.util.spec_from_file_location(f"handler_{name}", ROOT / "lambdas" / name / "handler.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    return load_handler
