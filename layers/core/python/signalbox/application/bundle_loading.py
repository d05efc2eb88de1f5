"""From a deployment to its verified, warm model: for the function that decides with it and for the one that scores with it."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from signalbox.inference import Ensemble
from signalbox.inference.archive import unpack_bundle
from signalbox.library.deployments import LibraryDeployment
from signalbox.library.errors import BundleMissingError
from signalbox.library.ports import BundleStore

_WARM_ROWS: Final = 3


def fetched_ensemble(one: LibraryDeployment, bundles: BundleStore, load: Callable[[Path], Ensemble]) -> Ensemble:
    """Return a deployment's bundle: the recorded bytes, of the recorded model, verified, and warm.

    Raises BundleError and BundleMissingError, which are the bundle's fault, and whatever the store raises, which may pass.
    """
    archive = bundles.archive(one.bundle_key, one.sha256)
    with tempfile.TemporaryDirectory(prefix="bundle-") as folder:
        ensemble = load(unpack_bundle(archive, Path(folder)))
    if ensemble.manifest.name != one.version.entity.name:
        found = hashlib.sha256(archive).hexdigest()
        raise BundleMissingError(f"expected a bundle of {one.version.entity.name}, got {ensemble.manifest.name} ({found})")
    warm = ensemble.predict(np.zeros((_WARM_ROWS, ensemble.window_bars, len(ensemble.schema.names))))
    if not np.isfinite(warm).all():
        raise BundleMissingError(f"{one.name}: expected probabilities of its first scores, got {warm.tolist()}")
    return ensemble
