"""The `signalbox` command. Heavy packages are imported by the command that needs them, so that `--help` answers at once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from local.cli.accounts.app import accounts_app
from local.cli.backtest import backtest
from local.cli.bench import bench_app
from local.cli.cost.app import cost
from local.cli.data.app import collect, data_app
from local.cli.deploy.app import deploy
from local.cli.evaluate import evaluate
from local.cli.features.app import features_app
from local.cli.ftmo.app import ftmo_app
from local.cli.instants import parse_instant
from local.cli.jobs.app import jobs_app
from local.cli.mt5.app import mt5_app
from local.cli.report.app import report
from local.cli.secrets.app import secrets_app
from local.errors import WorkbenchError
from signalbox.errors import SignalboxError
from signalbox.problems import problem_of

INPUT_ERROR = 2
app = typer.Typer(
    name="signalbox",
    help="Crypto signals behind a risk interlocking: replay history, run the local cloud, train a model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def demo(  # noqa: PLR0917 - typer passes by keyword
    data: Annotated[Path | None, typer.Option(help="Folder of recorded candles (BTC-USDT-1m.parquet ...).")] = None,
    start: Annotated[str | None, typer.Option(help="First instant, ISO 8601, UTC unless it says otherwise.")] = None,
    hours: Annotated[float, typer.Option(help="How much history to replay.")] = 6.0,
    out: Annotated[Path, typer.Option(help="Where the summary, report and chart go.")] = Path("out/demo"),
    bundle: Annotated[Path | None, typer.Option(help="Model bundle to deploy as shadow; default: the one that ships.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the summary as JSON, progress as plain lines.")] = False,  # noqa: FBT002
) -> None:
    """Replay history through the local cloud and report what it said."""
    from local.replay.demo import DemoOptions, run_demo  # noqa: PLC0415 - see the module's docstring
    from local.settings import load_settings  # noqa: PLC0415 - as above

    options = DemoOptions(data, parse_instant(start), hours, out, bundle, json_output)
    raise typer.Exit(run_demo(options, load_settings()))


@app.command()
def up(
    port: Annotated[int | None, typer.Option(help="Port of the AWS emulator on 127.0.0.1; default: a free one.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the simulated market, used when no exchange can be reached.")] = 7,
) -> None:
    """Run the local cloud on the real five-minute clock until Ctrl-C."""
    from local.cloud.up import run_up  # noqa: PLC0415 - as above
    from local.settings import load_settings  # noqa: PLC0415 - see the module's docstring

    raise typer.Exit(run_up(load_settings(), port=port, seed=seed))


@app.command()
def train(  # noqa: PLR0917 - typer passes by keyword
    out: Annotated[Path, typer.Option(help="Folder the bundle is written to.")],
    data: Annotated[Path | None, typer.Option(help="Folder of recorded candles.")] = None,
    start: Annotated[str | None, typer.Option(help="Use candles from this instant on.")] = None,
    end: Annotated[str | None, typer.Option(help="Use candles up to this instant.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="The same as --config training/configs/quick.toml.")] = False,  # noqa: FBT002
    config: Annotated[Path | None, typer.Option(help="What to train, as TOML.")] = None,
    folds: Annotated[
        int | None, typer.Option(help="Walk-forward folds, at least 6, so that G6 can be judged; 0 is none.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the model is called; default: by its configuration and seed.")] = None,
    families: Annotated[
        str | None, typer.Option(help="Of the configuration's sections, those to train, as in xgboost,lstm,transformer.")
    ] = None,
    checkpoints: Annotated[
        Path | None, typer.Option(help="Where an interrupted run is gone on with; default: beside --out, OUT.checkpoints.")
    ] = None,
    tracking: Annotated[Path | None, typer.Option(help="Folder of mlflow runs; default: tracking in the state folder.")] = None,
    tracking_uri: Annotated[str | None, typer.Option(help="Address of an mlflow server, instead of a folder.")] = None,
) -> None:
    """Train a model on recorded candles and write a bundle. Run again after an interruption, it goes on where it was."""
    from local.errors import DataError  # noqa: PLC0415 - see the module's docstring
    from local.settings import load_settings  # noqa: PLC0415 - as above
    from training.command import run_train  # noqa: PLC0415 - as above
    from training.config import QUICK  # noqa: PLC0415 - as above

    if quick == (config is not None):
        raise typer.BadParameter("expected either --quick or --config FILE")
    settings = load_settings()
    folder = data or settings.recorded_candles
    if folder is None:
        raise DataError("no recorded candles: give --data DIR or set SIGNALBOX_DATA")
    run_train(
        folder,
        out,
        config=config or QUICK,
        folds=folds,
        start=parse_instant(start),
        end=parse_instant(end),
        name=name,
        families=None if families is None else [name.strip() for name in families.split(",")],
        checkpoints=checkpoints,
        tracking=tracking or settings.state / "tracking",
        tracking_uri=tracking_uri,
    )


@app.command()
def trace(
    cycle: Annotated[
        str | None, typer.Argument(help="Its instant, ISO 8601, UTC unless it says otherwise; default: the newest.")
    ] = None,
    recorded: Annotated[
        Path | None, typer.Option(help="Folder of a finished demo (its --out); default: the running `signalbox up`.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the trace as JSON, one line.")] = False,  # noqa: FBT002
) -> None:
    """Show one cycle end to end: what every function logged of it, and every row that it left in the ledger."""
    from local.cli.accounts.command import session_of  # noqa: PLC0415 - see the module's docstring
    from local.cloud.function_logs import FunctionLogs  # noqa: PLC0415 - as above
    from local.cloud.trace import RECORDING, trace_recorded, trace_running, trace_text  # noqa: PLC0415 - as above
    from local.settings import STAGE, load_settings  # noqa: PLC0415 - as above

    at = parse_instant(cycle)
    if recorded is None:
        settings = load_settings()
        session, url = session_of(STAGE, settings.state)
        found = trace_running(FunctionLogs(session.client("logs", endpoint_url=url)), settings, at)
    else:
        found = trace_recorded(recorded / "logs" / RECORDING, at)
    print(json.dumps(found.to_json(), default=str) if json_output else trace_text(found))


app.command()(collect)
app.command()(cost)
app.command()(deploy)
app.command()(evaluate)
app.command()(backtest)
app.command()(report)
app.add_typer(accounts_app, name="accounts")
app.add_typer(bench_app, name="bench")
app.add_typer(data_app, name="data")
app.add_typer(features_app, name="features")
app.add_typer(ftmo_app, name="ftmo")
app.add_typer(jobs_app, name="jobs")
app.add_typer(mt5_app, name="mt5")
app.add_typer(secrets_app, name="secrets")


def main() -> None:
    """Run the command; what goes wrong on purpose is one line and exit 2, with --json a problem details object as well."""
    try:
        app()
    except SignalboxError as error:
        if "--json" in sys.argv[1:]:
            problem = error.problem if isinstance(error, WorkbenchError) else problem_of(error)
            sys.stdout.write(f"{json.dumps(problem.to_json())}\n")
        sys.stderr.write(f"signalbox: {error}\n")
        sys.exit(INPUT_ERROR)
    except KeyboardInterrupt:
        sys.stderr.write("signalbox: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
