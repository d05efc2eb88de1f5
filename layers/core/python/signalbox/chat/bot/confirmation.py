"""Commands that change something: shown with their effect, then carried out when a button is pressed, once.

The person who asked presses first, in the same chat, within a minute. An account may need two people for what starts trading (a
resume, the live mode): then the first press only opens an approval, and another person who has the role in the bot and in the
ledger has three minutes to press the second button, in any chat where they may speak. What stops trading never needs a second
person. The command is sent in the name of the person who asked; the request id has the number of who approved, so the compliance
record has both.

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
from signalbox.chat.bot import answers
from signalbox.chat.bot.conversation import Answer, Approval, Button, ButtonPress, ChatMessage, answer_of
from signalbox.chat.bot.ports import BotLedger, BotLedgerError, BotLedgerSilentError, PendingCommand, PendingCommands
from signalbox.chat.bot.registry import BotInputError, Invocation
from signalbox.chat.words import clock
from signalbox.problems import wrong_in_words
from signalbox.risk.snapshot import HaltLevel
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
_SENT: Final = "It is not sent again. Whether it was done is unknown: see /status."
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

    A setting of any other shape asks for two people everywhere: a mistake must not take a protection away.
    """
    if setting is None:
        return nobody_twice
    if not is_two_people(setting):
        return lambda _account: True
    return lambda account: account in setting or EVERY in setting


def is_two_people(setting: Any) -> bool:
    """Return whether a setting has the shape that `two_people_of` expects."""
    return isinstance(setting, list | tuple) and all(
        isinstance(one, str) and (one == EVERY or _ACCOUNT.fullmatch(one)) for one in setting
    )


def starts_trading(command: AnyCommand) -> bool:
    """Return whether a command can need a second person: it releases the kill switch, or lets an account trade live."""
    return isinstance(command, ResumeTrading) or (isinstance(command, ConfirmAccount) and command.what == LIVE)


@dataclass
class Confirmations:
    """The commands of one bot that wait for a button. needs_two: the accounts that need two people."""

    role_of: Callable[[int], Role | None]
    ledger_for: Callable[[int], BotLedger]
    pending: PendingCommands
    needs_two: Callable[[str], bool] = nobody_twice
    new_token: Callable[[], str] = field(default=_token)

    def ask(self, found: Invocation, ledger: BotLedger, message: ChatMessage) -> Answer:
        """Show the effect of a command with a button for it; nothing has happened yet. Raises BotInputError, BotLedgerError."""
        account = ledger.account(str(found.account))
        token = self.new_token()
        command = command_of(found, account, f"tg-{token}", message)
        self.pending.put(PendingCommand(token, message.user, message.chat, command, message.at + CONFIRM_WITHIN))
        seconds = int(CONFIRM_WITHIN.total_seconds())
        second = ""
        if self._takes_two(command):
            other = _needed(command).value
            second = f" Then another {other} has {_minutes(APPROVE_WITHIN)} to approve it: {command.account} needs two people."
        return answer_of(f"{effect_of(command, account)}\nConfirm within {seconds} seconds.{second}", buttons=_choice(token))

    def show(self, token: str, message: ChatMessage) -> Answer:
        """Show what another person asked for, with the buttons for the second person. Raises BotLedgerError."""
        waiting = self.pending.get(token)
        if waiting is None or not waiting.waits_for_second or message.at > waiting.expires_at:
            raise BotInputError(f"Nothing waits for an approval under {token}. It may have lapsed: ask for the command again.")
        if not waiting.is_for(message.user, message.chat):
            raise BotInputError(_not_theirs(waiting, message.user))
        ledger = self.ledger_for(message.user)
        ledger.require(waiting.command.account, waiting.command.kind)
        effect = effect_of(waiting.command, ledger.account(waiting.command.account))
        text = f"{effect}\nAsked for by telegram:{waiting.user}. Approve before {clock(waiting.expires_at)}."
        return answer_of(text, buttons=_choice(token, yes="Approve", no="Refuse"))

    def press(self, press: ButtonPress, role: Role) -> Answer:
        """Return the answer to a pressed Yes, No, Approve or Refuse."""
        kind, token = press.data[:2], press.data[2:]
        waiting = self.pending.get(token)
        if waiting is None or press.at > waiting.expires_at:
            return expired()
        if not waiting.is_for(press.user, press.chat):
            return answer_of(_not_theirs(waiting, press.user))
        if waiting.waits_for_second and (refused := self._not_allowed(waiting.command, press.user, role)):
            return answer_of(refused)  # the button stays, for somebody who may
        taken = self.pending.take(token, press.user, press.chat, press.update)
        return expired() if taken is None else self._settled(taken, press, kind)

    def _settled(self, taken: PendingCommand, press: ButtonPress, kind: str) -> Answer:
        """Return what becomes of a command that this press has taken."""
        if kind == NO:
            return answer_of(_SENT if taken.was_sent else "Cancelled. Nothing was changed.", replaces=True)
        if not _may(self.role_of(taken.user), taken.command):  # it was taken from them meanwhile
            return answer_of("Whoever asked for it may not do this any more. Nothing was changed.", replaces=True)
        if taken.waits_for_second:
            return self._carried_out(taken if taken.approved_by is not None else _approved(taken, press))
        return self._second_asked(taken, press) if self._takes_two(taken.command) else self._carried_out(taken)

    def _takes_two(self, command: AnyCommand) -> bool:
        return starts_trading(command) and self.needs_two(command.account)

    def _not_allowed(self, command: AnyCommand, user: int, role: Role) -> str:
        """Return why a person may not approve a command, empty if they may."""
        if not _may(role, command):
            return "You may not approve this. Nothing was changed."
        try:
            self.ledger_for(user).require(command.account, command.kind)
        except BotLedgerError as error:
            return f"⛔ {error}"
        return ""

    def _second_asked(self, waiting: PendingCommand, press: ButtonPress) -> Answer:
        """Open the approval that a second person gives. The same press, delivered again, opens the same one."""
        token = hashlib.sha256(f"second\n{waiting.token}".encode()).hexdigest()[:16]
        until = press.at + APPROVE_WITHIN
        second = replace(waiting, token=token, expires_at=until, waits_for_second=True)
        self.pending.put(second)
        try:
            effect = effect_of(waiting.command, self.ledger_for(waiting.user).account(waiting.command.account))
        except BotLedgerError:
            effect = f"{waiting.command.kind.capitalize()} {waiting.command.account}. Its effect cannot be shown: no answer."
        text = (
            f"{effect}\nNothing has happened yet. Another {_needed(waiting.command).value} has to approve it before"
            f" {clock(until)}: here, or in their own chat with\n/approve {token}"
        )
        return answer_of(text, buttons=_choice(token, yes="Approve", no="Refuse"), replaces=True)

    def _carried_out(self, waiting: PendingCommand) -> Answer:
        command = waiting.command
        approval = None
        if waiting.approved_by is not None:
            approval = Approval(command.account, command.kind, command.request_id, waiting.user, waiting.approved_by)
        try:
            after = self.ledger_for(waiting.user).command(command)
        except BotLedgerSilentError as error:
            self.pending.put_again(
                replace(waiting, was_sent=True)
            )  # the same button sends the same request id, so it is carried out once at most
            text = f"⚠️ {error}\nWhether it was done is unknown. Pressing Yes again is safe."
            return answer_of(text, buttons=_choice(waiting.token), replaces=True, approval=approval)
        except BotLedgerError as error:
            return answer_of(f"⛔ {error}", replaces=True, approval=approval)
        both = "" if approval is None else f"\nAsked for by telegram:{waiting.user}, approved by telegram:{waiting.approved_by}."
        return answer_of(answers.done_text(after) + both, replaces=True, approval=approval)


def _approved(waiting: PendingCommand, press: ButtonPress) -> PendingCommand:
    """Return the command with its second person, who alone may press again if the ledger does not answer."""
    command = waiting.command.model_copy(update={"request_id": f"{waiting.command.request_id}-by-{press.user}"})
    return replace(waiting, command=command, approved_by=press.user)


def _needed(command: AnyCommand) -> Role:
    return Role.OWNER if isinstance(command, ConfirmAccount) else Role.OPERATOR


def _may(role: Role | None, command: AnyCommand) -> bool:
    return role is not None and role.includes(_needed(command))


def _not_theirs(waiting: PendingCommand, user: int) -> str:
    if waiting.waits_for_second and user == waiting.user:
        return f"You asked for it, so another person has to approve it before {clock(waiting.expires_at)}."
    return "That button is another person's, or of another chat. Nothing was changed."


def effect_of(command: AnyCommand, account: AccountDocument) -> str:
    """Return what a command does, in words. Raises BotInputError for closing what is not held."""
    match command:
        case SubmitOrder():
            _held(account, command.symbol)
            return answers.close_text(account, command.symbol)
        case ConfirmAccount():
            return answers.mode_text(account, command.what)
        case CancelOrder():
            return answers.effect_text("cancel", account, order=command.client_order_id)
        case ResumeTrading():
            return answers.effect_text("resume", account, reason=command.why)
        case HaltTrading():
            return answers.effect_text(_VERBS[command.level], account, reason=command.why)
        case _:
            raise BotInputError(f"The bot gives no command of kind {command.kind}.")


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
                raise BotInputError(f"Nothing was changed. To release it, say why: /resume {found.account} REASON")
            facts |= {"kind": "halt", "level": _LEVELS[verb], "why": found.reason}
    try:
        return COMMANDS.validate_python(facts)
    except ValidationError as error:
        first = error.errors()[0]
        raise BotInputError(f"{wrong_in_words(first)}. Nothing was changed.") from None


def _held(account: AccountDocument, symbol: str) -> str:
    held = next((one["quantity"] for one in account["positions"] if one["symbol"] == symbol), None)
    if held is None:
        raise BotInputError(f"{account['account']} holds no {symbol}: there is nothing to close.")
    return held


def _closing(account: AccountDocument, symbol: str) -> dict[str, object]:
    """Return the order that closes a position. Raises BotInputError without one."""
    held = _held(account, symbol)
    side = "SELL" if Decimal(held) > 0 else "BUY"
    quantity = held.removeprefix("-")
    return {"kind": "submit", "symbol": symbol, "side": side, "type": "MARKET", "quantity": quantity, "reduce_only": True}


def _choice(token: str, *, yes: str = "Yes", no: str = "No") -> tuple[Button, Button]:
    return Button(yes, YES + token), Button(no, NO + token)


def _minutes(span: timedelta) -> str:
    return f"{int(span.total_seconds() // 60)} minutes"


def expired() -> Answer:
    """Return the answer to a button that does nothing any more."""
    text = "That button is used up or expired, so this press changed nothing. See /status before you give the command again."
    return answer_of(text, replaces=True)
