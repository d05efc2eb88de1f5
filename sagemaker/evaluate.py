"""Evaluation job: runs `signalbox evaluate` in SageMaker's folders, as a training job (Spot) or a pipeline step.

It reads the channels `candles` and `model` (a model.tar.gz, or a bundle's files). It writes evaluation.json, report.html and
verdict.json, which the pipeline's condition reads, into SM_OUTPUT_DATA_DIR. evaluation.json contains the sha256 of the bundle's
archive, by which the library finds the version. Parameters: signalbox.library.parameters.EvaluateParameters.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from datetime import datetime
from pathlib import Path

from signalbox.bootstrap.training_container import JobContainer, failures_reported, read_container
from signalbox.inference import bundle_sha256, load_bundle
from signalbox.inference.manifest import REPORT_FILE
from signalbox.labels import CONTRACTS
from signalbox.library.artifact import MODEL_ARCHIVE, unpack_artifact
from signalbox.library.judgements import EVALUATION_FILE, VERDICT_FILE, registers
from signalbox.library.parameters import EvaluateParameters
from training.command import run_evaluate
from training.evaluate import EvaluateRequest
from training.job import candles_folder, metric_lines, print_line
from training.judge.costs import cost_models


def bundle_folder(channel: Path, scratch: Path) -> Path:
    """Return the bundle of a channel, unpacked if it is an archive. Raises ArtifactError."""
    archive = channel / MODEL_ARCHIVE
    return unpack_artifact(archive.read_bytes(), scratch / "bundle") if archive.is_file() else channel


def period(bundle: Path, parameters: EvaluateParameters) -> tuple[datetime | None, datetime | None]:
    """Return the requested period, else the bundle's own test period, so that the claims of its training are judged again."""
    if parameters.start is not None or parameters.end is not None:
        return parameters.start, parameters.end
    load_bundle(bundle, contracts=CONTRACTS.values())  # verifies the bundle, because its report is read below
    test = json.loads((bundle / REPORT_FILE).read_text(encoding="utf-8")).get("periods", {}).get("test")
    return (None, None) if test is None else (datetime.fromisoformat(test["start"]), datetime.fromisoformat(test["end"]))


def name_bundle(evaluation: Path, sha256: str) -> None:
    """Add the sha256 of the bundle to an evaluation.json."""
    result = json.loads(evaluation.read_text(encoding="utf-8"))
    evaluation.write_text(json.dumps({**result, "bundle_sha256": sha256}, indent=1) + "\n", encoding="utf-8")


def evaluate(container: JobContainer) -> None:
    """Run the job. Raises SignalboxError with what to do about it."""
    parameters = EvaluateParameters.parse(container.parameters)
    output = container.output
    with tempfile.TemporaryDirectory(prefix="signalbox-") as folder:
        scratch = Path(folder)
        bundle = bundle_folder(container.channel("model"), scratch)
        sha256 = bundle_sha256(bundle)
        start, end = period(bundle, parameters)
        candles = candles_folder(container.channel("candles"), scratch / "lake")
        request = EvaluateRequest(bundle, candles, start, end, cost_models(parameters.coinbase_taker_bps))
        result = run_evaluate(request, as_json=output / EVALUATION_FILE, page=output / "report.html")
    name_bundle(output / EVALUATION_FILE, sha256)
    assessment = result.assessment
    verdicts = {gate: one.verdict for gate, one in assessment.gates.items()}
    verdict = {
        "registers": registers(verdicts, parameters.register_when),
        "qualifies": assessment.qualifies,
        "headline": assessment.headline,
        "model": assessment.manifest.name,
        "bundle_sha256": sha256,
    }
    (output / VERDICT_FILE).write_text(json.dumps(verdict, indent=1) + "\n", encoding="utf-8")
    for line in metric_lines(assessment):
        print_line(line)


def main() -> None:
    """Run the job as SageMaker does; --root is the root of its folder layout.

    SageMaker's tools also pass every parameter as an argument. These are ignored, because SM_HPS has them too.
    """
    parser = argparse.ArgumentParser(description="Judge a bundle inside a SageMaker job.")
    parser.add_argument(
        "--root", type=Path, default=None, help="root of SageMaker's folder layout; default: SIGNALBOX_ML_ROOT or /opt/ml"
    )
    arguments, _ = parser.parse_known_args()
    container = read_container(arguments.root)
    with failures_reported(container):
        evaluate(container)


if __name__ == "__main__":
    main()
