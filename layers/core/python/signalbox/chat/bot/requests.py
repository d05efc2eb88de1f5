"""Which request to the orders API carries out a command of the bot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from signalbox.chat.bot.ports import BotLedgerError
from signalbox.trading.commands import AnyCommand, CancelOrder, ConfirmAccount, HaltTrading, ResumeTrading, SubmitOrder

_OF_PATH: Final = {"kind", "account", "requested_at"}  # of a command: its route and the gateway say these


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """A request to the orders API. answers_account: the API answers with the account; otherwise with an order."""

    method: str
    path: str
    body: dict[str, Any]
    answers_account: bool = True


def request_of(command: AnyCommand) -> CommandRequest:
    """Return the request that carries out a command. Raises BotLedgerError for a kind that the bot does not send."""
    account = f"/accounts/{command.account}"
    match command:
        case HaltTrading():
            return CommandRequest("POST", f"{account}/halt", _written(command, _OF_PATH))
        case ResumeTrading():
            return CommandRequest("POST", f"{account}/resume", _written(command, _OF_PATH))
        case ConfirmAccount():
            return CommandRequest("POST", f"{account}/confirm", _written(command, _OF_PATH))
        case CancelOrder(client_order_id=order):
            facts = {"account": command.account, "request_id": command.request_id}
            return CommandRequest("DELETE", f"/orders/{order}", facts, answers_account=False)
        case SubmitOrder():
            return CommandRequest("POST", "/orders", _written(command, {"kind"}), answers_account=False)
        case _:
            raise BotLedgerError(f"the bot cannot send commands of kind {command.kind}")


def _written(command: AnyCommand, without: set[str]) -> dict[str, Any]:
    return command.model_dump(mode="json", exclude=without, exclude_none=True)
