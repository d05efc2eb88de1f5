"""The `signalbox` command. Heavy packages are imported by the command that needs them, so that `--help` answers at once."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from local.data_commands import collect, data_app
from local.features_app import features_app
from local.ftmo_app import ftmo_app
from signalbox.errors import SignalboxError

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
    from local.demo import DemoOptions, run_demo  # noqa: PLC0415 - see the module's docstring
    from local.settings import load_settings  # noqa: PLC0415 - as above

    options = DemoOptions(data, parse_instant(start), hours, out, bundle, json_output)
    raise typer.Exit(run_demo(options, load_settings()))


@app.command()
def up(
    port: Annotated[int | None, typer.Option(help="Port of the AWS emulator on 127.0.0.1; default: a free one.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the simulated market, used when no exchange can be reached.")] = 7,
) -> None:
    """Run the local cloud on the real five-minute clock until Ctrl-C."""
    from local.settings import load_settings  # noqa: PLC0415 - see the module's docstring
    from local.up import run_up  # noqa: PLC0415 - as above

    raise typer.Exit(run_up(load_settings(), port=port, seed=seed))


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder the bundle is written to.")],
    data: Annotated[Path | None, typer.Option(help="Folder of recorded candles.")] = None,
    start: Annotated[str | None, typer.Option(help="Use candles from this instant on.")] = None,
    end: Annotated[str | None, typer.Option(help="Use candles up to this instant.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small XGBoost in under two minutes.")] = False,  # noqa: FBT002
) -> None:
    """Train a model on recorded candles and write a bundle."""
    from local.errors import DataError  # noqa: PLC0415 - see the module's docstring
    from local.settings import load_settings  # noqa: PLC0415 - as above
    from training.command import run_train  # noqa: PLC0415 - as above

    settings = load_settings()
    folder = data or settings.recorded_candles
    if folder is None:
        raise DataError("no recorded candles: give --data DIR or set SIGNALBOX_DATA")
    run_train(folder, out, quick=quick, start=parse_instant(start), end=parse_instant(end))


app.command()(collect)
app.add_typer(data_app, name="data")
app.add_typer(features_app, name="features")
app.add_typer(ftmo_app, name="ftmo")


def parse_instant(text: str | None) -> datetime | None:
    """Return an aware UTC instant from ISO 8601; without an offset it is UTC. Raises typer.BadParameter."""
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"expected ISO 8601 as in 2024-03-01T12:00, was {text!r}") from error
    return (instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)).astimezone(UTC)


def main() -> None:
    """Run the command; what goes wrong on purpose is one line and exit 2."""
    try:
        app()
    except SignalboxError as error:
        sys.stderr.write(f"signalbox: {error}\n")
        sys.exit(INPUT_ERROR)
    except KeyboardInterrupt:
        sys.stderr.write("signalbox: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
