"""Scores by the deployment that serves. It is looked up at each request; its bundle is fetched and verified once.

A score of another model than the one that serves would look like its own. So there is no fallback: if the bundle that serves
cannot be loaded, the request is refused with the reason.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from signalbox.application.model_loading import AT_FAULT, REASON_LENGTH, ModelLoader
from signalbox.application.score_signals import ScoreSignals, ScoringBars
from signalbox.errors import SignalboxError
from signalbox.inference import Ensemble, load_bundle
from signalbox.library.deployments import ALL_SYMBOLS, Slot
from signalbox.library.ports import BundleStore
from signalbox.wire import readable


class NothingServesError(SignalboxError):
    """No deployment serves yet, so there is no model to score with."""


class ModelUnavailableError(SignalboxError):
    """The bundle that serves cannot be fetched, or does not verify."""


class SlotReader(Protocol):
    """The part of `library.ports.SlotBook` that scoring needs."""

    def slot(self, group: str) -> Slot:
        """Return what serves and what is on its way."""


class CurrentScores:
    """Gives each request the scoring of what serves. Safe to use from several threads."""

    def __init__(
        self,
        book: SlotReader,
        bundles: BundleStore,
        bars: ScoringBars,
        *,
        load: Callable[[Path], Ensemble] = load_bundle,
        group: str = ALL_SYMBOLS,
    ) -> None:
        self._book, self._bars, self._group = book, bars, group
        self._loader = ModelLoader(bundles, load)
        self._loading = threading.Lock()
        self._kept: ScoreSignals | None = None

    def service(self) -> ScoreSignals:
        """Return the scoring of the deployment that serves.

        Raises NothingServesError, ModelUnavailableError; LedgerError if the ledger does not answer.
        """
        current = self._book.slot(self._group).current
        if current is None:
            raise NothingServesError("nothing serves yet; deploy a model with `signalbox library deploy`, and wait for a cycle")
        with self._loading:
            kept = self._kept
            if kept is None or kept.deployment != current.name:
                try:
                    ensemble = self._loader.ensemble(current)
                except AT_FAULT as error:
                    raise ModelUnavailableError(f"{current.name} serves, but {_reason(error)}") from error
                except Exception as error:  # S3's own errors; the next request tries again
                    raise ModelUnavailableError(f"{current.name} could not be fetched; ask again: {_reason(error)}") from error
                kept = self._kept = ScoreSignals(ensemble, self._bars, current.name)
            return kept


def _reason(error: Exception) -> str:
    return readable(str(error) or type(error).__name__)[:REASON_LENGTH]
