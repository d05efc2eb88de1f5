"""What each ledger function really does in the ledger, driven through its own composition under its own database user.

Every use case that sends another statement belongs here: `test_function_roles` takes what the server logs of these runs for the
statements that a role has to allow, and for all that it may need.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from psycopg.conninfo import conninfo_to_dict

from local.cli.backup.folder import FolderDumpStore
from local.cli.features.verification import run_verify
from local.cli.observe.gathering import ObservedLedger, gather
from local.cli.report.command import run_report
from local.settings import load_settings
from signalbox.adapters.lake.lake import Lake
from signalbox.adapters.lake.stores import FolderStore
from signalbox.adapters.postgres.access import PostgresAccessBook
from signalbox.adapters.postgres.candle_days import PostgresCandleDays
from signalbox.adapters.postgres.connection import ConnectionSource, DatabaseSettings
from signalbox.adapters.postgres.deployments import PostgresDeployments
from signalbox.adapters.postgres.dump import dump
from signalbox.adapters.postgres.entities import PostgresEntities
from signalbox.adapters.postgres.ledger import PostgresLedger
from signalbox.adapters.postgres.library import PostgresLibrary
from signalbox.adapters.postgres.library_requests import PostgresRequests
from signalbox.adapters.postgres.library_roles import PostgresLibraryRoles
from signalbox.adapters.postgres.live_records import PostgresLiveDecisions
from signalbox.adapters.postgres.observations import PostgresObservations
from signalbox.adapters.postgres.outbox import PostgresOutbox
from signalbox.adapters.postgres.reading import LedgerReader
from signalbox.adapters.postgres.registry import PostgresRegistry
from signalbox.adapters.postgres.report_source import PostgresReports
from signalbox.adapters.postgres.scoring_bars import LedgerBars
from signalbox.adapters.postgres.trading import PostgresTradingLedger
from signalbox.adapters.postgres.trading_reading import TradingReader
from signalbox.adapters.postgres.trading_snapshot import PostgresHistory, PostgresTradingSnapshots
from signalbox.application.current_scores import CurrentScores
from signalbox.application.generate_signals import GenerateSignals
from signalbox.application.manage_library import ManageLibrary
from signalbox.application.manage_orders import ManageOrders
from signalbox.application.query_ledger import QueryLedger, ReadingAccess
from signalbox.application.register_model import RegisterModel
from signalbox.application.score_signals import ScoreRequest
from signalbox.contracts import READER_DATABASE_USER, Function, database_user, emitted_by, upload_key
from signalbox.contracts import SYMBOLS as SYMBOLS_OF_STAGE
from signalbox.inference.archive import pack_bundle
from signalbox.library.commands import parse_library_request
from signalbox.library.deployments import ALL_SYMBOLS, DeploymentState, LibraryDeployment
from signalbox.library.entries import EntityKind
from signalbox.library.errors import DeploymentRefusedError, LibraryAccessError
from signalbox.library.evaluations import FinishedEvaluation
from signalbox.library.registration import JobOutcome
from signalbox.market.clock import cycle_of
from signalbox.market.compaction import compact
from signalbox.observation.rules import ObservationRules, ObservedModel, preset
from signalbox.orders.parts import in_parts
from signalbox.reports.publishing import publish
from signalbox.reports.summaries import summarise
from signalbox.risk.ftmo.state import AccountDay
from signalbox.signals.model import DeployedModel, ModelChoice
from signalbox.signals.ports import OutboxEvent, SymbolRefusal, SymbolStatus
from signalbox.signals.publishing import publish_pending
from signalbox.signals.rate_limit import SignalLimits
from signalbox.signals.signal import DeploymentStage, Thresholds
from signalbox.trading.access import AccessControl, GrantAccess, RevokeAccess
from signalbox.trading.changes import ChangeSet
from signalbox.trading.commands import COMMANDS
from signalbox.trading.errors import AccessRefusedError
from signalbox.trading.service import TradingService
from tests.builders import NOON, SYMBOLS, candle, candles, event, minutes
from tests.fakes.memory_deployments import MemoryBundles
from tests.fakes.memory_library import MemoryArtifacts
from tests.fakes.postgres_server import PostgresServer, app_source
from tests.integration.samples import SIGNAL
from tests.integration.test_report_source import NIGHT, MemoryStore
from tests.integration.test_trading_ledger_contract import everything
from tests.integration.trading_samples import ACCOUNT
from tests.unit.library.samples import FINISHED, URI, artifact, bundle, evaluation, evaluation_output, job
from tests.unit.library.samples import MODEL as MODEL_NAME
from tests.unit.signals.test_cycle import FixedScorer
from tests.unit.trading.market import BASE, BTC, ETH, SOL, START, bar, signal, wave
from tests.unit.trading.test_live_service import FIRM, MODEL, NAME, PASSED, RULES, SECOND, view
from tests.unit.trading.test_service import cycle, order

JUDGE: Final = "signalbox-test-evaluate-20261116t020000z"
OTHER: Final = "arn:aws:iam::123456789012:user/other"
OWNER: Final = "arn:aws:iam::123456789012:user/owner"
DEPLOYED: Final = DeployedModel(MODEL, DeploymentStage.ACTIVE, FixedScorer(), Thresholds(0.03, 0.08), 60, "b1", PASSED)


class Bus:
    """Takes every event."""

    def publish(self, events: Sequence[OutboxEvent]) -> None:
        """Take them."""


class Models:
    """The model of the stage."""

    def choose(self, _at: datetime) -> ModelChoice:
        """Return it."""
        return ModelChoice(DEPLOYED)

    def decided(self, _outcome: object, _choice: object) -> None:
        """Nothing follows from a cycle."""


@dataclass(frozen=True)
class Ledger:
    """One migrated database, as any of its users reaches it, and a folder for what is written beside it."""

    of: Callable[[str], ConnectionSource]
    address: str  # without a user
    folder: Path

    def function(self, function: Function) -> ConnectionSource:
        """The connection of a function."""
        return self.of(database_user(function))


def generate_signals(ledger: Ledger) -> None:
    """Cycles whole, in parts, again, with a hole, with bars that differ, a symbol that is stale and recovers, and outcomes."""
    source = ledger.function(Function.GENERATE_SIGNALS)
    models: Any = Models()
    app = GenerateSignals(PostgresLedger(source), PostgresOutbox(source), Bus(), models, SignalLimits(), pause=lambda _: None)
    with PostgresLedger(source).transaction() as tx:
        for symbol in (BTC, ETH, SOL):
            tx.add_candles("coinbase", wave(symbol, START - timedelta(hours=5), 11 * 60))
            tx.add_candles("coinbase", candles(symbol, NOON - minutes(10), 2_600))
        tx.add_deployed_model(DEPLOYED, START)
        tx.add_signal(replace(SIGNAL, deployment=MODEL, stage=DeploymentStage.ACTIVE, decided_at=START))
        for status in (SymbolStatus(SYMBOLS[0], START, "STALE"), SymbolStatus(SYMBOLS[0], None, None)):
            tx.set_symbol_status(status)
        tx.add_refusal("coinbase", SymbolRefusal(SYMBOLS[0], START, "STALE", "by hand"))
    for part in (1, 2):
        app.decide(event(part=part, parts=2, symbols=SYMBOLS[:2] if part == 1 else SYMBOLS[2:]))
    app.decide(event())
    changed = event(NOON + minutes(5))
    app.decide(changed)
    with PostgresLedger(source).transaction() as tx:
        tx.add_candles("coinbase", [candle(SYMBOLS[0], NOON - minutes(1), "7")])  # another bar of a minute that is known
        tx.add_candles("coinbase", [candle(SYMBOLS[0], NOON - minutes(1), "8")], NOON + minutes(6))  # revised by the venue
    app.decide(event(NOON + minutes(10), without=SYMBOLS[1:]))
    app.decide(event(NOON + minutes(15), count=20))
    app.decide(event(NOON + minutes(60), count=60))  # the horizon of the first cycle's signals has passed
    app.publish()


def _manager(source: ConnectionSource, *accounts: str) -> ManageOrders:
    service = TradingService(PostgresTradingLedger(source), market="coinbase")
    gate = AccessControl(PostgresAccessBook(source), (OWNER,))
    return ManageOrders(service, PostgresOutbox(source), Bus(), accounts=accounts, gate=gate, pause=lambda _: None)


def manage_orders(ledger: Ledger) -> None:
    """A paper account from a signal to its close, a live one from its confirmation to a view in parts, every command."""
    source = ledger.function(Function.MANAGE_ORDERS)
    app = _manager(source, "ftmo-2step-100k", "paper-10k")
    app.handle(signal(BTC))
    for step in range(1, 6):
        app.handle(cycle(START + minutes(5 * step)))
    live = PostgresTradingLedger(source)
    live.open_account(FIRM, START - timedelta(hours=1), "anna")
    app.gate.book.name_owners((OWNER,), START)
    for number, what in enumerate(("live", RULES)):
        _command(app, "confirm", what=what, request_id=f"req-said-{number}")
    app.handle(view(START))
    app.handle(signal(ETH))
    sent_order = app.command(order(account=NAME, type="LIMIT", limit_price="99", symbol="SOL-USD", request_id="req-limit"), OWNER)
    assert sent_order.order is not None
    key = sent_order.order.client_order_id
    _command(app, "lots", method="HIFO")
    _command(app, "adopt", symbol="SOL-USD", quantity="1", price="100", why="what was there", at=START - minutes(30))
    _command(app, "deposit", amount="5", venue_id="v-1", why="more money", at=START - minutes(20))
    _command(app, "cancel", client_order_id=key)
    _command(app, "halt", why="looking into it", at_instant=START + SECOND)
    _command(app, "resume", why="looked at it", at_instant=START + 2 * SECOND)
    trades = [
        {"trade_id": f"t{i}", "client_order_id": key, "symbol": "SOL-USD", "side": "BUY", "quantity": "0.001", "price": "99"}
        | {"executed_at": START + 3 * SECOND + timedelta(milliseconds=i), "fee": "0"}
        for i in range(1_500)
    ]
    for part in in_parts(view(START + 60 * SECOND, trades=trades)):
        app.handle(part)
    app.query(NAME, START + 61 * SECOND, OWNER)
    app.readiness_report(NAME, START + 61 * SECOND, OWNER)
    app.listed(START, OWNER)
    reported = {"account": NAME, "requested_at": START, "principal": OTHER}
    app.change_access(GrantAccess.model_validate({**reported, "request_id": "req-grant", "role": "viewer"}), OWNER)
    app.change_access(RevokeAccess.model_validate({**reported, "request_id": "req-revoke"}), OWNER)
    app.access(NAME, START, OWNER)
    with suppress(AccessRefusedError):
        app.query(NAME, START, OTHER)
    _everything(live)
    app.publish()


def _command(app: ManageOrders, kind: str, at_instant: object = START, **facts: object) -> None:
    reported = {"kind": kind, "account": NAME, "request_id": f"req-{kind}", "requested_at": at_instant, **facts}
    app.command(COMMANDS.validate_python(reported), OWNER)


def _everything(ledger: PostgresTradingLedger) -> None:
    """A step that touches every table of an account, one that books again what it made, and a state loaded anew."""
    ledger.open_account(ACCOUNT, NOON - minutes(60), "anna")
    with ledger.transaction(ACCOUNT.account) as tx:
        before = tx.load(NOON)
        after, changes = everything(before)
        ended = AccountDay(NOON.date(), Decimal(1), Decimal(1), Decimal(1), Decimal(1))
        tx.save(before, after, changes + ChangeSet(days=(ended,)))
    with ledger.transaction(ACCOUNT.account) as tx:
        kept = tx.load(NOON + minutes(1))
        tx.save(kept, replace(kept, at=NOON + minutes(1), locks=()), replace(changes, rebooked=True))
        tx.entries()
        tx.order(next(iter(after.orders)))


def monitor_risk(ledger: Ledger) -> None:
    """A position that nobody sees any more, and then late bars, which pass its stop before money that is booked already."""
    manager = _manager(ledger.function(Function.MANAGE_ORDERS))
    app = _manager(ledger.function(Function.MONITOR_RISK))
    end = START + timedelta(hours=6)  # of the bars; the hours before it are calm, so that an entry has a size
    manager.service.open("paper-30k", end - minutes(10), "anna")
    manager.gate.book.name_owners((OWNER,), end)
    manager.handle(signal(SOL, end - minutes(5)))
    for minute in range(-4, 1):
        app.on_minute(end + minutes(minute))
    reported = {"account": "paper-30k", "request_id": "req-late", "requested_at": end + minutes(3), "amount": "5", "why": "more"}
    manager.command(COMMANDS.validate_python({"kind": "deposit", **reported}), OWNER)
    app.on_minute(end + minutes(20))  # nobody sees what it holds
    with PostgresLedger(ledger.function(Function.GENERATE_SIGNALS)).transaction() as tx:
        for symbol in (BTC, ETH, SOL):
            tx.add_candles("coinbase", [bar(symbol, end + minutes(i), BASE[symbol] * (3 if i else 4) / 5) for i in range(10)])
    for minute in (21, 60, 24 * 60, 48 * 60):
        app.on_minute(end + minutes(minute))
    app.publish()


def relay_outbox(ledger: Ledger) -> None:
    """What others left."""
    outbox = PostgresOutbox(ledger.function(Function.RELAY_OUTBOX))
    outbox.oldest_unpublished()
    publish_pending(outbox=outbox, publisher=Bus())


def compact_candles(ledger: Ledger) -> None:
    """A night."""
    source = ledger.function(Function.COMPACT_CANDLES)
    lake = Lake(FolderStore(ledger.folder / "lake"))
    compact(NIGHT, ("coinbase",), (BTC, ETH), ledger=PostgresCandleDays(source), lake=lake)


def publish_reports(ledger: Ledger) -> None:
    """A night, the same night again, and one that finds a fact booked late; then a morning twice, and what it told."""
    source = ledger.function(Function.PUBLISH_REPORTS)
    reports, outbox = PostgresReports(source), PostgresOutbox(source, emitted_by(Function.PUBLISH_REPORTS))
    for at in (NIGHT, NIGHT, NIGHT + timedelta(days=1)):
        publish(at, source=reports, quality=reports, store=MemoryStore(), log=reports)
    for _ in range(2):
        summarise(NIGHT, source=reports, put=outbox.put)
    publish_pending(outbox=outbox, publisher=Bus())


def register_model(ledger: Ledger) -> None:
    """A training and an evaluation, each told twice."""
    source = ledger.function(Function.REGISTER_MODEL)
    artifacts = MemoryArtifacts(**{URI: artifact(bundle(ledger.folder / "made"))})
    app = RegisterModel(PostgresLibrary(source), artifacts, PostgresOutbox(source), Bus(), pause=lambda _: None)
    output = f"s3://models/training/artifacts/{JUDGE}/output/output.tar.gz"
    artifacts.objects[output] = evaluation_output(evaluation(ledger.folder / "made"))
    for _ in range(2):
        app.register(job())
        app.judge(
            FinishedEvaluation(
                name=JUDGE,
                outcome=JobOutcome.COMPLETED,
                finished_at=FINISHED,
                model_uri=URI,
                output_uri=output,
            )
        )
    app.publish()


def rules_of(deployment: LibraryDeployment, at: datetime = NIGHT, rate: float | None = None) -> ObservationRules:
    """The preset for a deployment, from the next hour."""
    share = rate or deployment.evaluated_rate
    assert share is not None
    model = ObservedModel(
        deployment=deployment.name, bundle_sha256=deployment.sha256, symbols=SYMBOLS_OF_STAGE, horizon_minutes=60,
        evaluated_share=share,
    )  # fmt: skip
    return preset(model, cycle_of(at) + timedelta(hours=1), days=5, last_days=10)


def observed_ledger(source: ConnectionSource) -> ObservedLedger:
    """The ledger as `signalbox observe` reads it, without a bundle."""
    return ObservedLedger(
        reader=LedgerReader(source), trading=TradingReader(source), venue="coinbase", find=None, own_bars=True, scorer=None
    )


def library_api(ledger: Ledger) -> None:
    """Every question and every change, then what generate_signals makes of the deployments as its own user."""
    source = ledger.function(Function.LIBRARY_API)
    archive = pack_bundle(bundle(ledger.folder / "uploaded"))
    sha256 = hashlib.sha256(archive).hexdigest()
    app = ManageLibrary(
        registry=PostgresRegistry(source),
        library=PostgresLibrary(source),
        book=PostgresDeployments(source),
        observations=PostgresObservations(source),
        artifacts=MemoryArtifacts(**{f"s3://models/{upload_key(sha256)}": archive}),
        roles=PostgresLibraryRoles(source),
        entities=PostgresEntities(source),
        requests=PostgresRequests(source),
        outbox=PostgresOutbox(source),
        bus=Bus(),
        models_bucket="models",
        starter=lambda: archive,
        live=PostgresLiveDecisions(source, "coinbase"),
        owners=(OWNER,),
        pause=lambda _: None,
    )
    started = app.start(NIGHT)
    name = started["version"]
    serving = PostgresDeployments(ledger.function(Function.GENERATE_SIGNALS))

    def ask(verb: str, who: str = OWNER, **facts: object) -> Any:
        return app.answer(parse_library_request(verb, facts), who, NIGHT)

    def change(verb: str, number: int, **facts: object) -> Any:
        return ask(verb, OWNER, why="to see it", request_id=f"{verb}-{number}", **facts)

    def serve(deployment: str) -> None:
        for state in (DeploymentState.VALIDATING, DeploymentState.WARMING):
            serving.move(deployment, state, NIGHT, "generate_signals", "next")
        serving.confirm(deployment, NIGHT, "decided")
        serving.count(deployment, NIGHT - timedelta(hours=1), NIGHT)

    change("register", 1, name=MODEL_NAME, sha256=sha256, tags=["tiny"])
    change("register", 2, kind="dataset", name="candles", sha256="0" * 64, tags=["small"])
    change("create", 1, kind="model", name="another", description="none yet")
    change("change", 1, kind="model", name="another", revision=1, archived=True)
    change("depend", 1, version=name, needs_kind="dataset", needs="candles")
    serve(started["deployment"]["deployment"])
    change("approve", 1, version=name, override=True)
    promoted = change("promote", 1)
    serving.miss(promoted["deployment"], NIGHT, "not loaded")
    serve(promoted["deployment"])
    with suppress(DeploymentRefusedError):
        change("rollback", 1)
    back = change("rollback", 2, to=1)
    serve(back["deployment"])
    current = PostgresDeployments(source).slot("all").current
    assert current is not None
    observed = rules_of(current)
    change("observe", 1, rules=observed.text)
    ended = {"observation": observed.observation, "verdict": "EXTEND", "reasons": ["DURATION MISSING"]}
    change("end-observation", 1, **ended)
    change("deploy", 1, version=name)
    ask("permission", action="rollback")
    change("rollback", 3)
    beside = change("deploy", 2, version=name, beside=True)
    for state in (DeploymentState.VALIDATING, DeploymentState.WARMING):
        serving.move(beside["deployment"], state, NIGHT, "generate_signals", "next")
    serving.confirm(beside["deployment"], NIGHT, "decided")
    serving.end(beside["deployment"], NIGHT, "generate_signals", "it cannot score")
    change("deploy", 3, version=name, beside=True)
    change("withdraw", 1, version=name)
    with suppress(DeploymentRefusedError):
        serving.fall_back(back["deployment"], NIGHT, "generate_signals", "its bundle is corrupt")
    ask("compare-live", version=name, other=name)
    for kind in EntityKind:
        ask("list", kind=kind.value)
    ask("list", name=MODEL_NAME)
    ask("list", tag="starter")
    ask("list", name=MODEL_NAME, tag="starter")
    ask("search", words="starter tiny")
    for verb in ("show", "evaluations", "lineage", "history"):
        ask(verb, version=name)
    ask("history")
    ask("entities", cursor=ask("entities", limit=1)["next"], limit=1)
    ask("entities", kind="model")
    ask("entity", kind="model", name="another")
    ask("deployment", deployment=ask("deployments")["deployments"][0]["deployment"])
    ask("compare", version=name, other=f"{MODEL_NAME}@1")
    with suppress(LibraryAccessError):
        ask("list", who="arn:aws:iam::123456789012:user/nobody")
    app.publish()
    again: dict[str, Any] = {"at": NIGHT, "who": "generate_signals", "why": "its share of signals"}
    serving.roll_back("all", to=2, **again, request_id="rate-1")


def score_signals(ledger: Ledger) -> None:
    """Scores of symbols by what library_api's work left serving."""
    source = ledger.function(Function.SCORE_SIGNALS)
    book = PostgresDeployments(source)
    serves = book.slot(ALL_SYMBOLS).current
    assert serves is not None
    bundles = MemoryBundles({serves.bundle_key: pack_bundle(ledger.folder / "uploaded")})
    found = CurrentScores(book, bundles, LedgerBars(source, "coinbase")).service()
    assert len(found.score(ScoreRequest(symbols=[BTC], at=NOON), NOON).scores) == 1


def dump_database(ledger: Ledger) -> None:
    """A dump of everything that the others did."""
    parts = conninfo_to_dict(ledger.address)
    where = DatabaseSettings(str(parts["host"]), 5432, str(parts["dbname"]), database_user(Function.DUMP_DATABASE), "disable")
    dump(where, lambda: "", FolderDumpStore(ledger.folder / "dump"), NIGHT)


def query_ledger(ledger: Ledger) -> None:
    """Every question, about what the others did, and a person who may see nothing."""
    source = ledger.function(Function.QUERY_LEDGER)
    app = QueryLedger(
        TradingService(PostgresTradingSnapshots(source), "coinbase"),
        PostgresHistory(source, "coinbase"),
        ReadingAccess(PostgresAccessBook(source)),
    )
    period = {"start": (START - timedelta(days=1)).isoformat(), "end": (START + timedelta(days=2)).isoformat()}
    accounts = app.answer({"kind": "accounts", "who": OWNER}, NIGHT).found
    assert accounts
    for one in accounts:
        about = {"who": OWNER, "account": one["account"]}
        for kind in ("account", "readiness"):
            assert app.answer({"kind": kind, **about}, START + timedelta(hours=6)).refused is None
        for kind in ("trades", "equity"):
            assert app.answer({"kind": kind, **about, **period}, NIGHT).refused is None
        app.answer({"kind": "order", **about, "client_order_id": "0" * 32}, NIGHT)
        assert app.answer({"kind": "permission", **about, "action": "resume"}, NIGHT).found is True
    assert app.answer({"kind": "signals", "who": OWNER, **period}, NIGHT).found
    assert app.answer({"kind": "bars", "who": OWNER, "symbol": BTC, **period}, NIGHT).found
    assert app.answer({"kind": "account", "who": OTHER, "account": accounts[0]["account"]}, NIGHT).refused is not None


def reader(ledger: Ledger) -> None:
    """`signalbox report` and `signalbox features verify`."""
    source = ledger.of(READER_DATABASE_USER)
    where = f"{ledger.address} user={READER_DATABASE_USER} sslmode=disable"
    settings, out = load_settings({}), ledger.folder / "reports"
    run_report(ACCOUNT.account, "2024-03", "all", out, zone=None, database=where, json_output=True, settings=settings, now=NIGHT)
    run_verify(NOON.date(), str(ledger.folder / "lake"), where, venue="coinbase", json_output=True, settings=settings)
    observations = PostgresObservations(source)
    (one,) = observations.observations(9)
    assert observations.earlier(observations.observation(None).rules) == ()
    gather(one.rules, NIGHT, observed_ledger(source))
    with source.snapshot() as connection:
        for table in ("account_access", "access_refusals"):  # who may do what, read by hand
            connection.execute(f"SELECT * FROM {table}".encode())


USES: Final[Mapping[str, Callable[[Ledger], None]]] = {  # in an order in which each finds what it needs
    database_user(Function.GENERATE_SIGNALS): generate_signals,
    database_user(Function.MANAGE_ORDERS): manage_orders,
    database_user(Function.MONITOR_RISK): monitor_risk,
    database_user(Function.RELAY_OUTBOX): relay_outbox,
    database_user(Function.COMPACT_CANDLES): compact_candles,
    database_user(Function.PUBLISH_REPORTS): publish_reports,
    database_user(Function.REGISTER_MODEL): register_model,
    database_user(Function.LIBRARY_API): library_api,
    database_user(Function.SCORE_SIGNALS): score_signals,
    database_user(Function.DUMP_DATABASE): dump_database,
    database_user(Function.QUERY_LEDGER): query_ledger,
    READER_DATABASE_USER: reader,
}


def use_every_function(postgres: PostgresServer, database: str, folder: Path) -> None:
    """Let every function do its work as itself in a migrated database; `folder` is for what is written beside it."""
    with ExitStack() as stack:
        ledger = Ledger(
            lambda user: stack.enter_context(app_source(postgres, database, user=user)),
            f"host={postgres.socket_folder} dbname={database}",
            folder,
        )
        for use in USES.values():
            use(ledger)
