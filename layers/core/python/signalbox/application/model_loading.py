"""Loads the bundle of a deployment as a model: fetched by address, verified, warm. An error's type says whose fault it is."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from signalbox.inference import Ensemble, load_bundle
from signalbox.inference.archive import unpack_bundle
from signalbox.inference.errors import BundleError
from signalbox.library.deployments import LibraryDeployment
from signalbox.library.errors import BundleMissingError
from signalbox.library.ports import BundleStore
from signalbox.signals.model import DeployedModel
from signalbox.signals.signal import DeploymentStage, Thresholds
from signalbox.wire import readable

AT_FAULT: Final = (BundleError, BundleMissingError, MemoryError, RecursionError)  # the bundle's fault: it is not tried again
REASON_LENGTH: Final = 500
_WARM_ROWS: Final = 3


class ModelLoader:
    """Makes models of deployments. It keeps none."""

    def __init__(self, bundles: BundleStore, load: Callable[[Path], Ensemble] = load_bundle) -> None:
        self._bundles, self.load = bundles, load

    def model(self, one: LibraryDeployment) -> DeployedModel:
        """Return a verified and warm model. Raises one of AT_FAULT, and what S3 raises."""
        return deployed_model(one, self.ensemble(one))

    def ensemble(self, one: LibraryDeployment) -> Ensemble:
        """Return a deployment's verified and warm bundle. Raises as `model` does."""
        archive = self._bundles.archive(one.bundle_key, one.sha256)
        with tempfile.TemporaryDirectory(prefix="bundle-") as folder:
            ensemble = self.load(unpack_bundle(archive, Path(folder)))
        if ensemble.manifest.name != one.version.entity.name:
            found = hashlib.sha256(archive).hexdigest()
            raise BundleMissingError(f"expected a bundle of {one.version.entity.name}, got {ensemble.manifest.name} ({found})")
        warm = ensemble.predict(np.zeros((_WARM_ROWS, ensemble.window_bars, len(ensemble.schema.names))))
        if not np.isfinite(warm).all():
            raise BundleMissingError(f"{one.name}: expected probabilities of its first scores, got {warm.tolist()}")
        return ensemble


def reason_of(error: Exception) -> str:
    """Return an error as the reason of a deployment's end."""
    return readable(f"{type(error).__name__}: {error}")[:REASON_LENGTH]


def deployed_model(one: LibraryDeployment, ensemble: Ensemble) -> DeployedModel:
    """Return a loaded bundle as its deployment. Without its promotion gates it is active only by a recorded override."""
    manifest = ensemble.manifest
    may_be_active = manifest.passes_promotion or one.overridden
    return DeployedModel(
        deployment=one.name,
        stage=one.stage if may_be_active else DeploymentStage.SHADOW,
        scorer=ensemble,
        thresholds=Thresholds(ensemble.issue_margin, ensemble.high_margin),
        horizon_minutes=manifest.label.horizon_minutes,
        bundle=manifest.name,
        gates=MappingProxyType({gate.value: verdict.value for gate, verdict in manifest.gates.items()}),
        overridden=one.overridden,
        challenger=one.challenger,
    )
