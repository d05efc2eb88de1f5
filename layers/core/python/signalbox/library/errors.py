"""Errors of the library.

LibraryError
├── TrainingPlanError      the plan or the parameters of a job are incomplete or contradictory
├── ArtifactError          the output of a job cannot be unpacked, is unsafe, or lacks required content
├── UnknownBundleError     an evaluation is of a bundle that belongs to no version in the library
├── JobEventError          register_model got a message that does not report the end of a job (job_events.py)
└── TrainingServiceError   SageMaker refused a request, or has another job under the name (adapters/aws/training_jobs.py)
"""

from __future__ import annotations

from signalbox.errors import SignalboxError


class LibraryError(SignalboxError):
    """Base class of the library's errors."""


class TrainingPlanError(LibraryError):
    """The plan or the parameters of a job are incomplete or contradict each other."""


class ArtifactError(LibraryError):
    """The output of a job cannot be unpacked, is unsafe to unpack, or lacks required content."""


class UnknownBundleError(LibraryError):
    """An evaluation is of a bundle that belongs to no version in the library."""
