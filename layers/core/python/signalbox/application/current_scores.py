"""Scores by the deployment that serves. It is looked up at each request; its bundle is fetched and verified once.

A score of another model than the one that serves would look like its own. So there is no fallback: if the bundle that serves
cannot be loaded, the request is refused with the reason.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from signalbox.application.bundle_loading import fetched_ensemble
from signalbox.application.score_signals import ScoreSignals, ScoringBars
from signalbox.errors import SignalboxError
from signalbox.inference import Ensemble, load_bundle
from signalbox.inference.errors import BundleError
from signalbox.ledger_errors import LedgerError
from signalbox.library.deployments import ALL_SYMBOLS, Slot
from signalbox.library.errors import BundleMissingError
from signalbox.library.ports import BundleStore
from signalbox.wire import readable

_REASON_LENGTH: Final = 500


class NothingServesError(SignalboxError):
    """No deployment serves yet, so there is no model to score with."""


class ModelUnavailableError(SignalboxError):
    """The bundle that serves cannot be fetched, or does not verify."""


class SlotReader(Protocol):
    """The part of `library.ports.SlotBook` that tells what serves."""

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
        self._book, self._bundles, self._bars, self._load, self._group = book, bundles, bars, load, group
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
                    ensemble = fetched_ensemble(current, self._bundles, self._load)
                except LedgerError:
                    raise
                except (BundleError, BundleMissingError, MemoryError, RecursionError) as error:
                    raise ModelUnavailableError(f"{current.name} serves, but {_reason(error)}") from error
                except Exception as error:  # S3's own errors; the next request tries again
                    raise ModelUnavailableError(f"{current.name} could not be fetched; ask again: {_reason(error)}") from error
                kept = self._kept = ScoreSignals(ensemble, self._bars, current.name)
            return kept


def _reason(error: Exception) -> str:
    return readable(str(error) or type(error).__name__)[:_REASON_LENGTH]
