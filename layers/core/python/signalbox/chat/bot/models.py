"""Models in the bot: a version, two beside each other, what decides, and what deploying or rolling back does.

The library answers in the name of whoever typed, on the same path as `signalbox library`, and judges their role.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from signalbox.chat.bot.ports import BotLedger, DeployModel, ModelChange, RollBackModel
from signalbox.chat.bot.registry import Invocation
from signalbox.chat.bot.words import BotWords
from signalbox.chat.words import bullets, clock
from signalbox.signals.signal import DeploymentStage

# library.deployments.DeploymentState, which the bot cannot import: it loads models
ON_ITS_WAY: Final = frozenset({"pending", "validating", "warming"})
DECIDES: Final = "healthy"
CHANGES: Final = frozenset({"deploy", "rollback"})
_MOST_DIFFERENCES: Final = 30
_MOST_DECISIONS: Final = 5
_MOST_CHARACTERS: Final = 60  # of a compared value


def change_asked(found: Invocation, ledger: BotLedger, request_id: str) -> ModelChange:
    """Return the change that somebody typed. A model without a number is its newest version, as of now. Raises BotLedgerError."""
    if found.command.name == "rollback":
        slot = _slot(ledger)
        current = slot["current"]
        is_traded = current is not None and current["stage"] == DeploymentStage.ACTIVE
        may_start = not is_traded and not _only_withdraws(found.number, slot)
        return RollBackModel(request_id=request_id, why=found.reason, to=found.number, may_start=may_start, shown=_names(slot))
    version = ledger.library("show", {"version": found.model})["version"]
    stage = DeploymentStage(found.stage) if found.stage else DeploymentStage.SHADOW
    return DeployModel(request_id=request_id, why=found.reason, version=version, stage=stage)


def facts_of(change: ModelChange) -> dict[str, Any]:
    """Return the body of the request for a change."""
    facts: dict[str, Any] = change.model_dump(mode="json", exclude={"verb", "may_start", "shown"}, exclude_none=True)
    return facts


def is_as_shown(change: ModelChange, ledger: BotLedger) -> bool:
    """Return whether the slot is as it was when the effect was shown. Raises BotLedgerError.

    A rollback takes back whatever is on its way, so a second one would undo the first instead of what was shown. A deployment
    needs no such question: the library refuses it while another is on its way.
    """
    return not isinstance(change, RollBackModel) or change.shown is None or change.shown == _names(_slot(ledger))


def effect_text(change: ModelChange, ledger: BotLedger, words: BotWords) -> str:
    """Return what a change does, before it is confirmed. Raises BotLedgerError."""
    slot = _slot(ledger)
    current, incoming = slot["current"], slot["incoming"]
    if isinstance(change, RollBackModel) and incoming is not None and _only_withdraws(change.to, slot):
        stays = words.say("effect.replaces_nothing") if current is None else words.say("effect.goes_on", **_named(current))
        return "\n".join([words.say("effect.withdraw", reason=change.why, **_named(incoming)), stays])
    if isinstance(change, DeployModel):
        record = ledger.library("show", {"version": change.version})
        lines = [words.say("effect.deploy", version=record["version"], stage=change.stage.value, reason=change.why)]
        if shortfalls := record["shortfalls"]:
            lines.append(words.say("effect.not_passed", shortfalls="; ".join(shortfalls)))
        if decides_beside(change.stage, slot):
            lines.append(words.say("effect.goes_on", **_named(current)))
            lines.append(words.say("effect.beside", others=str(len(slot["challengers"]))))
            return "\n".join(lines)
    elif change.to is None:
        lines = [words.say("effect.rollback", reason=change.why)]
    else:
        lines = [words.say("effect.rollback_to", to=str(change.to), reason=change.why)]
    lines.append(words.say("effect.replaces_nothing") if current is None else words.say("effect.replaces", **_named(current)))
    if incoming is not None:
        key = "effect.incoming" if isinstance(change, DeployModel) else "effect.incoming_too"
        lines.append(words.say(key, deployment=incoming["deployment"]))
    return "\n".join(lines)


def deployed_text(found: Mapping[str, Any], words: BotWords) -> str:
    """Return what the library made of a change: a new deployment, what decides after a withdrawal, what a repeated one became."""
    if found["state"] in ON_ITS_WAY:
        return words.say(
            "effect.deployed_beside" if found["challenger"] else "effect.deployed", state=found["state"], **_named(found)
        )
    if found["state"] == DECIDES:
        return words.say("effect.decides_beside" if found["challenger"] else "effect.decides", **_named(found))
    return words.say("effect.decides_not", state=found["state"], **_named(found))


def version_text(ledger: BotLedger, stage: str, words: BotWords) -> str:
    """Return the stage and the model that decides."""
    current = _slot(ledger)["current"]
    decides = (
        words.say("library.serves_nothing")
        if current is None
        else words.say("library.serves", time=_when(current["changed_at"]), **_named(current))
    )
    return "\n".join([words.say("library.stage", stage=stage), decides])


def model_text(ledger: BotLedger, version: str, words: BotWords) -> str:
    """Return a version: its state, its gates in each evaluation, and the newest decisions about it."""
    found = ledger.library("show", {"version": version})
    lines = [
        words.say(
            "library.version",
            version=found["version"],
            semantic=found["semantic"] or "-",
            state=found["lifecycle"] or found["made"],
        ),
        words.say("library.created", time=_when(found["created_at"])),
        *([words.say("library.overridden")] if found["overridden"] else []),
        *([found["description"]] if found["description"] else []),
    ]
    for judged in found["evaluations"]:
        gates = ", ".join(f"{gate} {verdict}" for gate, verdict in judged["gates"].items())
        lines.append(words.say("library.gates", source=judged["source"], time=_when(judged["evaluated_at"]), gates=gates))
    if not found["evaluations"]:
        lines.append(words.say("library.not_evaluated"))
    lines += [
        words.say("library.decision", state=one["state"], who=one["who"], time=_when(one["at"]), why=one["why"])
        for one in found["decisions"][-_MOST_DECISIONS:]
    ]
    return "\n".join(lines)


def compared_text(ledger: BotLedger, version: str, other: str, words: BotWords) -> str:
    """Return what two versions differ in."""
    found = ledger.library("compare", {"version": version, "other": other})
    one, two = found["versions"]
    rows = [
        words.say("library.differs", what=row["what"], one=_value(row["values"][0]), two=_value(row["values"][1]))
        for row in found["differences"]
    ]
    more = len(rows) - _MOST_DIFFERENCES
    return "\n".join(
        [
            words.say("library.compared", version=one, other=two),
            bullets(rows[:_MOST_DIFFERENCES]) if rows else words.say("library.same"),
            *([words.say("library.more", number=str(more))] if more > 0 else []),
        ]
    )


def decides_beside(stage: DeploymentStage, slot: Mapping[str, Any]) -> bool:
    """Return whether a deployment decides beside what serves, as library.deployments judges it: a shadow beside an active one."""
    current = slot["current"]
    return stage is DeploymentStage.SHADOW and current is not None and current["stage"] == DeploymentStage.ACTIVE


def _only_withdraws(to: int | None, slot: Mapping[str, Any]) -> bool:
    """Return whether a rollback takes back what is on its way and changes nothing else, as the library judges it."""
    if slot["incoming"] is None:
        return False
    return to is None or (slot["current"] is not None and to == slot["current"]["ordinal"])


def _names(slot: Mapping[str, Any]) -> tuple[str, str]:
    current, incoming = ("" if one is None else str(one["deployment"]) for one in (slot["current"], slot["incoming"]))
    return current, incoming


def _slot(ledger: BotLedger) -> dict[str, Any]:
    slot: dict[str, Any] = ledger.library("history", {"limit": 1})["slot"]
    return slot


def _named(deployment: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(deployment[key]) for key in ("deployment", "version", "stage")}


def _when(text: str) -> str:
    return clock(datetime.fromisoformat(text))


def _value(value: Any) -> str:
    return "-" if value is None else str(value)[:_MOST_CHARACTERS]
