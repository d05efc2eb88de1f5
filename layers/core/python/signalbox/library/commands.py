"""What a person can ask of the library, as parsed at the door: questions, and changes with a request id and a reason.

Every text is bounded and of a fixed alphabet where it names something, so nothing that is injected in one has a meaning anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StringConstraints, TypeAdapter, model_validator

from signalbox.access import Role
from signalbox.inference.manifest import Sha256
from signalbox.library.entries import EntityKind
from signalbox.observation.rules import ID_LENGTH
from signalbox.observation.verdicts import ObservationVerdict
from signalbox.signals.signal import DeploymentStage

MAX_LISTED: Final = 500
MAX_RULES_LENGTH: Final = 8_000  # characters; a body is at most twice as long
LIVE_DAYS: Final = 30  # of a live record
COMPARED_DAYS: Final = 120  # from the first day that both may have decided; a start that moves would spoil the evidence
Reference = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}(@[0-9]{1,9}(\.[0-9]{1,9}\.[0-9]{1,9})?)?$")]
EntityName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]
Tag = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,39}$")]
Prose = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]+$")
]
Limit = Annotated[StrictInt, Field(ge=1, le=MAX_LISTED)]
Cursor = Annotated[str, Field(pattern=r"^[A-Za-z0-9_=.-]{1,1000}$")]  # `next` of the page before
DeploymentName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Revision = Annotated[StrictInt, Field(ge=0, le=2**31 - 1)]


class LibraryRequest(BaseModel):
    """A question or a change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LibraryChange(LibraryRequest):
    """A change. request_id: the same in every retry, which then changes nothing."""

    request_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{3,47}$")]
    why: Prose


class AskEntities(LibraryRequest):
    """Entities by kind and name. archived: those that are archived, instead of those that are not."""

    verb: Literal["entities"]
    kind: EntityKind | None = None
    archived: StrictBool = False
    limit: Limit = 50
    cursor: Cursor | None = None


class AskEntity(LibraryRequest):
    """One entity."""

    verb: Literal["entity"]
    kind: EntityKind
    name: EntityName


class AskVersions(LibraryRequest):
    """The versions of a kind, of a name, or with a tag; newest first."""

    verb: Literal["list"]
    kind: EntityKind = EntityKind.MODEL
    name: EntityName | None = None
    tag: Tag | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


class AskSearch(LibraryRequest):
    """Versions whose name, description, reason or tags have these words."""

    verb: Literal["search"]
    words: Prose
    limit: Limit = 50
    cursor: Cursor | None = None


class AskVersion(LibraryRequest):
    """Everything of one version."""

    verb: Literal["show"]
    version: Reference
    kind: EntityKind = EntityKind.MODEL


class AskEvaluations(LibraryRequest):
    """The judgements of a version, with their reports."""

    verb: Literal["evaluations"]
    version: Reference
    kind: EntityKind = EntityKind.MODEL


class AskLineage(LibraryRequest):
    """What a version was made from, and what was made from it."""

    verb: Literal["lineage"]
    version: Reference
    kind: EntityKind = EntityKind.MODEL


class AskHistory(LibraryRequest):
    """The newest changes: of a version and its deployments, or of everything."""

    verb: Literal["history"]
    version: Reference | None = None
    kind: EntityKind = EntityKind.MODEL
    limit: Limit = 50


class AskDeployments(LibraryRequest):
    """What serves, what is on its way, and the deployments of the slot, newest first."""

    verb: Literal["deployments"]
    limit: Limit = 50
    cursor: Cursor | None = None


class AskDeployment(LibraryRequest):
    """One deployment with its steps."""

    verb: Literal["deployment"]
    deployment: DeploymentName


class AskDifference(LibraryRequest):
    """Two versions beside each other."""

    verb: Literal["compare"]
    version: Reference
    other: Reference
    kind: EntityKind = EntityKind.MODEL


class AskLiveDifference(LibraryRequest):
    """How two models did on the decisions that both made."""

    verb: Literal["compare-live"]
    version: Reference
    other: Reference
    kind: Literal[EntityKind.MODEL] = EntityKind.MODEL


class CreateEntity(LibraryChange):
    """Name an entity before it has a version. Registering a version names one too."""

    verb: Literal["create"]
    kind: EntityKind
    name: EntityName
    description: Prose | None = None


class ChangeEntity(LibraryChange):
    """Describe an entity, archive it, or take it back out. revision: the one that this is a change of."""

    verb: Literal["change"]
    kind: EntityKind
    name: EntityName
    revision: Revision
    description: Prose | None = None
    archived: StrictBool | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> ChangeEntity:
        if self.description is None and self.archived is None:
            raise ValueError("expected a description, or whether it is archived, got neither")
        return self


class AskMayChange(LibraryRequest):
    """Whether the asker may make a change of a kind. The answer is true, or why not."""

    verb: Literal["permission"]
    action: Literal["deploy", "promote", "rollback"]


class RegisterVersion(LibraryChange):
    """Record a model's bundle that was uploaded under the name of its hash, or a dataset or feature set by its hash alone."""

    verb: Literal["register"]
    kind: EntityKind = EntityKind.MODEL
    name: EntityName
    sha256: Sha256
    tags: Annotated[tuple[Tag, ...], Field(max_length=20)] = ()


class AddDependency(LibraryChange):
    """Record that a version was made from another. needs: that one; a version that was made from this one is refused."""

    verb: Literal["depend"]
    kind: EntityKind = EntityKind.MODEL
    version: Reference
    needs_kind: EntityKind
    needs: Reference


class ApproveVersion(LibraryChange):
    """Approve a candidate. override: although its gates did not pass."""

    verb: Literal["approve"]
    version: Reference
    kind: EntityKind = EntityKind.MODEL
    override: StrictBool = False


class RejectVersion(LibraryChange):
    """Reject a draft or a candidate for good."""

    verb: Literal["reject"]
    version: Reference
    kind: EntityKind = EntityKind.MODEL


class RetireVersion(LibraryChange):
    """Retire an approved or rejected version for good."""

    verb: Literal["retire"]
    version: Reference
    kind: EntityKind = EntityKind.MODEL


class DeployVersion(LibraryChange):
    """Deploy a version into the slot of all symbols. beside: as a challenger of what serves, in shadow only."""

    verb: Literal["deploy"]
    version: Reference
    stage: DeploymentStage = DeploymentStage.SHADOW
    beside: StrictBool = False

    @model_validator(mode="after")
    def _beside_is_shadow(self) -> Self:
        if self.beside and self.stage is not DeploymentStage.SHADOW:
            raise ValueError("expected stage shadow for a model beside the one that serves, got active")
        return self


class WithdrawVersion(LibraryChange):
    """Take the challenger of a version back."""

    verb: Literal["withdraw"]
    version: Reference
    kind: Literal[EntityKind.MODEL] = EntityKind.MODEL


class PromoteVersion(LibraryChange):
    """Deploy as active what serves as shadow, or a named version."""

    verb: Literal["promote"]
    version: Reference | None = None


class RollBackDeployment(LibraryChange):
    """Go back to the previous healthy deployment, or to a numbered one. It reads no bundle."""

    verb: Literal["rollback"]
    to: Annotated[StrictInt, Field(ge=1, le=2**31 - 1)] | None = None


class StartObservation(LibraryChange):
    """Begin to observe what serves. rules: the document whose hash names the observation."""

    verb: Literal["observe"]
    rules: Annotated[str, Field(min_length=2, max_length=MAX_RULES_LENGTH)]


class EndObservation(LibraryChange):
    """End an observation with the verdict of its report, and why the verdict is that."""

    verb: Literal["end-observation"]
    observation: Annotated[str, Field(pattern=rf"^[0-9a-f]{{{ID_LENGTH}}}$")]
    verdict: ObservationVerdict
    reasons: Annotated[tuple[Prose, ...], Field(min_length=1, max_length=20)]


AnyLibraryQuestion = (
    AskEntities
    | AskEntity
    | AskVersions
    | AskSearch
    | AskVersion
    | AskEvaluations
    | AskLineage
    | AskHistory
    | AskDeployments
    | AskDeployment
    | AskDifference
    | AskLiveDifference
    | AskMayChange
)
AnyLibraryChange = (
    CreateEntity
    | ChangeEntity
    | RegisterVersion
    | AddDependency
    | ApproveVersion
    | RejectVersion
    | RetireVersion
    | DeployVersion
    | WithdrawVersion
    | PromoteVersion
    | RollBackDeployment
    | StartObservation
    | EndObservation
)
AnyLibraryRequest = AnyLibraryQuestion | AnyLibraryChange
LIBRARY_REQUESTS: Final[TypeAdapter[AnyLibraryRequest]] = TypeAdapter(Annotated[AnyLibraryRequest, Field(discriminator="verb")])
NEEDED_ROLES: Final[Mapping[str, Role]] = {
    **dict.fromkeys(
        ("entities", "entity", "list", "search", "show", "evaluations", "lineage", "compare", "compare-live"), Role.VIEWER
    ),
    **dict.fromkeys(("history", "deployments", "deployment"), Role.VIEWER),
    "permission": Role.VIEWER,  # a question; it needs what the change needs
    **dict.fromkeys(
        ("create", "change", "register", "depend", "reject", "retire", "deploy", "withdraw", "rollback"), Role.OPERATOR
    ),
    **dict.fromkeys(("observe", "end-observation"), Role.OPERATOR),
    **dict.fromkeys(("approve", "promote"), Role.OWNER),  # what makes a model active
}


def needed_role(asked: AnyLibraryRequest) -> Role:
    """Return the role that a request needs: deploying as active is promoting."""
    if isinstance(asked, AskMayChange):
        return NEEDED_ROLES[asked.action]
    if isinstance(asked, DeployVersion) and asked.stage is DeploymentStage.ACTIVE:
        return NEEDED_ROLES["promote"]
    return NEEDED_ROLES[asked.verb]


def parse_library_request(verb: str, facts: Mapping[str, Any]) -> AnyLibraryRequest:
    """Read a request. Raises pydantic.ValidationError."""
    return LIBRARY_REQUESTS.validate_python({**facts, "verb": verb})
