"""A bundle whose feature schema is named by the former hash, of words, gets the hash of the computation, or stays as it is.

The proof is in its golden vectors. Their feature rows were computed by the code that the bundle was trained with, from candles
that are still there: this code has to compute each of those rows from the same candles. Then the models have to give the golden
probabilities, as on every load. Decision 0085.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from signalbox.features import FeatureSchema, compute_features, find_reference, get_schema
from signalbox.inference import load_bundle
from signalbox.inference.errors import BundleError, BundleSchemaError
from signalbox.inference.judged import read_arrays
from signalbox.inference.manifest import GOLDEN_FILE, BundleManifest, SchemaReference, read_manifest, write_manifest
from signalbox.market.candles import Bars
from training.data.candles import find_candle_files, read_bars

RELATIVE: Final = 1e-5  # of a float32 that two versions of numpy or TA-Lib may round apart
ABSOLUTE: Final = 1e-6


class RehashError(BundleError):
    """A bundle that keeps its hash: it is not of the former kind, or its golden rows are not what this code computes."""


@dataclass(frozen=True, slots=True)
class RehashProof:
    """Why a bundle has the new hash. worst: the largest relative difference of a golden row's value to the computed one."""

    bundle: str
    schema: str
    former_hash: str
    hash: str
    golden_rows: int
    worst: float

    def in_words(self) -> str:
        """Return it as one line."""
        return (
            f"{self.bundle}: {self.schema} {self.former_hash[:12]} is {self.hash[:12]} now; this code computes all"
            f" {self.golden_rows} golden rows from the candles, {self.worst:.1e} apart at most"
        )


def rehash_bundle(folder: Path, candles: Path, out: Path) -> RehashProof:
    """Write the bundle with the schema's hash of today to a new folder. Raises BundleError or MarketDataError."""
    manifest = read_manifest(folder)
    named = manifest.feature_schema
    schema = get_schema(named.name)
    if named.hash == schema.hash:
        raise RehashError(f"{folder.name}: has the hash of today, {schema.hash}; nothing to do")
    if named.hash != schema.former_hash:
        raise BundleSchemaError(
            f"{folder.name}: fitted on {named.name} ({named.hash}), expected {schema.former_hash}: other features, train again"
        )
    if out.exists():
        raise RehashError(f"{out}: exists; name a new folder")
    golden = _golden_rows(folder, schema)
    worst = _worst_difference(folder.name, golden, _computed(schema, _bars(candles, manifest, schema)))
    _write(folder, manifest, schema, out)
    return RehashProof(manifest.name, schema.name, named.hash, schema.hash, len(golden), worst)


def _write(folder: Path, manifest: BundleManifest, schema: FeatureSchema, out: Path) -> None:
    """Write it beside, load it as any other, and only then give it its name: what lies at `out` is whole and verified."""
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(folder, partial)
    try:
        reference = SchemaReference(name=schema.name, hash=schema.hash)
        write_manifest(partial, manifest.model_copy(update={"feature_schema": reference}))
        load_bundle(partial)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _golden_rows(folder: Path, schema: FeatureSchema) -> NDArray[np.float32]:
    """Return (rows, features) float32: every bar of every golden window."""
    features = read_arrays((folder / GOLDEN_FILE).read_bytes(), {"features": (2, 3)})["features"]
    rows = features.reshape(-1, features.shape[-1])
    if rows.shape[1] != len(schema.names) or not len(rows):
        raise RehashError(f"{folder.name}: expected golden rows of {len(schema.names)} features, was {features.shape}")
    return np.asarray(rows, dtype=np.float32)


def _bars(candles: Path, manifest: BundleManifest, schema: FeatureSchema) -> list[Bars]:
    """Return what the bundle was trained on, and the warm-up before it."""
    start = manifest.training.start - timedelta(minutes=2 * schema.history_bars)  # some minutes are missing
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
    """Return how far the golden rows are from computed ones. Raises RehashError where one is like none of them.

    Rows are found by a weighted sum of their values: equal rows have nearly equal sums, and few others have.
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
            f"{bundle}: expected all {len(golden)} golden rows to be computed from these candles, was {len(golden) - missing}:"
            " other candles, or another computation. It keeps its hash"
        )
    return max(nearest) * RELATIVE


def _nearest(row: NDArray[np.float32], candidates: NDArray[np.float32]) -> float:
    """Return the difference to the nearest row, as a share of what is allowed; infinite without one."""
    if not len(candidates):
        return float("inf")
    allowed = np.abs(row.astype(np.float64)) * RELATIVE + ABSOLUTE
    return float(np.min(np.max(np.abs(candidates.astype(np.float64) - row) / allowed, axis=1)))
