"""Errors of the library.

LibraryError
├── TrainingPlanError      the plan or the parameters of a job that cannot be run as told
├── ArtifactError          what a job left cannot be unpacked, must not be, or does not say what it should
├── UnknownBundleError     an evaluation is of a bundle that no version of the library was made with
├── JobEventError          a message that is not what register_model is told (job_events.py)
└── TrainingServiceError   SageMaker refused a request, or has something else under its name (adapters/aws/training_jobs.py)
"""

from __future__ import annotations

from signalbox.errors import SignalboxError


class LibraryError(SignalboxError):
    """Something of the library is not as it should be."""


class TrainingPlanError(LibraryError):
    """The plan or the parameters of a job are not complete, or contradict each other."""


class ArtifactError(LibraryError):
    """What a job left cannot be unpacked, must not be, or does not say what it should."""


class UnknownBundleError(LibraryError):
    """An evaluation is of a bundle that no version of the library was made with."""
