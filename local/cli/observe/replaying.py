"""`signalbox observe replay`: a whole observation on the local cloud, by the deployed functions, with the bars' time as clock.

The rules are recorded before the first observed cycle, as in a stage. Bars are verified against the source itself and not against
what the venue served, so a feed that lies is found.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from local.cli.observe.faults import FeedFault, faulty
from local.cli.observe.gathering import ObservedLedger, gather
from local.cli.observe.planted import PlantedModel, TrendingMarket, write_planted_bundle
from local.cloud.local_cloud import LocalCloud, default_symbols
from local.cloud.private import private_files
from local.cloud.processes import stop_signals_interrupt
from local.errors import DataError
from local.market.choice import choose_source
from local.market.source import CandleHistory
from local.replay.replay import HISTORY, CycleReplay, default_window, load_feed
from local.replay.view import choose_view
from local.settings import VENUE, Settings
from local.stand_ins.exchange import LoadedBars
from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.observations import PostgresObservations
from signalbox.adapters.postgres.reading import LedgerReader
from signalbox.adapters.postgres.trading_reading import TradingReader
from signalbox.contracts import Function, database_user
from signalbox.inference import Ensemble, load_bundle
from signalbox.inference.archive import bundle_sha256
from signalbox.market.candles import Bars, Symbol, to_ms
from signalbox.market.clock import CYCLE, cycle_of
from signalbox.observation.judgement import ObservationJudgement, judge
from signalbox.observation.ports import ObservationState, ObservationStep
from signalbox.observation.rules import ObservationRules, ObservedModel, preset

LEAD: Final = 4  # cycles before the observation: the deployment is verified, warmed and confirmed by then
PLANTED_START: Final = "2024-03-04T00:00:00+00:00"  # a Monday


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What to observe. length: of the observation. plant: a model or a fault by name; None: the bundle on the source as it is."""

    length: timedelta
    data: Path | None
    start: datetime | None
    bundle: Path | None
    plant: str | None


@dataclass(frozen=True, slots=True)
class ObservedReplay:
    """What is replayed: true bars, the feed that is served, the bundle, and the period (start, end]."""

    source: CandleHistory
    feed: LoadedBars
    bundle: Path
    start: datetime
    end: datetime


class _SourceSeries:
    """One symbol of a source, as `features verify` reads a series."""

    def __init__(self, source: CandleHistory, symbol: Symbol) -> None:
        self.symbol, self._source = symbol, source

    def bars(self, start: datetime, end: datetime) -> Bars:
        covered = self._source.coverage((self.symbol,))
        return self._source.bars(self.symbol, max(start, covered.first), min(end, covered.last))


def run_replay(options: ReplayOptions, settings: Settings, *, plain: bool) -> ObservationJudgement:
    """Replay the observation and return its judgement. Raises SignalboxError on bad input or a cloud that does not run."""
    with stop_signals_interrupt(), private_files():
        folder = settings.state / "observe" / str(os.getpid())
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            observed = _plan(options, settings, folder)
            with choose_view(default_symbols(), plain=plain) as view:
                before = observed.start - LEAD * CYCLE
                with LocalCloud(settings, folder, observed.feed, now=before, progress=view.phase) as cloud:
                    deployment = cloud.deploy_bundle(observed.bundle)
                    rules = rules_for(cloud, observed, deployment)
                    begin_observation(cloud, rules, before)
                    replay = CycleReplay(cloud, view, source=observed.source.name, start=before, end=observed.end)
                    view.begin(f"observing {deployment} as {rules.observation}", (observed.end - before) // CYCLE)
                    replay.run()
                    return judge_cloud(cloud, rules, observed, view.phase)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def begin_observation(cloud: LocalCloud, rules: ObservationRules, at: datetime) -> None:
    """Record the rules in the ledger of a replay, under the user of the function that does so in a stage."""
    rules.require_ahead(at)
    user = replace(cloud.postgres.settings, user=database_user(Function.LIBRARY_API))
    step = ObservationStep(ObservationState.RUNNING, at, "replay", "a replayed observation", f"replay-{rules.observation}")
    with ConnectionSource(user, lambda: "") as source:
        PostgresObservations(source).start(rules, step)


def judge_cloud(
    cloud: LocalCloud, rules: ObservationRules, observed: ObservedReplay, progress: Callable[[str], None]
) -> ObservationJudgement:
    """Judge what the cloud's ledger has, against the true bars of the source."""
    with ConnectionSource(cloud.postgres.settings, lambda: "") as source:
        book, scorer = PostgresObservations(source), load_bundle(observed.bundle)
        recorded = book.observation(rules.observation)
        ledger = ObservedLedger(
            reader=LedgerReader(source),
            trading=TradingReader(source),
            venue=VENUE,
            find=lambda _market, symbol: _SourceSeries(observed.source, symbol),
            own_bars=False,
            scorer=scorer,
        )
        findings = gather(recorded.rules, observed.end, ledger, earlier=book.earlier(recorded.rules), progress=progress)
        return judge(recorded.rules, findings)


def rules_for(cloud: LocalCloud, observed: ObservedReplay, deployment: str) -> ObservationRules:
    """Return the preset for a deployment that serves or is on its way. Raises DataError if its report states no share."""
    slot = cloud.library("history", {})["slot"]
    found = next(one for one in (slot["incoming"], slot["current"]) if one is not None and one["deployment"] == deployment)
    if found["evaluated_rate"] is None:
        raise DataError(f"{observed.bundle}: its report states no share of signals, so its rate cannot be observed")
    scorer: Ensemble = load_bundle(observed.bundle)
    model = ObservedModel(
        deployment=deployment,
        bundle_sha256=bundle_sha256(observed.bundle),
        symbols=tuple(cloud.symbols),
        horizon_minutes=scorer.manifest.label.horizon_minutes,
        evaluated_share=found["evaluated_rate"],
    )
    days = -(-(observed.end - observed.start) // timedelta(days=1))
    return preset(model, observed.start, days=days, last_days=days)


def _plan(options: ReplayOptions, settings: Settings, folder: Path) -> ObservedReplay:
    fault = FeedFault(options.plant) if options.plant in set(FeedFault) else None
    model = PlantedModel(options.plant) if options.plant in set(PlantedModel) else None
    symbols = default_symbols()
    if options.plant is not None and (model is not None or options.data is None):
        if options.bundle is not None or (model is not None and options.data is not None):
            raise DataError(f"--plant {options.plant}: it brings its own market and model; leave --bundle and --data out")
        start = options.start or datetime.fromisoformat(PLANTED_START)
        end = start + options.length
        market = TrendingMarket(start - LEAD * CYCLE, end)
        bundle = write_planted_bundle(model or PlantedModel.GOOD, market, folder / "planted").folder
        source: CandleHistory = market
    else:
        source = choose_source(options.data, settings, symbols)
        start, end = default_window(source, options.length.total_seconds() / 3600, options.start)
        bundle = options.bundle or settings.repository / "training" / "starter_bundle"
    if start != cycle_of(start):
        raise DataError(f"--start: expected a five-minute boundary, got {start.isoformat()}")
    first = start - LEAD * CYCLE
    feed = load_feed(source, symbols, first, end)
    if fault is not None:
        served = {symbol: feed.bars(symbol, first + CYCLE - HISTORY, end) for symbol in symbols}
        feed = LoadedBars(faulty(fault, served, to_ms(start)))
    return ObservedReplay(source, feed, bundle, start, end)
