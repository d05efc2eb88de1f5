"""Adds the stacks to the app in deployment order and connects them. The stacks describe the resources."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks
from pydantic import ValidationError

from cdk.constructs.function import FunctionContext, FunctionTooLargeError
from cdk.layer_build import LayerBuildError
from cdk.sources import REPOSITORY, SourceMissingError, SourceTree
from cdk.stacks.alerts import AlertsStack
from cdk.stacks.alternative import AlternativeStack
from cdk.stacks.backups import BackupsStack
from cdk.stacks.chat import ChatStack
from cdk.stacks.dashboard import DashboardStack
from cdk.stacks.data import DataStack
from cdk.stacks.execution import ExecutionStack
from cdk.stacks.function_stack import Platform
from cdk.stacks.lake import LakeStack
from cdk.stacks.library import LibraryStack
from cdk.stacks.market import MarketStack
from cdk.stacks.messaging import MessagingStack
from cdk.stacks.network import NetworkStack
from cdk.stacks.operations import OperationsStack
from cdk.stacks.reports import ReportsStack
from cdk.stacks.routing import RoutingStack
from cdk.stacks.schema import SchemaStack
from cdk.stacks.secrets import SecretsStack
from cdk.stacks.signals import SignalsStack
from cdk.stacks.trading import TradingStack
from cdk.stacks.training import TrainingStack
from cdk.stage import CONTEXT_KEYS, StageConfig, stage_from_context
from cdk.stage_file import StageError

FLAGS: Final[dict[str, Any]] = json.loads((REPOSITORY / "cdk.json").read_text(encoding="utf-8"))["context"]

OPERATOR_ERRORS: Final = (
    StageError,
    ValidationError,
    SourceMissingError,
    LayerBuildError,
    FunctionTooLargeError,
)  # say what to do


def compose(app: App, stage: StageConfig, sources: SourceTree) -> None:
    """Add the stacks of one stage to the app."""
    secrets = SecretsStack(app, stage)
    network = NetworkStack(app, stage)
    operations = OperationsStack(app, stage)
    context = FunctionContext(stage=stage, sources=sources, alarm_topic=operations.alarms)
    data = DataStack(app, stage, network=network, alarm_topic=operations.alarms, sources=sources)
    schema = SchemaStack(app, context, network=network, data=data, secrets=secrets)
    messaging = MessagingStack(app, context, data=data)
    platform = Platform(context=context, data=data, secrets=secrets, messaging=messaging)
    market = MarketStack(app, platform)
    lake = LakeStack(app, platform)
    AlternativeStack(app, platform)
    signals = SignalsStack(app, platform)
    trading = TradingStack(app, platform)
    alerts = AlertsStack(app, platform)
    execution = ExecutionStack(app, platform, trading=trading)
    routing = RoutingStack(app, platform, execution=execution, trading=trading)
    training = TrainingStack(app, platform)
    library = LibraryStack(app, platform)
    chat = ChatStack(app, platform, trading=trading, library=library)
    reports = ReportsStack(app, platform)
    backups = BackupsStack(app, platform, network=network)
    dashboard = DashboardStack(app, stage)
    messaging.add_stack_dependency(schema, "the relay reads the outbox")
    signals.add_stack_dependency(schema, "signals are written to the ledger")
    lake.add_stack_dependency(schema, "it reads the ledger's candles")
    chat.add_stack_dependency(schema, "it reads the ledger")
    trading.add_stack_dependency(schema, "it writes the ledger's accounts")
    signals.add_stack_dependency(trading, "the trading queue must exist before signals are put on it")
    signals.add_stack_dependency(routing, "the routes to the venues must exist before a signal makes an account send an order")
    training.add_stack_dependency(schema, "finished jobs are recorded in the library")
    library.add_stack_dependency(schema, "it writes the ledger's library")
    reports.add_stack_dependency(schema, "it reads the ledger's accounts")
    backups.add_stack_dependency(schema, "it reads every table")
    market.add_stack_dependency(signals, "the signals queue must exist before candles are put on it")
    market.add_stack_dependency(alerts, "the alerts queue must exist before candles lead to signals")
    dashboard.add_stack_dependency(market)


def check_rules(app: App) -> None:
    """Make the synthesis fail on a cdk-nag finding that nobody acknowledged."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def synthesise(
    context: Mapping[str, Any],
    *,
    out: str | Path | None = None,
    sources: SourceTree | None = None,
    templates_only: bool = False,
) -> tuple[StageConfig, Path]:
    """Write the cloud assembly of the stage that the context names; return the stage and the assembly's folder.

    templates_only: leave the dependencies out of the layers, for reading the templates and not for deploying them.
    """
    app = App(context={**FLAGS, **context}, outdir=str(out) if out else None, tree_metadata=False, analytics_reporting=False)
    stage = stage_from_context({key: app.node.try_get_context(key) for key in CONTEXT_KEYS})
    if templates_only:
        stage = stage.model_copy(update={"bundle_dependencies": False})
    compose(app, stage, sources or SourceTree())
    if stage.check_rules:
        check_rules(app)
    return stage, Path(app.synth().directory)
