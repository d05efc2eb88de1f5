"""The local cloud: PostgreSQL, the emulator, the deployed stage `local`, and the stand-ins for the exchange and Telegram."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from local.cloud.accounts import Accounts
from local.cloud.assembly import read_stacks, synthesise
from local.cloud.clock import JobTiming, LocalClock
from local.cloud.deploy import deploy
from local.cloud.emulator import Emulator
from local.cloud.function_logs import FunctionLogs
from local.cloud.library import ask_library, start_library
from local.cloud.postgres import LocalPostgres
from local.cloud.private import private_folder
from local.cloud.processes import free_port, port_is_free
from local.cloud.watch import Watch
from local.errors import WorkbenchError
from local.settings import STAGE, Settings
from local.stand_ins.exchange import BURST, REQUESTS_PER_SECOND, BarFeed, ExchangeStandIn
from local.stand_ins.telegram import BOT_TOKEN, CHAT_ID, TelegramStandIn
from local.stand_ins.telegram_webhook import Webhook
from signalbox.access import Role
from signalbox.adapters.aws.chat_table import DynamoPeople
from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.reading import LedgerReader
from signalbox.adapters.postgres.tracing import DecisionReader
from signalbox.chat.bot.people import ChatPerson
from signalbox.chat.updates import HANDLED
from signalbox.contracts import SYMBOLS, Function, StackOutput, function_name, upload_key
from signalbox.market.candles import Symbol

REPLAY_REQUESTS_PER_SECOND: Final = 60.0  # a replay runs many cycles a second, so the exchange's limit is scaled with it
REPLAY_BURST: Final = 120.0


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports on which the local cloud listens at 127.0.0.1."""

    emulator: int
    exchange: int
    telegram: int

    @classmethod
    def choose(cls, before: Mapping[str, int], *, emulator: int | None = None) -> Self:
        """Return the ports used before if they are still free, otherwise other free ones."""
        chosen = {}
        for name in ("emulator", "exchange", "telegram"):
            old = emulator if name == "emulator" and emulator is not None else before.get(name)
            chosen[name] = old if old is not None and port_is_free(old) else free_port()
        return cls(**chosen)

    def as_dict(self) -> dict[str, int]:
        """Return them by name."""
        return asdict(self)


class LocalCloud:
    """Everything that a cycle needs on one machine. It is a context manager, which ends every process when it is left.

    durable: keep the state of both services in `folder` for the next start (`up`); else start from nothing (`demo`).
    """

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        feed: BarFeed,
        *,
        now: datetime,
        durable: bool = False,
        ports: Ports | None = None,
        realtime: bool = False,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.settings, self.progress, self._folder = settings, progress, folder
        self.symbols = default_symbols()
        self._closing = ExitStack()
        limits = (REQUESTS_PER_SECOND, BURST) if realtime else (REPLAY_REQUESTS_PER_SECOND, REPLAY_BURST)
        ports = ports or Ports.choose({})
        self.exchange = ExchangeStandIn(feed, self.symbols, now, ports.exchange, requests_per_second=limits[0], burst=limits[1])
        self._closing.callback(self.exchange.close)
        self.telegram = TelegramStandIn(ports.telegram)
        self._closing.callback(self.telegram.close)
        self.postgres = LocalPostgres(settings, folder / "postgres", durable=durable)
        self.emulator = Emulator(settings, folder / "aws", persistent=durable, port=ports.emulator)
        self.outputs: dict[str, str] = {}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End everything, last started first. Safe to call again."""
        self._closing.close()

    def _start(self) -> None:
        private_folder(self._folder)
        self.progress("starting PostgreSQL and the AWS emulator, synthesising the templates of stage local")
        self._closing.callback(self.postgres.stop)
        self._closing.callback(self.emulator.stop)
        with ThreadPoolExecutor(2, thread_name_prefix="start") as pool:  # each waits for a process of its own
            services = [pool.submit(start) for start in (self.postgres.start, self.emulator.start)]
            stacks = read_stacks(synthesise(self.settings))
        for service in services:
            service.result()
        endpoints = {
            "database_host": str(self.postgres.socket_folder),
            "venue_url": self.exchange.url,
            "telegram_url": self.telegram.url,
            "api_url": self.emulator.url,
        }
        self.outputs = deploy(self.emulator, stacks, endpoints, progress=lambda name: self.progress(f"deploying {name}"))
        missing = [key.value for key in StackOutput if key not in self.outputs]
        if missing:
            raise WorkbenchError(f"the deployed stacks lack the outputs {', '.join(missing)}")
        secret = {"bot_token": BOT_TOKEN, "chat_ids": [CHAT_ID]}
        self.emulator.client("secretsmanager").put_secret_value(
            SecretId=self.outputs[StackOutput.TELEGRAM_SECRET_ARN], SecretString=json.dumps(secret)
        )
        self._open_chat()
        self.progress("registering the starter model")
        start_library(self.emulator.client("lambda"), STAGE)

    def _open_chat(self) -> None:
        """Connect the stand-in to the webhook, and let the person of this machine in, who owns its accounts (local.toml)."""
        secrets = self.emulator.client("secretsmanager")
        secret = secrets.get_secret_value(SecretId=self.outputs[StackOutput.WEBHOOK_SECRET_ARN])["SecretString"]
        self.telegram.caller.webhook = Webhook(self.outputs[StackOutput.WEBHOOK_URL], secret, frozenset(HANDLED))
        self.telegram.caller.via = self.emulator.url
        people = DynamoPeople(self.emulator.client("dynamodb"), self.outputs[StackOutput.CHAT_TABLE])
        if people.person(int(CHAT_ID)) is None:
            people.list_person(ChatPerson(int(CHAT_ID), Role.OWNER, "you", datetime.now(UTC)))

    @cached_property
    def _source(self) -> ConnectionSource:
        source = ConnectionSource(self.postgres.settings, lambda: "")
        self._closing.callback(source.close)
        return source

    @cached_property
    def ledger(self) -> LedgerReader:
        """The ledger, read only."""
        return LedgerReader(self._source)

    @cached_property
    def decisions(self) -> DecisionReader:
        """Reads everything in the ledger about one decision."""
        return DecisionReader(self._source)

    @cached_property
    def accounts(self) -> Accounts:
        """The accounts of the ledger, read only."""
        return Accounts(self._source)

    @cached_property
    def logs(self) -> FunctionLogs:
        """The logs of the functions."""
        return FunctionLogs(self.emulator.client("logs"))

    @cached_property
    def clock(self) -> LocalClock:
        """The deployed schedules."""
        return LocalClock(self.emulator)

    @cached_property
    def watch(self) -> Watch:
        """Observes the progress of a cycle."""
        watch = Watch(self.emulator, self.ledger, self.outputs)
        watch.watch_schedules(tuple({s.dead_letter_arn for s in self.clock.schedules if s.dead_letter_arn is not None}))
        return watch

    def deploy_bundle(self, folder: Path, *, stage: str = "shadow", stored: bytes | None = None) -> str:
        """Register a bundle and deploy it, as `signalbox library` does. Return the deployment's name.

        What is on its way and has decided no cycle yet gives way to it. stage: active approves it by its gates first.
        stored: what is then in the bucket instead of the bundle.
        """
        from signalbox.inference import read_manifest  # noqa: PLC0415 - loads the inference packages
        from signalbox.inference.archive import pack_bundle  # noqa: PLC0415 - as above

        content = pack_bundle(folder)
        sha256 = hashlib.sha256(content).hexdigest()
        s3, bucket = self.emulator.client("s3"), self.outputs[StackOutput.MODELS_BUCKET]
        s3.put_object(Bucket=bucket, Key=upload_key(sha256), Body=content)
        facts = {"why": f"the bundle {folder.name} given to the local cloud"}
        named = {"name": read_manifest(folder).name, "sha256": sha256}
        version = self.library("register", {**facts, **named, "request_id": f"register-{uuid.uuid4().hex}"})
        if stored is not None:
            s3.put_object(Bucket=bucket, Key=version["bundle_key"], Body=stored)
        of_version = {**facts, "version": version["version"]}
        if stage == "active" and version["lifecycle"] == "candidate":
            self.library("approve", {**of_version, "request_id": f"approve-{uuid.uuid4().hex}"})
        if self.library("history", {})["slot"]["incoming"] is not None:
            self.library("rollback", {**facts, "request_id": f"withdraw-{uuid.uuid4().hex}"})
        request = {**of_version, "stage": stage, "request_id": f"deploy-{uuid.uuid4().hex}"}
        return str(self.library("deploy", request)["deployment"])

    def library(self, verb: str, facts: Mapping[str, Any]) -> Any:
        """Ask the library. Raises WorkbenchError with what it says is wrong."""
        return ask_library(self.outputs[StackOutput.LIBRARY_API_URL], self.emulator.url, verb, facts)

    def schedule_of(self, function: Function) -> JobTiming:
        """Return the deployed schedule of a function."""
        return self.clock.of(function_name(STAGE, function))


def default_symbols() -> tuple[Symbol, ...]:
    """Return the symbols of the deployed stage."""
    return tuple(Symbol(s) for s in SYMBOLS)
