"""An evaluation job: `signalbox evaluate` between SageMaker's folders, as a training job (Spot) or a step of the pipeline.

Reads the channels `candles` and `model` (a model.tar.gz, or a bundle's files); writes evaluation.json, report.html and
verdict.json, which the pipeline's condition reads, into SM_OUTPUT_DATA_DIR. Parameters:
signalbox.library.parameters.EvaluateParameters.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from datetime import datetime
from pathlib import Path

from signalbox.bootstrap.training_container import JobContainer, failures_told, read_container
from signalbox.inference import Gate, Verdict, load_bundle
from signalbox.inference.manifest import REPORT_FILE
from signalbox.library.artifact import MODEL_ARCHIVE, unpack_artifact
from signalbox.library.parameters import EvaluateParameters, RegisterWhen
from training.assessment import Assessment
from training.command import run_evaluate
from training.costs import cost_models
from training.evaluate import EvaluateRequest
from training.job import candles_folder, metric_lines

EVALUATION_FILE = "evaluation.json"
VERDICT_FILE = "verdict.json"


def bundle_folder(channel: Path, scratch: Path) -> Path:
    """Return the bundle of a channel, unpacked where it came as an archive. Raises ArtifactError."""
    archive = channel / MODEL_ARCHIVE
    return unpack_artifact(archive.read_bytes(), scratch / "bundle") if archive.is_file() else channel


def period(bundle: Path, parameters: EvaluateParameters) -> tuple[datetime | None, datetime | None]:
    """Return the period that was asked for, else the bundle's own test period: what its training claims is judged again."""
    if parameters.start is not None or parameters.end is not None:
        return parameters.start, parameters.end
    load_bundle(bundle)  # its report is read below: only a verified one is believed
    test = json.loads((bundle / REPORT_FILE).read_text(encoding="utf-8")).get("periods", {}).get("test")
    return (None, None) if test is None else (datetime.fromisoformat(test["start"]), datetime.fromisoformat(test["end"]))


def registers(assessment: Assessment, when: RegisterWhen) -> bool:
    """Return whether this evaluation is reason enough to register the model."""
    if when is RegisterWhen.PROMOTION:
        return assessment.qualifies
    return assessment.gates[Gate.G0].verdict is Verdict.PASS


def evaluate(container: JobContainer) -> None:
    """Run the job. Raises SignalboxError with what to do about it."""
    parameters = EvaluateParameters.parse(container.parameters)
    output = container.output
    with tempfile.TemporaryDirectory(prefix="signalbox-") as folder:
        scratch = Path(folder)
        bundle = bundle_folder(container.channel("model"), scratch)
        start, end = period(bundle, parameters)
        candles = candles_folder(container.channel("candles"), scratch / "lake")
        request = EvaluateRequest(bundle, candles, start, end, cost_models(parameters.coinbase_taker_bps))
        result = run_evaluate(request, as_json=output / EVALUATION_FILE, page=output / "report.html")
    assessment = result.assessment
    verdict = {
        "registers": registers(assessment, parameters.register_when),
        "qualifies": assessment.qualifies,
        "headline": assessment.headline,
        "model": assessment.manifest.name,
    }
    (output / VERDICT_FILE).write_text(json.dumps(verdict, indent=1) + "\n", encoding="utf-8")
    for line in metric_lines(assessment):
        print(line, flush=True)


def main() -> None:
    """Run as SageMaker does; --root is the root of its layout. Its tools also pass every parameter, which SM_HPS has."""
    parser = argparse.ArgumentParser(description="Judge a bundle inside a SageMaker job.")
    parser.add_argument("--root", type=Path, default=None, help="root of the layout; default SIGNALBOX_ML_ROOT or /opt/ml")
    told, _ = parser.parse_known_args()
    container = read_container(told.root)
    with failures_told(container):
        evaluate(container)


if __name__ == "__main__":
    main()
