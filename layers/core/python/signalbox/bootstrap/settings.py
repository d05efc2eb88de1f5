"""Settings of the functions: the environment, read once into frozen values. One error names all missing or malformed ones."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Final, Self, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Json, ValidationError, model_validator

from signalbox.access import Principal
from signalbox.contracts import MAX_CHALLENGERS, Env
from signalbox.errors import SignalboxError
from signalbox.market.candles import Symbol
from signalbox.market.collection import LOOK_AGAIN_SECONDS
from signalbox.orders.messages import AccountName
from signalbox.signals.rate_limit import SignalLimits

SettingsT = TypeVar("SettingsT", bound="FunctionSettings")
_FROZEN: Final = ConfigDict(frozen=True, populate_by_name=False, extra="ignore")


def _names(value: object) -> object:
    """Return the parts of a comma-separated text; any other value as it is."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


T = TypeVar("T")
CommaSeparated: TypeAlias = Annotated[tuple[T, ...], BeforeValidator(_names)]


class SettingsError(SignalboxError):
    """A setting is missing or unusable."""


def trace_header() -> str:
    """Return the X-Ray header of this invocation, which Lambda sets anew for each; empty where there is none."""
    return os.environ.get("_X_AMZN_TRACE_ID", "")  # noqa: TID251 - as in FunctionSettings.read


class FunctionSettings(BaseModel):
    """The settings that every function has."""

    model_config = _FROZEN
    stage: str = Field(alias=Env.STAGE, min_length=1)

    @classmethod
    def read(cls: type[SettingsT], environment: Mapping[str, str] | None = None) -> SettingsT:
        """Return the settings of this process. Raises SettingsError that names every wrong variable."""
        source = os.environ if environment is None else environment  # noqa: TID251 - the one place that reads it (docs/style.md, R17)
        try:
            return cls.model_validate(dict(source))
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise SettingsError(f"the function's environment is wrong: {wrong}") from error


class BusSettings(FunctionSettings):
    """Settings of a function that publishes events."""

    event_bus_name: str = Field(alias=Env.EVENT_BUS_NAME, min_length=1)


class DatabaseEnvironment(BaseModel):
    """The connection to the ledger. host: a host name or a socket folder."""

    model_config = _FROZEN
    host: str = Field(alias=Env.DATABASE_HOST, min_length=1)
    port: int = Field(alias=Env.DATABASE_PORT, ge=1, le=65535)
    name: str = Field(alias=Env.DATABASE_NAME, min_length=1)
    user: str = Field(alias=Env.DATABASE_USER, min_length=1)
    sslmode: str = Field(alias=Env.DATABASE_SSLMODE, pattern="^(disable|prefer|require|verify-ca|verify-full)$")
    ca_file: str | None = Field(default=None, alias=Env.DATABASE_CA_FILE, min_length=1)

    @model_validator(mode="after")
    def _verifiable(self) -> Self:
        """Without a file libpq looks for one at home, where a function has none: it would find out at its first login."""
        if self.sslmode.startswith("verify") and self.ca_file is None:
            raise ValueError(f"expected {Env.DATABASE_CA_FILE.value} with sslmode {self.sslmode}, got none")
        return self


class ForwardEventsSettings(BusSettings):
    """Settings of forward_events."""

    outgoing_events_table: str = Field(alias=Env.OUTGOING_EVENTS_TABLE, min_length=3)


class LedgerSettings(FunctionSettings, DatabaseEnvironment):
    """Settings of a function that publishes what it committed to the ledger."""

    outgoing_events_table: str = Field(alias=Env.OUTGOING_EVENTS_TABLE, min_length=3)


class GenerateSignalsSettings(LedgerSettings):
    """Settings of generate_signals."""

    models_bucket: str = Field(alias=Env.MODELS_BUCKET, min_length=3)
    limits: Json[SignalLimits] = Field(alias=Env.SIGNAL_LIMITS)


class MarketEnvironment(BaseModel):
    """The venue and symbols whose candles are used, and the venues used instead, in this order, when that one is down."""

    model_config = _FROZEN
    venue: str = Field(alias=Env.VENUE, pattern="^[a-z0-9]+$")
    fallback_venues: CommaSeparated[Annotated[str, Field(pattern="^[a-z0-9]+$")]] = Field(alias=Env.FALLBACK_VENUES, default=())
    symbols: CommaSeparated[Symbol] = Field(alias=Env.SYMBOLS, min_length=1)


class CollectCandlesSettings(BusSettings, MarketEnvironment):
    """Settings of collect_candles."""

    venue_url: str = Field(alias=Env.VENUE_URL, default="")
    look_again_seconds: CommaSeparated[Annotated[float, Field(ge=0, le=60)]] = Field(
        alias=Env.LOOK_AGAIN_SECONDS, default=LOOK_AGAIN_SECONDS
    )
    cursor_table: str = Field(alias=Env.COLLECTION_CURSOR_TABLE, min_length=3)


class CollectAlternativeSettings(FunctionSettings):
    """Settings of collect_alternative. Without sources it does nothing."""

    market_data_bucket: str = Field(alias=Env.MARKET_DATA_BUCKET, min_length=3)
    symbols: CommaSeparated[Symbol] = Field(alias=Env.SYMBOLS, min_length=1)
    alternative_sources: CommaSeparated[Annotated[str, Field(pattern="^[a-z0-9]+$")]] = Field(
        alias=Env.ALTERNATIVE_SOURCES, default=()
    )
    venue_url: str = Field(alias=Env.VENUE_URL, default="")


class CompactCandlesSettings(FunctionSettings, DatabaseEnvironment, MarketEnvironment):
    """Settings of compact_candles."""

    market_data_bucket: str = Field(alias=Env.MARKET_DATA_BUCKET, min_length=3)


class PublishReportsSettings(LedgerSettings):
    """Settings of publish_reports."""

    reports_bucket: str = Field(alias=Env.REPORTS_BUCKET, min_length=3)


class BackupSettings(FunctionSettings, DatabaseEnvironment):
    """Settings of dump_database, and of restore_database, which logs in with the credentials in its input instead of its own."""

    backups_bucket: str = Field(alias=Env.BACKUPS_BUCKET, min_length=3)


class TradingSettings(LedgerSettings):
    """Settings of manage_orders and monitor_risk. venue: its candles value the accounts that the settings open by name."""

    venue: str = Field(alias=Env.VENUE, pattern="^[a-z0-9]+$")
    accounts: CommaSeparated[str] = Field(alias=Env.ACCOUNTS, default=())  # empty for monitor_risk, which opens no accounts
    owners: CommaSeparated[Principal] = Field(alias=Env.OWNERS, default=())
    kill_switch_queue_arn: str = Field(alias=Env.KILL_SWITCH_QUEUE_ARN, default="")  # not set for monitor_risk
    signing_keys_table: str = Field(alias=Env.SIGNING_KEYS_TABLE, min_length=3)


class QueryLedgerSettings(FunctionSettings, DatabaseEnvironment):
    """Settings of query_ledger. venue: the one whose candles it returns."""

    venue: str = Field(alias=Env.VENUE, pattern="^[a-z0-9]+$")


class SendAlertsSettings(BusSettings):
    """Settings of send_alerts."""

    telegram_secret_arn: str = Field(alias=Env.TELEGRAM_SECRET_ARN, min_length=1)
    telegram_url: str = Field(alias=Env.TELEGRAM_URL, default="")
    idempotency_table: str = Field(alias=Env.IDEMPOTENCY_TABLE, min_length=3)
    deliveries_queue_url: str = Field(alias=Env.DELIVERIES_QUEUE_URL, min_length=1)
    alarm_topic_arn: str = Field(alias=Env.ALARM_TOPIC_ARN, min_length=1)


class TelegramWebhookSettings(FunctionSettings):
    """Settings of telegram_webhook."""

    webhook_secret_arn: str = Field(alias=Env.WEBHOOK_SECRET_ARN, min_length=1)
    chat_table: str = Field(alias=Env.CHAT_TABLE, min_length=3)
    updates_queue_url: str = Field(alias=Env.UPDATES_QUEUE_URL, min_length=1)


class TelegramBotSettings(FunctionSettings):
    """Settings of telegram_bot. orders_api_via: the address to call if it is not the APIs' own."""

    telegram_secret_arn: str = Field(alias=Env.TELEGRAM_SECRET_ARN, min_length=1)
    telegram_url: str = Field(alias=Env.TELEGRAM_URL, default="")
    signing_keys_table: str = Field(alias=Env.SIGNING_KEYS_TABLE, min_length=3)
    chat_table: str = Field(alias=Env.CHAT_TABLE, min_length=3)
    query_function: str = Field(alias=Env.QUERY_FUNCTION_NAME, min_length=1)
    orders_api_url: str = Field(alias=Env.ORDERS_API_URL, min_length=1)
    library_api_url: str = Field(alias=Env.LIBRARY_API_URL, min_length=1)
    orders_api_via: str = Field(alias=Env.ORDERS_API_VIA, default="")


class RouteEventsSettings(FunctionSettings):
    """Settings of route_events."""

    execution_queue_url: str = Field(alias=Env.EXECUTION_QUEUE_URL, min_length=1)
    trading_queue_url: str = Field(alias=Env.TRADING_QUEUE_URL, min_length=1)


class ExecuteOrdersSettings(BusSettings):
    """Settings of execute_orders."""

    exchange_secret_arn: str = Field(alias=Env.EXCHANGE_SECRET_ARN, min_length=1)
    signing_keys_table: str = Field(alias=Env.SIGNING_KEYS_TABLE, min_length=3)
    venue_url: str = Field(alias=Env.VENUE_URL, default="")
    idempotency_table: str = Field(alias=Env.IDEMPOTENCY_TABLE, min_length=3)
    mt5_accounts: CommaSeparated[AccountName] = Field(alias=Env.MT5_ACCOUNTS)
    mt5_checks_queue_url: str = Field(alias=Env.MT5_CHECKS_QUEUE_URL)  # empty without accounts behind an agent
    kill_switch_queue_url: str = Field(alias=Env.KILL_SWITCH_QUEUE_URL, min_length=1)


class MigrateDatabaseSettings(FunctionSettings, DatabaseEnvironment):
    """Settings of migrate_database, which logs in with the credentials in its input instead of its own."""


class StartTrainingSettings(FunctionSettings):
    """Settings of start_training."""

    training_plan: str = Field(alias=Env.TRAINING_PLAN, min_length=2)


class RegisterModelSettings(LedgerSettings):
    """Settings of register_model."""

    models_bucket: str = Field(alias=Env.MODELS_BUCKET, min_length=3)


class LibraryApiSettings(LedgerSettings):
    """Settings of library_api. owners: principals that own the stage."""

    models_bucket: str = Field(alias=Env.MODELS_BUCKET, min_length=3)
    starter_bucket: str = Field(alias=Env.STARTER_BUNDLE_BUCKET, min_length=3)
    starter_key: str = Field(alias=Env.STARTER_BUNDLE_KEY, min_length=1)
    owners: CommaSeparated[Principal] = Field(alias=Env.OWNERS, default=())
    signing_keys_table: str = Field(alias=Env.SIGNING_KEYS_TABLE, min_length=3)
    venue: str = Field(alias=Env.VENUE, pattern="^[a-z0-9]+$")
    challengers: int = Field(alias=Env.CHALLENGERS, ge=0, le=MAX_CHALLENGERS)


class ScoreSignalsSettings(FunctionSettings, DatabaseEnvironment):
    """Settings of score_signals. venue: the one whose candles are scored."""

    models_bucket: str = Field(alias=Env.MODELS_BUCKET, min_length=3)
    venue: str = Field(alias=Env.VENUE, pattern="^[a-z0-9]+$")


class PrepareDatabaseSettings(FunctionSettings):
    """Settings of prepare_database."""

    master_secret_arn: str = Field(alias=Env.MASTER_SECRET_ARN, min_length=1)
    migrate_function: str = Field(alias=Env.MIGRATE_FUNCTION_NAME, min_length=1)
    signing_keys_table: str = Field(alias=Env.SIGNING_KEYS_TABLE, min_length=3)
