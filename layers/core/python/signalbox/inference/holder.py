"""ModelHolder: the model in use, replaced as one reference. A reader sees the old one or the new one, never neither."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from signalbox.inference.bundle import load_bundle
from signalbox.inference.ensemble import Ensemble


class ModelHolder:
    """Holds an ensemble; `swap` loads and verifies another one completely before it takes its place."""

    def __init__(self, ensemble: Ensemble | None = None) -> None:
        self._current = ensemble
        self._swapping = Lock()

    @property
    def current(self) -> Ensemble | None:
        """The ensemble in use; None until a first swap succeeded."""
        return self._current

    def swap(self, folder: Path) -> Ensemble:
        """Load the bundle of `folder` and use it from now on. Raises BundleError, and then nothing has changed."""
        with self._swapping:
            candidate = load_bundle(folder)
            self._current = candidate
        return candidate
