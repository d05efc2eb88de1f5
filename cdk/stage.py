"""The settings that may differ between stages. The templates depend on these settings, never on the name of a stage.

A stage's settings are in `cdk/stages/<stage>.toml`, under version control, so that a later deployment cannot forget one. The
app's context names the stage (`-c stage=dev`) and may override a setting once; `local` also needs `local_endpoints`. The stacks
decide which resources exist. Decision: docs/decisions/0010-stacks-and-their-borders.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias
from zoneinfo import available_timezones

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from cdk.stage_file import StageError, read_settings, stage_error, stage_file
from cdk.training_config import CONTEXT_FIELDS, TrainingConfig, training_from_context
from signalbox.contracts import MAX_CHALLENGERS, PRODUCT, SYMBOLS, Env, Function, function_name

AccountName: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9-]{3,32}-[1-9][0-9]{0,5}k$")]  # a kind and its capital
PrincipalName: TypeAlias = Annotated[
    str, Field(pattern=r"^(arn:aws[a-z-]*:(iam|sts)::\d{12}:\S+|A[A-Z0-9]{15,127}|telegram:\d+)$")
]
MailboxName: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]  # any account's, as the ledger names it
EmailAddress: TypeAlias = Annotated[str, Field(pattern=r"^[^@\s,]+@[^@\s,]+\.[^@\s,]+$")]
StageName: TypeAlias = Literal["local", "dev", "prod"]
PYTHON_VERSION: Final = "3.14"  # of the Lambda runtime and of the wheels in the layers


class LocalEndpoints(BaseModel, frozen=True, extra="forbid"):
    """The addresses of the local cloud's stand-ins."""

    database_host: str = Field(min_length=1)  # a host name, or the folder of a socket
    database_port: int = Field(ge=1, le=65535)
    database_sslmode: str = Field(pattern="^(disable|prefer|require|verify-ca|verify-full)$")
    venue_url: str
    telegram_url: str
    api_url: str  # where the HTTP APIs answer: no resolver knows their names


class SignalLimitsConfig(BaseModel, frozen=True, extra="forbid"):
    """Maximum number of issued signals per hour, in total and per symbol; `high_*` limits those of tier HIGH among them."""

    per_hour: int = Field(default=10, ge=0, le=1000)
    high_per_hour: int = Field(default=5, ge=0, le=1000)
    symbol_per_hour: int = Field(default=10, ge=0, le=1000)
    symbol_high_per_hour: int = Field(default=5, ge=0, le=1000)


class StageConfig(BaseModel, frozen=True, extra="forbid"):
    """The settings of one stage. A setting that differs between stages has no default."""

    name: StageName
    symbols: tuple[str, ...] = SYMBOLS
    signal_limits: SignalLimitsConfig = SignalLimitsConfig()
    challengers: int = Field(default=3, ge=0, le=MAX_CHALLENGERS)  # models that may decide beside the one that serves
    # the venue of the candles, and after commas up to two that are used when it is down
    venue: str = Field(default="coinbase", pattern=r"^[a-z0-9]+(,[a-z0-9]+){0,2}$")
    alternative_sources: tuple[Literal["binanceusdm", "bybit", "okx", "alternativeme"], ...] = ("okx", "alternativeme")
    accounts: tuple[AccountName, ...] = ()  # paper accounts that manage_orders opens; live ones are opened by command
    owners: tuple[PrincipalName, ...] = ()  # of every account of the stage: IAM users, roles, or sessions of Identity Center
    mt5_accounts: tuple[MailboxName, ...] = ()  # live ones behind an agent: each gets two queues, a key and an identity's policy
    bundle_dependencies: bool  # false: the functions run where the dependencies already are
    max_unzipped_megabytes: int = Field(default=200, gt=0, le=250)  # layers and code of one function
    retain_state: bool
    empty_buckets: bool  # when the stage is removed: a bucket that holds something cannot be
    termination_protection: bool
    database_instance: Literal["t4g.micro", "t4g.small"]
    database_multi_az: bool
    database_backup_days: int = Field(ge=1, le=35)
    dump_days: int = Field(ge=1, le=3650)  # how long the nightly dumps of the ledger are kept
    budget_usd: int = Field(ge=1)  # a month, of the whole account: who receives alarms hears when it will be passed
    # require: for a region whose authorities are not in the library (adapters/postgres/certificates)
    database_sslmode: Literal["require", "verify-ca", "verify-full"] = "verify-full"
    summary_at: str = Field(default="07:00", pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")  # of the accounts' summaries, local time
    summary_zone: str = "Europe/Prague"
    log_days: int = Field(gt=0)
    archive_days: int = Field(ge=0)  # of the event bus; 0: no archive
    flow_logs: bool
    schedules_enabled: bool  # false: somebody else's clock fires them
    check_rules: bool  # cdk-nag at synth
    bootstrap_rule: bool  # the template refuses an account without `cdk bootstrap`
    s3_prefix_list_id: str | None = None  # pl-…; both together narrow the ledger functions' way out to S3 and DynamoDB
    dynamodb_prefix_list_id: str | None = None
    alarm_emails: tuple[EmailAddress, ...] = ()  # who receives alarms
    recipient_required: bool  # refuse the stage when nobody receives alarms
    collect_concurrency: int | None = Field(default=None, ge=1)  # reserved executions; not for a new account
    training: TrainingConfig = TrainingConfig()
    endpoints: LocalEndpoints | None = None

    @field_validator("mt5_accounts")
    @classmethod
    def _apart(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len({name.replace("-", "") for name in names}) != len(names):
            raise ValueError(f"expected mt5_accounts that differ in more than hyphens, got {', '.join(names)}")
        return names

    @field_validator("summary_zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        if zone not in available_timezones():
            raise ValueError(f"expected summary_zone as a time zone such as Europe/Prague, got {zone!r}")
        return zone

    @model_validator(mode="after")
    def _venues_differ(self) -> StageConfig:
        if len(set(self.venues)) != len(self.venues):
            raise ValueError(f"expected two different venues, got venue = {self.venue!r}")
        return self

    @model_validator(mode="after")
    def _owned(self) -> StageConfig:
        """Refuse live accounts without an owner, because nobody could halt, resume or inspect them."""
        if self.mt5_accounts and not self.owners:
            raise ValueError(f"mt5_accounts needs `owners`: without one nobody may send commands to {self.mt5_accounts[0]}")
        return self

    @model_validator(mode="after")
    def _kept_or_emptied(self) -> StageConfig:
        if self.retain_state and self.empty_buckets:
            raise ValueError("expected empty_buckets = false with retain_state = true, because kept buckets must not be emptied")
        return self

    @model_validator(mode="after")
    def _has_a_recipient(self) -> StageConfig:
        if self.recipient_required and not self.alarm_emails:
            raise ValueError("expected at least one address in alarm_emails, got none: nobody would receive alarms")
        return self

    def stack_name(self, concern: str) -> str:
        """Return the deployed name of a stack."""
        return f"{PRODUCT}-{self.name}-{concern}"

    @property
    def venues(self) -> tuple[str, ...]:
        """The venue of the candles, and those used when it is down."""
        return tuple(self.venue.split(","))

    @property
    def market_environment(self) -> dict[Env, str]:
        """The environment variables with the venues and symbols, for functions that read candles."""
        return {
            Env.VENUE: self.venues[0],
            Env.FALLBACK_VENUES: ",".join(self.venues[1:]),
            Env.SYMBOLS: ",".join(self.symbols),
        }

    @property
    def service(self) -> str:
        """The dimension of all functions' metrics. They share it, so that one alarm watches the count of all functions."""
        return f"{PRODUCT}-{self.name}"

    def function_name(self, function: Function) -> str:
        """Return the deployed name of a function."""
        return function_name(self.name, function)


CONTEXT_KEYS: Final = (
    "stage",
    "local_endpoints",
    "alarm_emails",
    "collect_concurrency",
    "s3_prefix_list_id",
    "dynamodb_prefix_list_id",
    "venue",
    "symbols",
    "accounts",
    "owners",
    "mt5_accounts",
    "signal_limits",
    *CONTEXT_FIELDS,
)


_TAKEN_AS_GIVEN: Final = ("s3_prefix_list_id", "dynamodb_prefix_list_id", "venue", "collect_concurrency")
_NOT_IN_FILE: Final = ("name", "endpoints")


def _endpoints(stage: str, value: object) -> LocalEndpoints | None:
    if stage != "local":
        if value:
            raise StageError(f"expected local_endpoints with stage local only, got stage {stage}")
        return None
    if not value:
        raise StageError("expected local_endpoints (JSON) for stage local: " + ", ".join(LocalEndpoints.model_fields))
    return LocalEndpoints.model_validate(json.loads(value) if isinstance(value, str) else value)


def stage_from_context(context: Mapping[str, Any]) -> StageConfig:
    """Return the stage that the context names. Raises StageError, or pydantic.ValidationError for malformed `local_endpoints`."""
    path = stage_file(str(context.get("stage") or "dev"))
    settings = read_settings(path)
    if wrong := set(settings) & set(_NOT_IN_FILE):
        raise StageError(f"{path}: {', '.join(sorted(wrong))} cannot be set in a stage's file")
    source = str(path.relative_to(path.parents[2]))
    name = path.stem
    endpoints = _endpoints(name, context.get("local_endpoints"))
    chosen: dict[str, Any] = {key: context[key] for key in _TAKEN_AS_GIVEN if context.get(key)}
    for key in ("symbols", "accounts", "owners", "mt5_accounts", "alarm_emails"):
        if context.get(key):
            chosen[key] = tuple(part.strip() for part in str(context[key]).split(","))
    if context.get("signal_limits"):
        given = context["signal_limits"]
        chosen["signal_limits"] = json.loads(given) if isinstance(given, str) else given
    training = {**settings.get("training", {}), **training_from_context(context)}
    if used := [f"-c {key}" for key in CONTEXT_KEYS if key not in {"stage", "local_endpoints"} and context.get(key)]:
        source += f" with {', '.join(used)}"
    try:
        return StageConfig.model_validate({**settings, **chosen, "name": name, "endpoints": endpoints, "training": training})
    except ValidationError as error:
        raise stage_error(error, StageConfig, source, hidden=_NOT_IN_FILE) from None
