"""A page of each kind from made-up prices: for the pictures of docs/gallery.md and for the checks of how pages are laid out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np

from local.cli.observe.page import write_observation
from local.cli.report.index import write_index
from local.cli.signals.page import write_pages
from local.library.catalogue import write_catalogue
from local.library.package import open_package
from local.library.publishers import TrustList, new_key
from local.library.sharing import make_package, version_of_bundle
from local.replay.chart import chart_of
from local.replay.report import write_report
from local.replay.summary import CycleTiming
from signalbox.inference.manifest import BundleManifest
from signalbox.market.candles import Symbol
from signalbox.observation.judgement import judge
from signalbox.reports.build import build
from signalbox.reports.publishing import files_of
from signalbox.reports.report import ReportKind
from signalbox.signals.signal import DeploymentStage, Direction, Signal, Tier
from tests.unit.local.replay.test_accounts import replayed, traded_account
from tests.unit.observation.samples import findings, rules
from tests.unit.reports.samples import CAPITAL, at, fill, period_of, transfer
from tests.unit.trading.market import START, wave
from tests.unit.training.backtest.random_walks import TIGHT, WARM_UP, account, walk_bars, walk_signals
from tests.unit.training.synthetic import write_candles
from training.backtest.backtest import BacktestResult, BacktestSpeed
from training.backtest.bar_grid import BarGrid
from training.backtest.command import chart_picture
from training.backtest.compare import write_comparison
from training.backtest.decisions import Decisions
from training.backtest.engine import Plan, run
from training.backtest.figures import figures_of
from training.backtest.page import render_page
from training.backtest.performance import at_worst_prices, minute_equity, performance_of
from training.backtest.starts import attempting, judge_attempts, start_dates
from training.evaluate import EvaluateRequest, evaluate_bundle
from training.judge.history import Overlap
from training.progress import NoProgress
from training.write.report_page import render_page as render_evaluation
from training.write.writer import report_bytes

ROOT = Path(__file__).parents[1]
DAY = 1_440


def write_samples(out: Path) -> dict[str, Path]:
    """Write the pages and their pictures into a folder and return the path of each page by its name."""
    pages = {"demo": _demo(out / "demo"), "signal": _signal_page(out / "signal")}
    for name, seed in (("backtest", 21), ("other-backtest", 22)):
        pages[name] = _backtest(out / name, seed)
    pages["evaluation"] = _evaluation(out / "evaluation")
    pages |= _catalogue(out / "catalogue")
    pages["compare"] = write_comparison(out / "backtest", out / "other-backtest", out / "compare")
    pages["observation"] = _observation(out / "observation")
    return pages | _reports(out / "reports")


def sample_backtest(seed: int, days: int = 4) -> BacktestResult:
    """Return a backtest of random walks on an account with loss rules."""
    grid = BarGrid.of(walk_bars(seed, WARM_UP + days * DAY, minute_bps=6.0, gaps=[(0, 2_000, 70)]))
    signals = walk_signals(grid, seed, share=0.05)
    kind = account("ftmo-2step-100k", TIGHT)
    start, end = grid.instant(WARM_UP), grid.instant(grid.minutes // 5 * 5)
    found = run(grid, signals, Plan(kind, WARM_UP, grid.minutes))
    manifest = BundleManifest.model_validate_json((ROOT / "training/starter_bundle/manifest.json").read_text(encoding="utf-8"))
    none = np.empty(0, np.int64)
    with attempting(grid, signals, kind, start_dates(start, end, 2), end=grid.minute(end)) as attempts:
        passing = judge_attempts(attempts(lambda _: None), end)
    minutes = minute_equity(grid, found, start, found.ended_at)
    return BacktestResult(
        manifest=manifest,
        account=kind,
        start=start,
        end=end,
        decisions=Decisions(tuple(Symbol(s) for s in grid.symbols), none, none, np.empty(0), tuple(signals)),
        run=found,
        figures=at_worst_prices(figures_of(grid, signals, found, 60), grid, minutes),
        passing=passing,
        overlap=Overlap(0.0, (), None, None),
        sources=(),
        speed=BacktestSpeed(1.0, 0, False, 1.0, 1.0),
        performance=performance_of(grid, found, start, end),
        minutes=minutes,
        grid=grid,
    )


def _backtest(folder: Path, seed: int) -> Path:
    result = sample_backtest(seed)
    folder.mkdir(parents=True)
    (folder / "backtest.json").write_bytes(report_bytes(result.to_json()))
    (folder / "chart.png").write_bytes(chart_picture(result))
    path = folder / "report.html"
    path.write_text(render_page(result), encoding="utf-8")
    return path


def _evaluation(folder: Path) -> Path:
    """Judge the starter on random walks. Its days are after its training, so the page is that of an honest evaluation."""
    candles = write_candles(folder / "candles", *walk_bars(31, 9 * DAY, minute_bps=6.0))
    found = evaluate_bundle(EvaluateRequest(ROOT / "training/starter_bundle", candles), NoProgress())
    path = folder / "report.html"
    path.write_text(render_evaluation(found.assessment, ["random walks, of no market"]), encoding="utf-8")
    return path


def _catalogue(folder: Path) -> dict[str, Path]:
    key = new_key()
    content = make_package([version_of_bundle(ROOT / "training" / "starter_bundle")], key, START, licence="Apache-2.0")[1]
    index = write_catalogue([(open_package(content, TrustList().trusting(key.public, "me", START)), content)], folder, START)
    return {"catalogue": folder / "index.html", "model": folder / index.models[0].page}


def _observation(folder: Path) -> Path:
    """Judge a sound observation of a model that is right four times in five."""
    folder.mkdir(parents=True)
    write_observation(judge(rules(), findings()), folder)
    return folder / "observation.html"


def _demo(folder: Path) -> Path:
    record = replayed(traded_account())
    signals = tuple(_signal(symbol, i) for i in range(0, 17, 3) for symbol in record.symbols)
    timings = tuple(CycleTiming(START + timedelta(minutes=5 * i), 900.0 if i == 0 else 60.0 + 7 * (i % 5)) for i in range(18))
    write_report(replace(record, source="a made-up market", signals=signals, timings=timings), folder)
    return folder / "report.html"


def _signal_page(folder: Path) -> Path:
    record = replayed(traded_account())
    signals = tuple(_signal(record.symbols[0], i) for i in range(0, 17, 4))
    chart = chart_of(replace(record, signals=signals))
    own = tuple(one for one in chart.candles if one.symbol == record.symbols[0])
    folder.mkdir(parents=True)
    trades = tuple(one for one in chart.trades if one.symbol == record.symbols[0])
    write_pages(signals[1], replace(chart, candles=own, trades=trades), folder)
    return folder / "signal.html"


def _signal(symbol: Symbol, i: int) -> Signal:
    return Signal(
        symbol=symbol,
        decided_at=START + timedelta(minutes=5 * i),
        deployment="starter",
        stage=DeploymentStage.SHADOW,
        direction=Direction.BUY if i % 2 else Direction.SELL,
        tier=Tier.HIGH if i % 3 else Tier.MEDIUM,
        probability_up=0.61 if i % 2 else 0.39,
        price=wave(symbol, START, 90)[5 * i].close,
        late=False,
        schema_name="v31",
        schema_hash="ab",
        features=(),
    )


def _reports(folder: Path) -> dict[str, Path]:
    fills = [fill(at(3, day), side, "2", str(900 + 7 * day), "1.5") for day in range(1, 9) for side in ("BUY", "SELL")]
    data = period_of("2024-03", [CAPITAL, *fills, transfer(at(3, 10), "-5000"), transfer(at(3, 12), "0.001")])
    pages = {}
    for kind in ReportKind:
        target = folder / f"account={data.account.account}" / "period=2024-03"
        target.mkdir(parents=True, exist_ok=True)
        for ending, content in files_of(build(kind, data)).items():
            (target / f"kind={kind.value}.{ending}").write_bytes(content)
        pages[f"report-{kind.value}"] = target / f"kind={kind.value}.html"
    pages["report-index"] = write_index(folder, data.account.account)
    return pages
