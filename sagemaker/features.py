"""First step of the pipeline: freezes the data set and proves, without a GPU, that a model can be trained on it.

It reads the channel `candles` (a lake, or recorded files) and computes the configuration's features and periods, so that bad data
fails here and not on the expensive machine. Then it writes the files it read, byte for byte, and dataset.json (their names and
sha256, and how many decisions of each symbol have features and outcome) into SM_OUTPUT_DATA_DIR.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from signalbox.adapters.lake.recorded import RecordedFile
from signalbox.adapters.lake.series import LakeSeries
from signalbox.bootstrap.training_container import JobContainer, failures_reported, read_container
from signalbox.features import get_schema
from signalbox.library.parameters import FeaturesParameters
from signalbox.market.lake import day_of
from training.config import read_config
from training.data.candles import CandleSeries, find_candle_files
from training.data.dataset import build_dataset
from training.evaluate import read_all
from training.job import candles_folder, config_path
from training.progress import NoProgress

DATASET_FILE = "dataset.json"


def files_of(series: CandleSeries, root: Path, parameters: FeaturesParameters) -> Iterator[tuple[Path, str]]:
    """Yield each file of a series that the period needs, with its name in the frozen data set."""
    if isinstance(series, RecordedFile):
        yield series.path, series.path.name
    elif isinstance(series, LakeSeries):
        first = None if parameters.start is None else day_of(parameters.start)
        last = None if parameters.end is None else day_of(parameters.end)
        for day in series.days:
            if (first is None or day.day >= first) and (last is None or day.day <= last) and (root / day.path).is_file():
                yield root / day.path, day.path


def freeze(container: JobContainer) -> None:
    """Run the step. Raises SignalboxError with what to do about it."""
    parameters = FeaturesParameters.parse(container.parameters)
    config = read_config(config_path(parameters.config))
    with tempfile.TemporaryDirectory(prefix="signalbox-") as scratch:
        folder = candles_folder(container.channel("candles"), Path(scratch) / "lake")
        found = find_candle_files(folder)
        bars = read_all(found, parameters.start, parameters.end, NoProgress())
        data = build_dataset(get_schema(config.schema_name), bars, contract=config.contract)
        spans = config.spans(data.decided_at_ms)
        copied = 0
        for series in found:
            for source, name in files_of(series, folder, parameters):
                target = container.output / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
                copied += source.stat().st_size
        facts = {
            "feature_schema": {"name": data.schema.name, "hash": data.schema.hash},
            "sources": [{"name": one.name, "sha256": one.sha256()} for one in found],
            "decisions": len(data),
            "rows_by_symbol": {symbol: asdict(counts) for symbol, counts in data.counts.items()},
            "periods": {name: [span.start.isoformat(), span.end.isoformat()] for name, span in spans.items()},
        }
    (container.output / DATASET_FILE).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(f"data set: {len(data):,} decisions of {', '.join(data.symbols)}, {copied / 1e6:.1f} MB of candles", flush=True)


def main() -> None:
    """Run the step as SageMaker does; --root is the root of its folder layout."""
    parser = argparse.ArgumentParser(description="Freeze a data set inside a SageMaker job.")
    parser.add_argument(
        "--root", type=Path, default=None, help="root of SageMaker's folder layout; default: SIGNALBOX_ML_ROOT or /opt/ml"
    )
    arguments, _ = parser.parse_known_args()
    container = read_container(arguments.root)
    with failures_reported(container):
        freeze(container)


if __name__ == "__main__":
    main()
