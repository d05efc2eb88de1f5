"""Commands that change something: shown with their effect, then carried out when a button is pressed, once.

The person who asked presses first, in the same chat, within a minute. An account may need two people for what starts trading (a
resume, the live mode, a model deployed as active): then the first press only opens an approval, and another person who has the
role in the bot and in the ledger has three minutes to press the second button, in any chat where they may speak. What stops
trading never needs a second person. The command is sent in the name of the person who asked; the request id has the number of
who approved, so the compliance record has both.

A button of somebody else changes nothing and stays good. Decision: docs/decisions/0119-two-people-for-what-starts-trading.md.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from pydantic import ValidationError

from signalbox.access import Role
from signalbox.chat.bot import answers, models
from signalbox.chat.bot.conversation import Answer, Approval, Button, ButtonPress, ChatMessage, answer_of
from signalbox.chat.bot.ports import (
    BotChange,
    BotLedger,
    BotLedgerError,
    BotLedgerSilentError,
    DeployModel,
    PendingCommand,
    PendingCommands,
    RollBackModel,
    role_for,
)
from signalbox.chat.bot.registry import BotInputError, Invocation
from signalbox.chat.bot.words import BotWords
from signalbox.chat.words import clock
from signalbox.problems import wrong_in_words
from signalbox.risk.snapshot import HaltLevel
from signalbox.signals.signal import DeploymentStage
from signalbox.trading.commands import (
    COMMANDS,
    AnyCommand,
    CancelOrder,
    ConfirmAccount,
    HaltTrading,
    ResumeTrading,
    SubmitOrder,
)
from signalbox.trading.documents import AccountDocument

CONFIRM_WITHIN: Final = timedelta(seconds=60)
APPROVE_WITHIN: Final = timedelta(minutes=3)  # after the first press; both together stay below trading.commands.MAX_BEHIND
YES, NO = "y:", "n:"
EVERY: Final = "*"  # in the setting: every account
LIVE: Final = "live"
MODELS: Final = "(models)"  # asked of the setting for what makes a model active: no account has this name
_LEVELS: Final[Mapping[str, HaltLevel]] = {
    "halt": HaltLevel.HALT,
    "reduceonly": HaltLevel.REDUCE_ONLY,
    "flatten": HaltLevel.FLATTEN,
}
_VERBS: Final[Mapping[HaltLevel, str]] = {level: verb for verb, level in _LEVELS.items()}
_ACCOUNT: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


def _token() -> str:
    return secrets.token_hex(8)


def nobody_twice(_account: str) -> bool:
    """Return that an account needs one person."""
    return False


def two_people_of(setting: Any) -> Callable[[str], bool]:
    """Return which accounts need two people, as the Telegram secret says: absent, or a list of accounts or of `*`.

    What makes a model active needs two if any account does, because it decides for all of them.

    A setting of any other shape asks for two people everywhere: a mistake must not take a protection away.
    """
    if setting is None:
        return nobody_twice
    if not is_two_people(setting):
        return lambda _account: True
    return lambda account: account in setting or EVERY in setting or (account == MODELS and bool(setting))


def is_two_people(setting: Any) -> bool:
    """Return whether a setting has the shape that `two_people_of` expects."""
    return isinstance(setting, list | tuple) and all(
        isinstance(one, str) and (one == EVERY or _ACCOUNT.fullmatch(one)) for one in setting
    )


def starts_trading(command: BotChange) -> bool:
    """Return whether a change can need two people: it releases the kill switch, lets an account trade live, or a model decide."""
    match command:
        case ResumeTrading():
            return True
        case ConfirmAccount():
            return command.what == LIVE
        case DeployModel():
            return command.stage is DeploymentStage.ACTIVE
        case RollBackModel():
            return command.may_start
        case _:
            return False


@dataclass
class Confirmations:
    """The commands of one bot that wait for a button. needs_two: the accounts that need two people, and MODELS."""

    role_of: Callable[[int], Role | None]
    ledger_for: Callable[[int], BotLedger]
    pending: PendingCommands
    needs_two: Callable[[str], bool] = nobody_twice
    new_token: Callable[[], str] = field(default=_token)

    def ask(self, found: Invocation, ledger: BotLedger, message: ChatMessage, words: BotWords) -> Answer:
        """Show the effect of a command with a button for it; nothing has happened yet. Raises BotInputError, BotLedgerError."""
        token = self.new_token()
        if found.command.name in models.CHANGES:
            command: BotChange = models.change_asked(found, ledger, f"tg-{token}")
            if not _may(self.role_of(message.user), command):
                raise BotInputError("confirm.only_owner")
        else:
            command = command_of(found, ledger.account(str(found.account)), f"tg-{token}", message)
        self.pending.put(PendingCommand(token, message.user, message.chat, command, message.at + CONFIRM_WITHIN))
        text = words.say("confirm.within", seconds=str(int(CONFIRM_WITHIN.total_seconds())))
        if self._takes_two(command):
            facts = {"role": _needed(command).value, "minutes": _minutes(APPROVE_WITHIN), "account": _about(command, words)}
            text += " " + words.say("confirm.second", **facts)
        return answer_of(f"{_effect(command, ledger, words)}\n{text}", buttons=_choice(token, words))

    def show(self, token: str, message: ChatMessage, words: BotWords) -> Answer:
        """Show what another person asked for, with the buttons for the second person. Raises BotLedgerError."""
        waiting = self.pending.get(token)
        if waiting is None or not waiting.waits_for_second or message.at > waiting.expires_at:
            raise BotInputError("confirm.nothing_waits", token=token)
        if not waiting.is_for(message.user, message.chat):
            raise _not_theirs(waiting, message.user)
        ledger = self.ledger_for(message.user)
        _require(ledger, waiting.command)
        effect = _effect(waiting.command, ledger, words)
        asked = words.say("confirm.asked_by", user=str(waiting.user), time=clock(waiting.expires_at))
        return answer_of(f"{effect}\n{asked}", buttons=_second_choice(token, words))

    def press(self, press: ButtonPress, role: Role, words: BotWords) -> Answer:
        """Return the answer to a pressed Yes, No, Approve or Refuse."""
        kind, token = press.data[:2], press.data[2:]
        waiting = self.pending.get(token)
        if waiting is None or press.at > waiting.expires_at:
            return expired(words)
        if not waiting.is_for(press.user, press.chat):
            return answer_of(_not_theirs(waiting, press.user).text(words))
        if waiting.waits_for_second and (refused := self._not_allowed(waiting.command, press.user, role, words)):
            return answer_of(refused)  # the button stays, for somebody who may
        taken = self.pending.take(token, press.user, press.chat, press.update)
        return expired(words) if taken is None else self._settled(taken, press, kind, words)

    def _settled(self, taken: PendingCommand, press: ButtonPress, kind: str, words: BotWords) -> Answer:
        """Return what becomes of a command that this press has taken."""
        if kind == NO:
            return answer_of(words.say("confirm.was_sent" if taken.was_sent else "confirm.not_sent"), replaces=True)
        if not _may(self.role_of(taken.user), taken.command):  # it was taken from them meanwhile
            return answer_of(words.say("confirm.lost_role"), replaces=True)
        if taken.waits_for_second:
            return self._carried_out(taken if taken.approved_by is not None else _approved(taken, press), words)
        if self._takes_two(taken.command):
            return self._second_asked(taken, press, words)
        return self._carried_out(taken, words)

    def _takes_two(self, command: BotChange) -> bool:
        return starts_trading(command) and self.needs_two(_account_of(command) or MODELS)

    def _not_allowed(self, command: BotChange, user: int, role: Role, words: BotWords) -> str:
        """Return why a person may not approve a command, empty if they may."""
        if not _may(role, command):
            return words.say("confirm.not_allowed")
        try:
            _require(self.ledger_for(user), command)
        except BotLedgerError as error:
            return f"⛔ {answers.refusal_text(error, words)}"
        return ""

    def _second_asked(self, waiting: PendingCommand, press: ButtonPress, words: BotWords) -> Answer:
        """Open the approval that a second person gives. The same press, delivered again, opens the same one."""
        token = hashlib.sha256(f"second\n{waiting.token}".encode()).hexdigest()[:16]
        until = press.at + APPROVE_WITHIN
        second = replace(waiting, token=token, expires_at=until, waits_for_second=True)
        self.pending.put(second)
        try:
            effect = _effect(waiting.command, self.ledger_for(waiting.user), words)
        except BotLedgerError:
            kind = _kind_of(waiting.command).capitalize()
            effect = words.say("confirm.no_effect", kind=kind, account=_about(waiting.command, words))
        waits = words.say("confirm.waits", role=_needed(waiting.command).value, time=clock(until))
        return answer_of(f"{effect}\n{waits}\n/approve {token}", buttons=_second_choice(token, words), replaces=True)

    def _carried_out(self, waiting: PendingCommand, words: BotWords) -> Answer:
        command = waiting.command
        approval = None
        if waiting.approved_by is not None:
            account = _account_of(command) or MODELS
            approval = Approval(account, _kind_of(command), command.request_id, waiting.user, waiting.approved_by)
        try:
            done = _sent(waiting, self.ledger_for(waiting.user), words)
        except BotLedgerSilentError as error:
            self.pending.put_again(
                replace(waiting, was_sent=True)
            )  # the same button sends the same request id, so it is carried out once at most
            text = f"⚠️ {answers.refusal_text(error, words)}\n{words.say('confirm.unknown')}"
            return answer_of(text, buttons=_choice(waiting.token, words), replaces=True, approval=approval)
        except BotLedgerError as error:
            return answer_of(f"⛔ {answers.refusal_text(error, words)}", replaces=True, approval=approval)
        if approval is not None:
            done += "\n" + words.say("confirm.both", user=str(approval.asked_by), other=str(approval.approved_by))
        return answer_of(done, replaces=True, approval=approval)


def _sent(waiting: PendingCommand, ledger: BotLedger, words: BotWords) -> str:
    """Send a change and return what is true after it."""
    command = waiting.command
    if isinstance(command, DeployModel | RollBackModel):
        if not waiting.was_sent and not models.is_as_shown(command, ledger):  # sent before, it may itself have changed the slot
            raise BotLedgerError(words.say("confirm.changed"))
        return models.deployed_text(ledger.library(command.verb, models.facts_of(command)), words)
    return answers.done_text(ledger.command(command), words)


def _require(ledger: BotLedger, command: BotChange) -> None:
    """Return if the person may make this change. Raises BotLedgerError."""
    if isinstance(command, DeployModel | RollBackModel):
        is_promoting = role_for(command) is Role.OWNER
        ledger.library("permission", {"action": "promote" if is_promoting else command.verb})
    else:
        ledger.require(command.account, command.kind)


def _account_of(command: BotChange) -> str | None:
    return None if isinstance(command, DeployModel | RollBackModel) else command.account


def _kind_of(command: BotChange) -> str:
    return command.verb if isinstance(command, DeployModel | RollBackModel) else command.kind


def _about(command: BotChange, words: BotWords) -> str:
    return _account_of(command) or words.say("confirm.the_library")


def _approved(waiting: PendingCommand, press: ButtonPress) -> PendingCommand:
    """Return the command with its second person, who alone may press again if the ledger does not answer."""
    command = waiting.command.model_copy(update={"request_id": f"{waiting.command.request_id}-by-{press.user}"})
    return replace(waiting, command=command, approved_by=press.user)


def _needed(command: BotChange) -> Role:
    if isinstance(command, DeployModel | RollBackModel):
        return role_for(command)
    return Role.OWNER if isinstance(command, ConfirmAccount) else Role.OPERATOR


def _may(role: Role | None, command: BotChange) -> bool:
    return role is not None and role.includes(_needed(command))


def _not_theirs(waiting: PendingCommand, user: int) -> BotInputError:
    if waiting.waits_for_second and user == waiting.user:
        return BotInputError("confirm.yourself", time=clock(waiting.expires_at))
    return BotInputError("confirm.not_yours")


def _effect(command: BotChange, ledger: BotLedger, words: BotWords) -> str:
    """Return what a change does, in words. Raises BotLedgerError, and BotInputError for closing what is not held."""
    if isinstance(command, DeployModel | RollBackModel):
        return models.effect_text(command, ledger, words)
    account = ledger.account(command.account)
    match command:
        case SubmitOrder():
            _held(account, command.symbol)
            return answers.close_text(account, command.symbol, words)
        case ConfirmAccount():
            return answers.mode_text(account, command.what, words)
        case CancelOrder():
            return answers.effect_text("cancel", account, order=command.client_order_id, words=words)
        case ResumeTrading():
            return answers.effect_text("resume", account, reason=command.why, words=words)
        case HaltTrading():
            return answers.effect_text(_VERBS[command.level], account, reason=command.why, words=words)
        case _:
            raise BotInputError("input.no_kind", kind=command.kind)


def command_of(found: Invocation, account: AccountDocument, request_id: str, message: ChatMessage) -> AnyCommand:
    """Return the command that somebody typed. Raises BotInputError."""
    facts: dict[str, object] = {"account": found.account, "request_id": request_id, "requested_at": message.at}
    match found.command.name:
        case "close":
            facts |= {**_closing(account, str(found.symbol)), "time_in_force": "IOC"}
        case "mode":
            facts |= {"kind": "confirm", "what": found.mode}
        case "cancel":
            facts |= {"kind": "cancel", "client_order_id": found.order}
        case "resume":
            facts |= {"kind": "resume", "why": found.reason}
        case verb:
            if found.reason.split()[0].lower() == "off":  # they want to release it, and would have set it
                raise BotInputError("input.to_release", account=str(found.account))
            facts |= {"kind": "halt", "level": _LEVELS[verb], "why": found.reason}
    try:
        return COMMANDS.validate_python(facts)
    except ValidationError as error:
        first = error.errors()[0]
        raise BotInputError("input.refused", reason=wrong_in_words(first)) from None


def _held(account: AccountDocument, symbol: str) -> str:
    held = next((one["quantity"] for one in account["positions"] if one["symbol"] == symbol), None)
    if held is None:
        raise BotInputError("input.nothing_held", account=account["account"], symbol=symbol)
    return held


def _closing(account: AccountDocument, symbol: str) -> dict[str, object]:
    """Return the order that closes a position. Raises BotInputError without one."""
    held = _held(account, symbol)
    side = "SELL" if Decimal(held) > 0 else "BUY"
    quantity = held.removeprefix("-")
    return {"kind": "submit", "symbol": symbol, "side": side, "type": "MARKET", "quantity": quantity, "reduce_only": True}


def _choice(token: str, words: BotWords) -> tuple[Button, Button]:
    return Button(words.say("button.yes"), YES + token), Button(words.say("button.no"), NO + token)


def _second_choice(token: str, words: BotWords) -> tuple[Button, Button]:
    return Button(words.say("button.approve"), YES + token), Button(words.say("button.refuse"), NO + token)


def _minutes(span: timedelta) -> str:
    return str(int(span.total_seconds() // 60))


def expired(words: BotWords) -> Answer:
    """Return the answer to a button that does nothing any more."""
    return answer_of(words.say("confirm.expired"), replaces=True)
