"""`signalbox bench ...` as typer sees it: figures of this machine, each with its peer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

bench_app = typer.Typer(help="Measure this machine, always beside a peer in the same run.", no_args_is_help=True)


@bench_app.command("features")
def features(  # noqa: PLR0917 - typer passes by keyword
    data: Annotated[Path | None, typer.Option(help="A lake or a folder of recorded candles; default: the shared ones.")] = None,
    schema: Annotated[str, typer.Option(help="Feature schema: v31 or v50.")] = "v50",
    bars: Annotated[int, typer.Option(min=5_000, help="Bars of each symbol.")] = 2 * 365 * 1440,
    workers: Annotated[int, typer.Option(min=1, help="Symbols computed side by side.")] = 2,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of ours; the best counts.")] = 3,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Feature matrix of years and features of the newest bar, against plain pandas."""
    from local.bench.features import BenchOptions, run_bench  # noqa: PLC0415 - heavy packages, only where needed
    from local.settings import load_settings  # noqa: PLC0415 - as above

    folder = data or load_settings().recorded_candles
    run_bench(BenchOptions(folder, schema, bars, workers, repeats, json_output=json_output))


@bench_app.command("risk")
def risk(
    rounds: Annotated[int, typer.Option(min=100, help="How often each check is done in memory.")] = 20_000,
    postgres_rounds: Annotated[int, typer.Option(min=100, help="How often with its facts read from PostgreSQL.")] = 2_000,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,  # noqa: FBT002
) -> None:
    """The pre-trade check: in memory, and with its facts read from a durable PostgreSQL, against the plain way."""
    from local.bench.risk import RiskBenchOptions, run_risk_bench  # noqa: PLC0415 - heavy packages, only where needed

    run_risk_bench(RiskBenchOptions(rounds, postgres_rounds, json_output=json_output))


@bench_app.command("orders")
def orders(
    rate: Annotated[int, typer.Option(min=1, help="Orders a second, due at fixed instants.")] = 1000,
    seconds: Annotated[int, typer.Option(min=1, help="For how long.")] = 60,
    accounts: Annotated[int, typer.Option(min=1, help="Accounts that share the orders.")] = 2,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the accounts.")] = 2,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Orders judged and committed at a fixed rate on a durable PostgreSQL, against a statement a row."""
    from local.bench.orders import OrderBenchOptions, run_order_bench  # noqa: PLC0415 - heavy packages, only where needed

    found = run_order_bench(OrderBenchOptions(rate, seconds, accounts, workers, json_output=json_output))
    if found.interrupted:
        raise typer.Exit(130)
    if not found.is_sound:
        raise typer.Exit(1)


@bench_app.command("simulate")
def simulate(
    schedules: Annotated[int, typer.Option(min=1, help="How many schedules.")] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the first schedule; the others follow.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share them.")] = 2,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Accounts against a venue that refuses, delays, hides and closes: schedules a second, and every invariant that broke."""
    from local.bench.simulate import SimulateOptions, print_simulation, run_simulation  # noqa: PLC0415 - only where needed

    found = run_simulation(SimulateOptions(schedules, seed, workers))
    print_simulation(found, json_output=json_output)
    if found.interrupted:
        raise typer.Exit(130)
    if not found.is_sound:
        raise typer.Exit(1)


@bench_app.command("training")
def training(
    config: Annotated[Path | None, typer.Option(help="Configuration; default: training/configs/full.toml.")] = None,
    steps: Annotated[int, typer.Option(min=3, help="Steps of a round; there are three of each side.")] = 10,
    threads: Annotated[int, typer.Option(min=1, help="Of torch, on a CPU.")] = 2,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Steps of the networks of a configuration, against torch's data loader; on a GPU, in each precision."""
    from training.config import QUICK, read_config  # noqa: PLC0415 - heavy packages, only where needed
    from training.recipe import require_torch  # noqa: PLC0415 - as above

    path = config or QUICK.with_name("full.toml")
    require_torch(read_config(path))
    from training.fit.neural.bench import TrainingBenchOptions, run_training_bench  # noqa: PLC0415 - imports torch

    run_training_bench(TrainingBenchOptions(path, steps, threads, json_output=json_output))


@bench_app.callback()
def bench() -> None:
    """Measure this machine, always beside a peer in the same run."""
