"""manifest.json: everything a bundle declares about itself. Every field is required, and unknown fields are refused.

The manifest lists every other file of the bundle with its sha256. It holds no path of the machine that wrote it.
"""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from signalbox.inference.errors import BundleIncompleteError, BundleManifestError
from signalbox.labels import SignalContract
from signalbox.limits import MAX_BUNDLE_BYTES, MAX_BUNDLE_FILES, MAX_MANIFEST_BYTES, MAX_REPORT_BYTES

MANIFEST_FILE: Final = "manifest.json"
GOLDEN_FILE: Final = "golden.npz"
REPORT_FILE: Final = "report.json"
MAX_WINDOW_BARS: Final = 240
# Flat, because a bundle has no folders; and no dot at the end, which some disks drop: `a.` would be `a`.
FILE_NAME_PATTERN: Final = r"^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?$"

FileName: TypeAlias = Annotated[str, Field(pattern=FILE_NAME_PATTERN)]
Sha256: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Gate(StrEnum):
    """The gates that a model is tested at; docs/labels.md says what each one asks."""

    G0 = "G0"
    G1 = "G1"
    G2 = "G2"
    G3 = "G3"
    G4 = "G4"
    G5 = "G5"
    G6 = "G6"


class Verdict(StrEnum):
    """The result of a gate."""

    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    NOT_EVALUATED = "not evaluated"


PROMOTION_GATES: Final = (Gate.G0, Gate.G1, Gate.G2, Gate.G3)  # a model needs them for stage `active`


class _ManifestPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SchemaReference(_ManifestPart):
    """The feature schema that the model was fitted on."""

    name: str
    hash: Sha256


class Member(_ManifestPart):
    """One ONNX graph of the ensemble.

    Its input is named `features`: float32 in schema order, not standardised (the graph does that itself). For input "row" it is
    [batch, features] of the decision's bar; for "window" [batch, window_bars, features], oldest bar first, the decision's last.
    """

    file: FileName
    family: Literal["xgboost", "lstm", "transformer"]
    weight: Annotated[float, Field(gt=0, le=1)]
    input: Literal["row", "window"]
    # not written for a row, so that the manifest of a bundle of rows is the same as before windows existed
    window_bars: Annotated[int | None, Field(ge=2, le=MAX_WINDOW_BARS, exclude_if=lambda bars: bars is None)] = None
    # [batch, 2] of (down, up) named "probabilities"; [batch] named "logit"; [batch, 1] named "score", a return in volatilities
    output: Literal["probability_pair", "logit", "score"]

    @model_validator(mode="after")
    def _window_fits_the_input(self) -> Self:
        if (self.window_bars is not None) != (self.input == "window"):
            raise ValueError(
                f"expected window_bars exactly when input is window, got window_bars {self.window_bars} with input {self.input}"
            )
        return self


class Calibrator(_ManifestPart):
    """How the averaged score becomes a probability of its side: the log-odds are |score| / temperature, plus an offset.

    Kind "temperature" has no offset. Kind "anchored" has the log-odds of a random side of the contract: what a score of 0 means.
    """

    kind: Literal["temperature", "anchored"]
    temperature: Annotated[float, Field(gt=0)]
    # not written without one, so that the manifest of a bundle of directions is the same as before there were offsets. Below 0 a
    # weak score would be written as of the other side, and the signal would take the side against its score
    offset: Annotated[float | None, Field(ge=0, le=5, exclude_if=lambda offset: offset is None)] = None

    @model_validator(mode="after")
    def _offset_fits_the_kind(self) -> Self:
        if (self.offset is not None) != (self.kind == "anchored"):
            raise ValueError(f"expected an offset exactly for kind anchored, got {self.offset} with kind {self.kind}")
        return self


class ContractReference(_ManifestPart):
    """The signal contract that the model was made for (docs/contracts.md)."""

    version: Annotated[int, Field(ge=1)]
    hash: Sha256


class LabelContract(_ManifestPart):
    """Which event the probability is about (docs/labels.md)."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,15}$")]
    horizon_minutes: Annotated[int, Field(gt=0)]
    entry_lag_bars: Annotated[int, Field(gt=0)]  # 1: entry at the open of the bar after the newest closed one
    decision_minutes: Annotated[int, Field(gt=0)]
    # absent in bundles from before there were contract documents; those are of dir60@1
    contract: Annotated[ContractReference | None, Field(exclude_if=lambda contract: contract is None)] = None

    @classmethod
    def of(cls, contract: SignalContract) -> LabelContract:
        """Return what a manifest says about its contract."""
        return cls(
            name=contract.name,
            horizon_minutes=contract.horizon_minutes,
            entry_lag_bars=contract.entry_lag_bars,
            decision_minutes=contract.decision_minutes,
            contract=ContractReference(version=contract.version, hash=contract.hash),
        )


class FrozenThresholds(_ManifestPart):
    """Margins of the calibrated probability around 1/2, chosen on data outside the test period."""

    issue_margin: Annotated[float, Field(gt=0, lt=0.5)]
    high_margin: Annotated[float, Field(gt=0, lt=0.5)]


class SourceFile(_ManifestPart):
    """A file of candles that the data set was made from."""

    name: str
    sha256: Sha256


class TrainingData(_ManifestPart):
    """The data that the model was fitted, calibrated and tested on."""

    symbols: tuple[str, ...]
    start: AwareDatetime
    end: AwareDatetime
    rows: Annotated[int, Field(gt=0)]  # number of decisions in all periods
    fitted_rows: Annotated[int, Field(gt=0)]  # number of decisions in the training period
    seed: int
    sources: tuple[SourceFile, ...]


class FileRecord(_ManifestPart):
    """The sha256 and size that a file must have."""

    sha256: Sha256
    size: Annotated[int, Field(ge=0)]  # bytes


class BundleManifest(_ManifestPart):
    """The whole manifest. Raises pydantic.ValidationError if its parts contradict each other."""

    format: Literal[1]
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]
    created_at: AwareDatetime
    code_version: str
    feature_schema: SchemaReference
    members: Annotated[tuple[Member, ...], Field(min_length=1)]
    ensemble: Literal["averaged_logits"]
    calibrator: Calibrator
    label: LabelContract
    thresholds: FrozenThresholds
    training: TrainingData
    gates: dict[Gate, Verdict]
    passes_promotion: bool
    files: dict[FileName, FileRecord]

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        for needed in (GOLDEN_FILE, REPORT_FILE, *(member.file for member in self.members)):
            if needed not in self.files:
                raise ValueError(f"the files must include {needed}")
        if not math.isclose(sum(member.weight for member in self.members), 1.0, abs_tol=1e-9):
            raise ValueError("member weights must sum to 1")
        if self.thresholds.issue_margin > self.thresholds.high_margin:
            raise ValueError("expected issue_margin <= high_margin")
        if set(self.gates) != set(Gate):
            raise ValueError(f"expected a verdict for each of {', '.join(Gate)}")
        if self.passes_promotion != all(self.gates[gate] is Verdict.PASS for gate in PROMOTION_GATES):
            raise ValueError(f"expected passes_promotion to be true exactly when {', '.join(PROMOTION_GATES)} pass")
        return self

    @model_validator(mode="after")
    def _files_are_a_bundle(self) -> Self:
        folded = {name.casefold() for name in self.files}
        if len(folded) != len(self.files):
            raise ValueError("file names must differ in more than case")
        if MANIFEST_FILE in folded:
            raise ValueError("the manifest must not list itself")
        if len(folded) >= MAX_BUNDLE_FILES or sum(record.size for record in self.files.values()) > MAX_BUNDLE_BYTES:
            raise ValueError(f"expected fewer than {MAX_BUNDLE_FILES} files of at most {MAX_BUNDLE_BYTES} bytes in total")
        if self.files[REPORT_FILE].size > MAX_REPORT_BYTES:
            raise ValueError(f"expected a {REPORT_FILE} of at most {MAX_REPORT_BYTES} bytes")
        return self


def read_manifest(folder: Path) -> BundleManifest:
    """Return the manifest of a bundle folder. Raises BundleIncompleteError, BundleManifestError."""
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise BundleIncompleteError(f"no {MANIFEST_FILE} in {folder.name}")
    if (size := path.stat().st_size) > MAX_MANIFEST_BYTES:
        raise BundleManifestError(f"{folder.name}: expected a manifest of at most {MAX_MANIFEST_BYTES} bytes, got {size}")
    try:
        return BundleManifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc'])) or MANIFEST_FILE}: {fault['msg']}" for fault in error.errors()[:5])
        raise BundleManifestError(f"{folder.name}: {faults}") from error


def write_manifest(folder: Path, manifest: BundleManifest) -> None:
    """Write the manifest as indented JSON with sorted keys, so that equal manifests give equal bytes."""
    text = manifest.model_dump_json(indent=2)
    (folder / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")
