"""Training job: runs `signalbox train` in SageMaker's folders. The container starts it as `python train.py`.

It reads the channel `candles` (a lake, or recorded files) and writes the bundle's files into SM_MODEL_DIR. Parameters:
signalbox.library.parameters.TrainParameters.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from signalbox.bootstrap.training_container import JobContainer, failures_reported, read_container
from signalbox.errors import SignalboxError
from signalbox.inference.manifest import MANIFEST_FILE
from signalbox.library.parameters import TrainParameters
from training.command import run_train
from training.job import LoggedTracking, candles_folder, config_path, metric_lines, print_line


def require_empty(target: Path) -> None:
    """Raise SignalboxError, before any time is spent, if the model folder is not empty."""
    target.mkdir(parents=True, exist_ok=True)
    if strangers := sorted(path.name for path in target.iterdir()):
        raise SignalboxError(f"{target}: the model folder must be empty, but has {', '.join(strangers[:5])}")


def publish(bundle: Path, target: Path) -> None:
    """Copy a bundle into the model folder, its manifest last. The folder is a mount, so it cannot be replaced by renaming."""
    for path in sorted(bundle.iterdir(), key=lambda one: (one.name == MANIFEST_FILE, one.name)):
        shutil.copyfile(path, target / path.name)


def train(container: JobContainer) -> None:
    """Run the job. Raises SignalboxError with what to do about it."""
    parameters = TrainParameters.parse(container.parameters)
    require_empty(container.model)
    with tempfile.TemporaryDirectory(prefix="signalbox-") as scratch:
        bundle = Path(scratch) / "bundle"
        result = run_train(
            candles_folder(container.channel("candles"), Path(scratch) / "lake"),
            bundle,
            config=config_path(parameters.config),
            folds=parameters.folds,
            seed=parameters.seed,
            start=parameters.start,
            end=parameters.end,
            name=parameters.model,
            families=None if parameters.families is None else parameters.families.split(","),
            # a folder inside the mount, because the finished run removes it and a mount cannot be removed
            checkpoints=container.checkpoints / "run",
            tracking_uri=parameters.tracking_uri,
            watched=LoggedTracking,
        )
        publish(bundle, container.model)
    for line in metric_lines(result.assessment):
        print_line(line)


def main() -> None:
    """Run the job as SageMaker does; --root is the root of its folder layout.

    SageMaker's tools also pass every parameter as an argument. These are ignored, because SM_HPS has them too.
    """
    parser = argparse.ArgumentParser(description="Train a bundle inside a SageMaker training job.")
    parser.add_argument(
        "--root", type=Path, default=None, help="root of SageMaker's folder layout; default: SIGNALBOX_ML_ROOT or /opt/ml"
    )
    arguments, _ = parser.parse_known_args()
    container = read_container(arguments.root)
    with failures_reported(container):
        train(container)


if __name__ == "__main__":
    main()
