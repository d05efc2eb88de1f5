"""Errors of the library.

LibraryError
├── TrainingPlanError      the plan or the parameters of a job are incomplete or contradictory
├── ArtifactError          the output of a job cannot be unpacked, is unsafe, or lacks required content
├── UnknownBundleError     an evaluation is of a bundle that belongs to no version in the library
├── UnknownVersionError    the library has no such model or version
├── LifecycleError         a version cannot take this step from where it stands
├── ApprovalRefusedError   the gates do not approve, or no person may
├── DeploymentStateError   a deployment cannot make this move from where it stands
├── DeploymentConflictError another deployment of the slot is on its way
├── DeploymentRefusedError the version may not be deployed so, or there is nothing to go back to
├── LibraryAccessError     the caller lacks the role that the action needs
├── EntityExistsError      an entity of this kind and name exists
├── RevisionConflictError  the entity was changed since the revision that the caller read
├── RequestReusedError     the request id belongs to another request
├── CursorError            a page's cursor was not given out here for this question
├── DependencyCycleError   a version would be made from itself
├── BundleMissingError     the object of a bundle is absent or not the recorded one (adapters/aws/bundles.py)
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


class UnknownVersionError(LibraryError):
    """The library has no such model, version or deployment."""


class LifecycleError(LibraryError):
    """A version cannot take this step from where it stands."""


class ApprovalRefusedError(LibraryError):
    """The gates do not approve the version, and no override was asked for or none is possible."""


class DeploymentStateError(LibraryError):
    """A deployment cannot make this move from where it stands."""


class DeploymentConflictError(LibraryError):
    """Another deployment of the same slot is on its way."""


class DeploymentRefusedError(LibraryError):
    """The version may not be deployed in this way, or there is nothing to go back to."""


class LibraryAccessError(LibraryError):
    """The caller lacks the role that the action needs."""


class EntityExistsError(LibraryError):
    """An entity of this kind and name exists."""


class RevisionConflictError(LibraryError):
    """The entity was changed since the revision that the caller read."""


class RequestReusedError(LibraryError):
    """The request id belongs to a request of another content, or of another caller."""


class CursorError(LibraryError):
    """The cursor of a page was changed, or belongs to another question."""


class DependencyCycleError(LibraryError):
    """A version would be made from itself, by way of others."""


class BundleMissingError(LibraryError):
    """The object of a bundle is absent, too large, or not the one that was recorded."""
