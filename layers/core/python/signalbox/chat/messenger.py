"""The messenger port: what can be sent to a chat, and what its answers mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from signalbox.chat.styled import StyledText
from signalbox.errors import SignalboxError


class MessengerError(SignalboxError):
    """MessengerError > MessengerBusyError | MessengerUnavailableError | MessengerUnconfirmedError | MessengerRefusedError.

    MessengerRefusedError > ChatMovedError.
    """


class MessengerBusyError(MessengerError):
    """The messenger got too many messages and asks to wait `retry_after` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"the messenger asked to wait {retry_after} s")
        self.retry_after = retry_after


class MessengerUnavailableError(MessengerError):
    """The messenger surely sent nothing: it could not be reached, or it said so."""


class MessengerUnconfirmedError(MessengerError):
    """The message may have arrived: no answer, or none of the messenger itself, after it was handed over."""


class MessengerRefusedError(MessengerError):
    """The messenger will never accept this message: the bot is blocked, the chat is unknown, or the token is wrong."""


class ChatMovedError(MessengerRefusedError):
    """The chat now has another id, under which it accepts the message."""

    def __init__(self, new_id: str) -> None:
        super().__init__(f"the chat has the new id {new_id}")
        self.new_id = new_id


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message, or a photo with the text as its caption. photo: a PNG. reply_to: a message of the same chat."""

    text: StyledText
    photo: bytes | None = None
    silent: bool = False
    reply_to: int | None = None


class Messenger(Protocol):
    """Sends messages to chats."""

    def send(self, chat_id: str, message: OutgoingMessage) -> int | None:
        """Deliver the message and return its id, None if the answer has none. Raises a MessengerError."""
