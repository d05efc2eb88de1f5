"""Declares `signalbox bench ...` for typer: measures this machine, each time against another implementation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from local.cli.options import Data

bench_app = typer.Typer(
    help="Measure speed on this machine, against another implementation in the same run.", no_args_is_help=True
)


def _exit(*, interrupted: bool, is_sound: bool) -> None:
    """End with exit code 130 after Ctrl-C, and 1 after a failed check."""
    if interrupted:
        raise typer.Exit(130)
    if not is_sound:
        raise typer.Exit(1)


@bench_app.command("features")
def features(  # noqa: PLR0917 - typer passes by keyword
    data: Annotated[
        Path | None, typer.Option(help="A lake or a folder of recorded candles; default: the setting `data`.")
    ] = None,
    schema: Annotated[str, typer.Option(help="Feature schema: v31 or v50.")] = "v50",
    bars: Annotated[int, typer.Option(min=5_000, help="Number of bars per symbol.")] = 2 * 365 * 1440,
    workers: Annotated[int, typer.Option(min=1, help="Number of symbols computed in parallel.")] = 2,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of our code, of which the fastest is reported.")] = 3,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Compute features for years and for the newest bar, compared with plain pandas."""
    from local.bench.features import BenchOptions, run_bench  # noqa: PLC0415 - heavy packages, only where needed
    from local.settings import load_settings  # noqa: PLC0415 - as above

    folder = data or load_settings().recorded_candles
    run_bench(BenchOptions(folder, schema, bars, workers, repeats, json_output=json_output))


@bench_app.command("risk")
def risk(
    rounds: Annotated[int, typer.Option(min=100, help="Number of orders checked with facts in memory.")] = 20_000,
    postgres_rounds: Annotated[
        int, typer.Option(min=100, help="Number of orders checked with facts read from PostgreSQL.")
    ] = 2_000,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Time the pre-trade checks, alone and with facts read from a durable PostgreSQL, against a plain implementation."""
    from local.bench.risk import RiskBenchOptions, run_risk_bench  # noqa: PLC0415 - heavy packages, only where needed

    run_risk_bench(RiskBenchOptions(rounds, postgres_rounds, json_output=json_output))


@bench_app.command("orders")
def orders(
    rate: Annotated[int, typer.Option(min=1, help="Orders per second, at fixed intervals.")] = 1000,
    seconds: Annotated[int, typer.Option(min=1, help="Duration in seconds.")] = 60,
    accounts: Annotated[int, typer.Option(min=1, help="Accounts that share the orders.")] = 2,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the accounts.")] = 2,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Check and commit orders at a fixed rate on a durable PostgreSQL, compared with one statement per row."""
    from local.bench.orders import OrderBenchOptions, run_order_bench  # noqa: PLC0415 - heavy packages, only where needed

    found = run_order_bench(OrderBenchOptions(rate, seconds, accounts, workers, json_output=json_output))
    _exit(interrupted=found.interrupted, is_sound=found.is_sound)


@bench_app.command("swap")
def swap(
    bundle: Annotated[Path | None, typer.Option(help="Folder of a bundle; default: the starter.")] = None,
    scores: Annotated[int, typer.Option(min=1, help="Scores of three symbols at least.")] = 10_000,
    swaps: Annotated[int, typer.Option(min=1, help="How often another deployment takes over meanwhile.")] = 50,
    threads: Annotated[int, typer.Option(min=1, max=64, help="Threads that score.")] = 4,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Score from several threads while one deployment after the other takes over, compared with steady state."""
    from local.bench.swap import SwapBenchOptions, print_swap_bench, run_swap_bench  # noqa: PLC0415 - only where needed
    from local.settings import load_settings  # noqa: PLC0415 - as above

    folder = bundle or load_settings().repository / "training" / "starter_bundle"
    found = run_swap_bench(SwapBenchOptions(folder, scores, swaps, threads))
    print_swap_bench(found, json_output=json_output)
    _exit(interrupted=False, is_sound=found.is_sound)


@bench_app.command("simulate")
def simulate(
    schedules: Annotated[int, typer.Option(min=1, help="Number of random sequences of events (schedules) to run.")] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first schedule; each further one adds 1.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the schedules.")] = 2,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Run accounts against a simulated venue that refuses, delays, hides and closes. Prints schedules per second and failures."""
    from local.bench.simulate import SimulateOptions, print_simulation, run_simulation  # noqa: PLC0415 - only where needed

    found = run_simulation(SimulateOptions(schedules, seed, workers))
    print_simulation(found, json_output=json_output)
    _exit(interrupted=found.interrupted, is_sound=found.is_sound)


@bench_app.command("backtest")
def backtest(
    data: Data = None,
    days: Annotated[int, typer.Option(min=2, max=730, help="Days of candles, the newest of each symbol.")] = 91,
    every: Annotated[int, typer.Option(min=30, max=1440, help="Minutes from one signal of a symbol to the next.")] = 240,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of our engine, of which the fastest is reported.")] = 3,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Trade the same bars and bracket orders in our backtest and in nautilus_trader's, and compare the trades."""
    from local.bench.backtest import BacktestBenchOptions, run_backtest_bench  # noqa: PLC0415 - only where needed
    from local.cli.arguments import candles_of  # noqa: PLC0415 - as above
    from local.settings import load_settings  # noqa: PLC0415 - as above

    folder = candles_of(data, load_settings())
    run_backtest_bench(BacktestBenchOptions(folder, days, every, repeats, json_output=json_output))


@bench_app.command("training")
def training(
    config: Annotated[Path | None, typer.Option(help="Configuration; default: training/configs/full.toml.")] = None,
    steps: Annotated[int, typer.Option(min=3, help="Steps per round; each side runs three rounds.")] = 10,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of torch.")] = 2,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Train a configuration's networks for some steps, compared with torch's data loader; on a GPU in each precision."""
    from training.config import QUICK, read_config  # noqa: PLC0415 - heavy packages, only where needed
    from training.recipe import require_torch  # noqa: PLC0415 - as above

    path = config or QUICK.with_name("full.toml")
    require_torch(read_config(path))
    from training.fit.neural.bench import TrainingBenchOptions, run_training_bench  # noqa: PLC0415 - imports torch

    run_training_bench(TrainingBenchOptions(path, steps, threads, json_output=json_output))


@bench_app.command("cold-start")
def cold_start(
    function: Annotated[list[str] | None, typer.Option(help="Name of a function, repeatable; default: all functions.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Starts of each function, of which the fastest is reported.")] = 3,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Start each function in a fresh process, with and without bytecode in its layers, at the CPU share of its memory."""
    from local.bench.cold_start import run_cold_start_bench  # noqa: PLC0415 - only where needed
    from signalbox.contracts import Function  # noqa: PLC0415 - as above

    names = [one.value for one in Function]
    if unknown := [one for one in function or () if one not in names]:
        raise typer.BadParameter(f"expected one of {', '.join(names)}, got {unknown[0]}", param_hint="--function")
    if not run_cold_start_bench([Function(one) for one in function or ()], repeats, json_output=json_output):
        raise typer.Exit(1)


@bench_app.callback()
def bench() -> None:
    """Measure speed on this machine, against another implementation in the same run."""
