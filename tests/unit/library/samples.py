"""A trained model as SageMaker leaves it, small enough for every test."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from signalbox.inference.archive import pack_bundle
from signalbox.inference.manifest import PROMOTION_GATES, Gate, Verdict
from signalbox.library.registration import FinishedJob, JobOutcome
from tests.unit.inference.tiny_bundle import write_bundle

FINISHED = datetime(2026, 11, 15, 3, 40, tzinfo=UTC)
URI = "s3://models/training/artifacts/signalbox-test-train-20261115t020000z/output/model.tar.gz"
MODEL = "dir60-v31-tiny"


def job(**changes: Any) -> FinishedJob:
    facts: dict[str, Any] = {
        "name": "signalbox-test-train-20261115t020000z",
        "model": MODEL,
        "outcome": JobOutcome.COMPLETED,
        "finished_at": FINISHED,
        "artifact_uri": URI,
    }
    return FinishedJob(**{**facts, **changes})


def report(gates: dict[Gate, Verdict]) -> dict[str, Any]:
    return {
        "period": {"start": "2026-08-01T00:00:00+00:00", "end": "2026-09-15T00:00:00+00:00"},
        "headline": "PROMOTABLE" if all(gates[g] is Verdict.PASS for g in PROMOTION_GATES) else "NOT PROMOTABLE: G1 not passed",
        "name": MODEL,
        "qualifies": all(gates[g] is Verdict.PASS for g in PROMOTION_GATES),
        "figures": {"issued": {"coverage": 0.2}},
        "gates": {g.value: {"verdict": v.value, "found": f"what {g.value} found"} for g, v in gates.items()},
    }


def bundle(folder: Path, *, passes: bool = False, name: str = MODEL) -> Path:
    gates = dict.fromkeys(Gate, Verdict.PASS)
    if not passes:
        gates[Gate.G1] = Verdict.FAIL

    def judged(draft: dict[str, Any]) -> None:
        draft["gates"], draft["passes_promotion"] = gates, passes
        draft["training"]["sources"] = [{"name": "BTC-USDT-1m.parquet", "sha256": "0" * 64}]

    return write_bundle(folder, name, files={"report.json": json.dumps(report(gates)).encode()}, change=judged)


def bundle_hash(folder: Path) -> str:
    """What the library and an evaluation know a bundle by."""
    return hashlib.sha256(pack_bundle(folder)).hexdigest()


def evaluation(folder: Path, *, passes: bool = False, **changes: Any) -> bytes:
    """The evaluation.json that a job writes of a bundle."""
    gates = dict.fromkeys(Gate, Verdict.PASS)
    if not passes:
        gates[Gate.G3] = Verdict.FAIL
    return json.dumps({**report(gates), "bundle_sha256": bundle_hash(folder), **changes}).encode()


def evaluation_output(content: bytes) -> bytes:
    """The output.tar.gz of an evaluation job."""
    files = {"evaluation.json": content, "report.html": b"<p>", "verdict.json": b"{}"}
    return packed((tarfile.TarInfo(name), held) for name, held in files.items())


def packed(entries: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for entry, content in entries:
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def artifact(folder: Path) -> bytes:
    """The folder as SageMaker packs it."""
    return packed((tarfile.TarInfo(path.name), path.read_bytes()) for path in sorted(folder.iterdir()))
