"""The HTTP problem for each error of the library: type, title, status and remedy, each written once."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from signalbox.adapters.aws.problem_types import NO_ROUTE, UNREADABLE, UNSIGNED, InvalidRequestError, ProblemType
from signalbox.errors import SignalboxError
from signalbox.inference.errors import BundleError
from signalbox.ledger_errors import LedgerError
from signalbox.library.errors import (
    ApprovalRefusedError,
    ArtifactError,
    BundleMissingError,
    CursorError,
    DependencyCycleError,
    DeploymentConflictError,
    DeploymentRefusedError,
    DeploymentStateError,
    EntityExistsError,
    LibraryAccessError,
    LifecycleError,
    RequestReusedError,
    RevisionConflictError,
    UnknownVersionError,
)
from signalbox.library.routes import REQUEST_ID_HEADER, REVISION_HEADER
from signalbox.observation.errors import ObservationRulesError, ObservationStateError, UnknownObservationError


class RequestIdMissingError(SignalboxError):
    """A change has no request id, so that a repetition would count as a second change."""


class RevisionMissingError(SignalboxError):
    """A change of an entity does not say of which revision it is one."""


class ClockSkewError(SignalboxError):
    """A request was signed too long before it arrived, or after it."""


LIBRARY_PROBLEMS: Final = (
    UNREADABLE,
    ProblemType(
        "request-id-missing",
        "The change has no request id",
        HTTPStatus.BAD_REQUEST,
        f"Send the header {REQUEST_ID_HEADER}: 4 to 48 letters, digits, - and _, the same in every retry.",
        (RequestIdMissingError,),
    ),
    ProblemType(
        "cursor-refused",
        "The cursor is not of this question",
        HTTPStatus.BAD_REQUEST,
        "Begin with the first page.",
        (CursorError,),
    ),
    UNSIGNED,
    ProblemType(
        "clock-skewed", "The signature is too old or ahead", HTTPStatus.FORBIDDEN, "Set the caller's clock.", (ClockSkewError,)
    ),
    ProblemType(
        "access-refused",
        "The caller lacks the role",
        HTTPStatus.FORBIDDEN,
        "An owner grants it: signalbox accounts access grant.",
        (LibraryAccessError,),
    ),
    NO_ROUTE,
    ProblemType(
        "unknown-version",
        "No such entity, version or deployment",
        HTTPStatus.NOT_FOUND,
        "List what there is with GET /v1/entities and GET /v1/deployments.",
        (UnknownVersionError,),
    ),
    ProblemType(
        "entity-exists", "The entity exists", HTTPStatus.CONFLICT, "Use it as it is, or another name.", (EntityExistsError,)
    ),
    ProblemType(
        "request-reused",
        "The request id belongs to another request",
        HTTPStatus.CONFLICT,
        "Repeat that request unchanged, or use a new id.",
        (RequestReusedError,),
    ),
    ProblemType("illegal-step", "The version cannot take this step", HTTPStatus.CONFLICT, None, (LifecycleError,)),
    ProblemType("approval-refused", "The gates do not approve", HTTPStatus.CONFLICT, None, (ApprovalRefusedError,)),
    ProblemType(
        "dependency-cycle",
        "A version would be made from itself",
        HTTPStatus.CONFLICT,
        "Show its lineage with GET /v1/entities/{kind}/{name}/versions/{number}/lineage.",
        (DependencyCycleError,),
    ),
    ProblemType(
        "deployment-conflict",
        "Another deployment is on its way",
        HTTPStatus.CONFLICT,
        None,
        (DeploymentConflictError, DeploymentStateError),
    ),
    ProblemType("deployment-refused", "The version may not be deployed so", HTTPStatus.CONFLICT, None, (DeploymentRefusedError,)),
    ProblemType(
        "revision-changed",
        "The entity was changed meanwhile",
        HTTPStatus.PRECONDITION_FAILED,
        "Read it again, and repeat the change with its new ETag if it still applies.",
        (RevisionConflictError,),
    ),
    ProblemType(
        "revision-missing",
        "The change does not say of what",
        HTTPStatus.PRECONDITION_REQUIRED,
        f"Send the header {REVISION_HEADER} with the ETag that GET gave.",
        (RevisionMissingError,),
    ),
    ProblemType(
        "invalid-request",
        "The request has invalid values",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Correct each value in errors and send it again.",
        (InvalidRequestError,),
    ),
    ProblemType(
        "bundle-refused",
        "The bundle does not verify",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Upload it again under the name of its hash, or make it again.",
        (ArtifactError, BundleMissingError, BundleError),
    ),
    ProblemType(
        "rules-refused",
        "The rules do not fit what serves",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Write them anew with `signalbox observe start`.",
        (ObservationRulesError,),
    ),
    ProblemType(
        "observation-conflict", "The observation cannot take this step", HTTPStatus.CONFLICT, None, (ObservationStateError,)
    ),
    ProblemType("unknown-observation", "No such observation", HTTPStatus.NOT_FOUND, None, (UnknownObservationError,)),
    ProblemType(
        "ledger-unavailable",
        "The ledger does not answer",
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Send the same request again, with the same request id.",
        (LedgerError,),
    ),
    ProblemType("refused", "The library cannot do this", HTTPStatus.CONFLICT, None, (SignalboxError,)),
)
