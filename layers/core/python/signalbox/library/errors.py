"""Errors of the library.

LibraryError
├── TrainingPlanError      the plan or the parameters of a job that cannot be run as told
└── ArtifactError          what a training job left cannot be unpacked, or must not be
"""

from __future__ import annotations

from signalbox.errors import SignalboxError


class LibraryError(SignalboxError):
    """Something of the library is not as it should be."""


class TrainingPlanError(LibraryError):
    """The plan or the parameters of a job are not complete, or contradict each other."""


class ArtifactError(LibraryError):
    """What a training job left cannot be unpacked, or must not be."""
