"""Give a bundle another hash of its feature schema, if the same features are proved to lie behind it.

The new one is that of the computation instead of the former one (of words), or of the form that spares a missing minute.
The golden vectors are the proof. Their feature rows were computed by the code that trained the bundle, from candles that still
exist. This code must compute each of those rows from the same candles. Then the models must give the golden probabilities, as on
every load. Without the proof the bundle keeps its hash. See decisions 0085 and 0103.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from signalbox.features import SPARING, FeatureSchema, compute_features, find_reference, get_schema, with_hash
from signalbox.inference import load_bundle
from signalbox.inference.errors import BundleError, BundleSchemaError
from signalbox.inference.judged import read_arrays
from signalbox.inference.manifest import GOLDEN_FILE, BundleManifest, SchemaReference, read_manifest, write_manifest
from signalbox.labels import CONTRACTS
from signalbox.market.candles import Bars
from training.data.candles import find_candle_files, read_bars

RELATIVE: Final = 1e-5  # two versions of numpy or TA-Lib may round a float32 this far apart
ABSOLUTE: Final = 1e-6


class RehashError(BundleError):
    """A bundle keeps its hash: it may not be replaced by the wanted one, or this code does not compute its golden rows."""


@dataclass(frozen=True, slots=True)
class RehashProof:
    """Proof that a bundle may have the new hash.

    worst: the largest relative difference between a golden value and the computed one.
    """

    bundle: str
    schema: str
    former_hash: str
    hash: str
    golden_rows: int
    worst: float

    def in_words(self) -> str:
        """Return the proof as one line of text."""
        return (
            f"{self.bundle}: {self.schema} hash changed from {self.former_hash[:12]} to {self.hash[:12]}; this code computes all"
            f" {self.golden_rows} golden rows from the candles, with differences of at most {self.worst:.1e}"
        )


def rehash_bundle(folder: Path, candles: Path, out: Path, *, spares_missing: bool = False) -> RehashProof:
    """Write a copy of the bundle with another schema hash to a new folder. Raises BundleError or MarketDataError.

    spares_missing: the hash of the form of the schema that spares a missing minute, not the current one.
    """
    manifest = read_manifest(folder)
    named = manifest.feature_schema
    current = get_schema(named.name)
    schema = SPARING.get(named.name) if spares_missing else current
    if schema is None:
        raise RehashError(
            f"{folder.name}: {named.name} has no form that spares a missing minute; only {', '.join(SPARING)} has one"
        )
    if named.hash == schema.hash:
        raise RehashError(f"{folder.name}: already has the schema hash {schema.hash}; nothing to do")
    if named.hash != current.former_hash and with_hash(current, named.hash) is None:
        raise BundleSchemaError(
            f"{folder.name}: expected hash {current.former_hash} for {named.name}, got {named.hash}; train it again"
        )
    if out.exists():
        raise RehashError(f"{out}: already exists; name a new folder")
    golden = _golden_rows(folder, schema)
    worst = _worst_difference(folder.name, golden, _computed(schema, _bars(candles, manifest, schema)))
    _write(folder, manifest, schema, out)
    return RehashProof(manifest.name, schema.name, named.hash, schema.hash, len(golden), worst)


def _write(folder: Path, manifest: BundleManifest, schema: FeatureSchema, out: Path) -> None:
    """Write the copy under a temporary name, load and verify it, and only then rename it to `out`."""
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(folder, partial)
    try:
        reference = SchemaReference(name=schema.name, hash=schema.hash)
        write_manifest(partial, manifest.model_copy(update={"feature_schema": reference}))
        load_bundle(partial, contracts=CONTRACTS.values())
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _golden_rows(folder: Path, schema: FeatureSchema) -> NDArray[np.float32]:
    """Return (rows, features) float32: every bar of every golden window."""
    features = read_arrays((folder / GOLDEN_FILE).read_bytes(), {"features": (2, 3)})["features"]
    rows = features.reshape(-1, features.shape[-1])
    if rows.shape[1] != len(schema.names) or not len(rows):
        raise RehashError(f"{folder.name}: expected {len(schema.names)} features in a golden row, got shape {features.shape}")
    return np.asarray(rows, dtype=np.float32)


def _bars(candles: Path, manifest: BundleManifest, schema: FeatureSchema) -> list[Bars]:
    """Return the bars that the bundle was trained on, and the warm-up before them."""
    start = manifest.training.start - timedelta(minutes=2 * schema.history_bars)  # double, because minutes may be missing
    wanted = {*manifest.training.symbols, schema.reference_symbol}
    return [read_bars(one, start, manifest.training.end) for one in find_candle_files(candles) if one.symbol in wanted]


def _computed(schema: FeatureSchema, bars: list[Bars]) -> NDArray[np.float32]:
    reference = find_reference(schema, bars)
    parts = []
    for one in bars:
        matrix = compute_features(schema, one, reference=reference)
        parts.append(matrix.values[matrix.is_complete].astype(np.float32))
    return np.concatenate(parts)


def _worst_difference(bundle: str, golden: NDArray[np.float32], computed: NDArray[np.float32]) -> float:
    """Return the largest relative difference between golden rows and computed ones. Raises RehashError if a row has no match.

    Candidates are found by a weighted sum of the values of a row: equal rows have nearly equal sums, and few others do.
    """
    weights = 1.0 / np.arange(1.0, golden.shape[1] + 1.0)
    sums = computed.astype(np.float64) @ weights
    order = np.argsort(sums)
    reach = (np.abs(golden.astype(np.float64)) * RELATIVE + ABSOLUTE) @ weights
    wanted = golden.astype(np.float64) @ weights
    first = np.searchsorted(sums[order], wanted - reach)
    last = np.searchsorted(sums[order], wanted + reach, side="right")
    nearest = [_nearest(row, computed[order[a:b]]) for row, a, b in zip(golden, first, last, strict=True)]
    if missing := sum(not difference <= 1.0 for difference in nearest):
        raise RehashError(
            f"{bundle}: this code computes only {len(golden) - missing} of its {len(golden)} golden rows from these candles:"
            " the candles or the computation differ. The bundle keeps its hash"
        )
    return max(nearest) * RELATIVE


def _nearest(row: NDArray[np.float32], candidates: NDArray[np.float32]) -> float:
    """Return the difference to the nearest row as a share of the allowed one; infinite without candidates."""
    if not len(candidates):
        return float("inf")
    allowed = np.abs(row.astype(np.float64)) * RELATIVE + ABSOLUTE
    return float(np.min(np.max(np.abs(candidates.astype(np.float64) - row) / allowed, axis=1)))
