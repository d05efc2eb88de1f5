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
from signalbox.signals.signal import DeploymentStage

MAX_LISTED: Final = 500
LIVE_DAYS: Final = 30  # of a live record
COMPARED_DAYS: Final = 120  # from the first day that both may have decided; a start that moves would spoil the evidence
Reference = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}(@[0-9]{1,9}(\.[0-9]{1,9}\.[0-9]{1,9})?)?$")]
EntityName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]
Tag = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,39}$")]
Prose = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=r"^[^\x00-\x08\x0b-\x1f]+$")
]
Limit = Annotated[StrictInt, Field(ge=1, le=MAX_LISTED)]


class LibraryRequest(BaseModel):
    """A question or a change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LibraryChange(LibraryRequest):
    """A change. request_id: the same in every retry, which then changes nothing."""

    request_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{3,47}$")]
    why: Prose


class AskVersions(LibraryRequest):
    """The versions of a kind, of a name, or with a tag; newest first."""

    verb: Literal["list"]
    kind: EntityKind = EntityKind.MODEL
    name: EntityName | None = None
    tag: Tag | None = None
    limit: Limit = 50


class AskSearch(LibraryRequest):
    """Versions whose name, description, reason or tags have these words."""

    verb: Literal["search"]
    words: Prose
    limit: Limit = 50


class AskVersion(LibraryRequest):
    """Everything of one version."""

    verb: Literal["show"]
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
    limit: Limit = 50


class AskDifference(LibraryRequest):
    """Two versions beside each other: what they are, or with `live` how they did on the decisions that both made."""

    verb: Literal["compare"]
    version: Reference
    other: Reference
    live: StrictBool = False


class RegisterVersion(LibraryChange):
    """Record a bundle that was uploaded under the name of its hash."""

    verb: Literal["register"]
    sha256: Sha256
    tags: Annotated[tuple[Tag, ...], Field(max_length=20)] = ()


class ApproveVersion(LibraryChange):
    """Approve a candidate. override: although its gates did not pass."""

    verb: Literal["approve"]
    version: Reference
    override: StrictBool = False


class RejectVersion(LibraryChange):
    """Reject a draft or a candidate for good."""

    verb: Literal["reject"]
    version: Reference


class RetireVersion(LibraryChange):
    """Retire an approved or rejected version for good."""

    verb: Literal["retire"]
    version: Reference


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


class PromoteVersion(LibraryChange):
    """Deploy as active what serves as shadow, or a named version."""

    verb: Literal["promote"]
    version: Reference | None = None


class RollBackDeployment(LibraryChange):
    """Go back to the previous healthy deployment, or to a numbered one. It reads no bundle."""

    verb: Literal["rollback"]
    to: Annotated[StrictInt, Field(ge=1, le=2**31 - 1)] | None = None


AnyLibraryRequest = (
    AskVersions
    | AskSearch
    | AskVersion
    | AskLineage
    | AskHistory
    | AskDifference
    | RegisterVersion
    | ApproveVersion
    | RejectVersion
    | RetireVersion
    | DeployVersion
    | WithdrawVersion
    | PromoteVersion
    | RollBackDeployment
)
LIBRARY_REQUESTS: Final[TypeAdapter[AnyLibraryRequest]] = TypeAdapter(Annotated[AnyLibraryRequest, Field(discriminator="verb")])
NEEDED_ROLES: Final[Mapping[str, Role]] = {
    **dict.fromkeys(("list", "search", "show", "lineage", "history", "compare"), Role.VIEWER),
    **dict.fromkeys(("register", "reject", "retire", "deploy", "withdraw", "rollback"), Role.OPERATOR),
    **dict.fromkeys(("approve", "promote"), Role.OWNER),  # what makes a model active
}


def needed_role(asked: AnyLibraryRequest) -> Role:
    """Return the role that a request needs: deploying as active is promoting."""
    if isinstance(asked, DeployVersion) and asked.stage is DeploymentStage.ACTIVE:
        return NEEDED_ROLES["promote"]
    return NEEDED_ROLES[asked.verb]


def parse_library_request(verb: str, facts: Mapping[str, Any]) -> AnyLibraryRequest:
    """Read a request. Raises pydantic.ValidationError."""
    return LIBRARY_REQUESTS.validate_python({**facts, "verb": verb})
