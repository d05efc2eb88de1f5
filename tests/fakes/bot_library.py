"""The library as the bot asks it, in memory: two versions, one slot, and the roles that the real one asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from signalbox.access import Role
from signalbox.chat.bot.ports import BotLedgerError
from signalbox.library.commands import DeployVersion, RollBackDeployment, needed_role, parse_library_request
from signalbox.library.deployments import DeploymentState, LibraryDeployment, Slot, is_challenger
from signalbox.library.entries import EntityKey, EntityKind, VersionKey
from signalbox.signals.signal import DeploymentStage

AT = "2026-11-01T12:00:00+00:00"


def deployment(
    version: str, ordinal: int, stage: str = "active", state: str = "healthy", *, challenger: bool = False
) -> dict[str, Any]:
    """A deployment as library.views writes it."""
    return {
        "deployment": version.replace("@", "-v"), "ordinal": ordinal, "version": version, "semantic": "1.2.0", "group": "all",
        "stage": stage, "state": state, "overridden": False, "challenger": challenger, "requested_at": AT,
        "changed_at": AT, "who": "ada", "why": "better",
        "evaluated_rate": 0.2, "replaces": None, "restores": None, "reason": None,
    }  # fmt: skip


def _deployment(one: Mapping[str, Any]) -> LibraryDeployment:
    name, _, number = str(one["version"]).partition("@")
    at = datetime.fromisoformat(AT)
    return LibraryDeployment(
        one["deployment"], VersionKey(EntityKey(EntityKind.MODEL, name), int(number)), one["semantic"], one["group"],
        one["ordinal"], DeploymentStage(one["stage"]), DeploymentState(one["state"]), at, at, one["who"], one["why"], "", "",
    )  # fmt: skip


@dataclass
class BotLibrary:
    """dir60@2 decides, dir60@3 can be deployed. roles: of each person; changes: what each asked for, once for a request id."""

    roles: dict[str, Role] = field(default_factory=dict)
    changes: dict[str, tuple[str, DeployVersion | RollBackDeployment]] = field(default_factory=dict)
    current: dict[str, Any] | None = field(default_factory=lambda: deployment("dir60@2", 2))
    incoming: dict[str, Any] | None = None

    def ask(self, who: str, verb: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a request. Raises BotLedgerError without the role."""
        asked = parse_library_request(verb, facts)
        needed, held = needed_role(asked), self.roles.get(who)
        if held is None or not held.includes(needed):
            raise BotLedgerError(f"`library {verb}` needs the role {needed.value} on every account of the stage")
        if isinstance(asked, DeployVersion | RollBackDeployment):
            self.changes.setdefault(asked.request_id, (who, asked))
            if isinstance(asked, RollBackDeployment) and self.incoming is not None and asked.to is None:  # as PostgresDeployments
                withdrawn, self.incoming = {**self.incoming, "state": "failed"}, None
                return self.current or withdrawn
            version = asked.version if isinstance(asked, DeployVersion) else "dir60@1"
            stage = asked.stage.value if isinstance(asked, DeployVersion) else "active"
            is_beside = isinstance(asked, DeployVersion) and is_challenger(self.slot, asked.stage, beside=asked.beside)
            return deployment(version, 3, stage, "pending", challenger=is_beside)
        return self._answer(verb, facts)

    @property
    def slot(self) -> Slot:
        """The slot as the library has it."""
        current, incoming = (None if one is None else _deployment(one) for one in (self.current, self.incoming))
        return Slot(current, incoming)

    def _answer(self, verb: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        match verb:
            case "permission":
                return {"may": True}
            case "history":
                return {
                    "history": [],
                    "slot": {"current": self.current, "incoming": self.incoming, "challengers": []},
                    "deployments": [],
                }
            case "compare":
                differs = [{"what": "evaluation.figures.hit_rate", "values": [0.51, 0.53]}]
                return {"versions": [facts["version"], facts["other"]], "differences": differs}
            case "show":
                name, _, number = str(facts["version"]).partition("@")
                return {
                    "version": f"{name}@{number or 3}", "semantic": "1.3.0", "made": "candidate", "lifecycle": "approved",
                    "overridden": False, "created_at": AT, "description": None, "shortfalls": ["G3 fail: 0.08"],
                    "evaluations": [{"source": "training", "evaluated_at": AT, "gates": {"G0": "pass", "G3": "fail"}}],
                    "decisions": [{"state": "approved", "who": "ada", "at": AT, "why": "better", "overridden": True}],
                }  # fmt: skip
            case _:
                raise AssertionError(f"expected no library {verb} of the bot")
