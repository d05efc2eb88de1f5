"""`signalbox telegram setup`, `invite`, `people`, `remove`, `group`: manage a stage's bot with the operator's AWS identity.

Set-up stops at the first thing that is wrong and says what to do about it. It may be run again: each step sets what should be.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from telegram import BotCommand, BotCommandScope, BotCommandScopeAllPrivateChats, BotCommandScopeChat

from local.cli.accounts.command import session_of
from local.cli.stage import announce, stage_of
from local.cli.stage_outputs import stage_outputs
from local.errors import DataError, WorkbenchError
from local.settings import STAGE, Settings
from signalbox.access import Role
from signalbox.adapters.aws.chat_table import DynamoPeople
from signalbox.adapters.telegram.client import DEFAULT_URL, TelegramClient
from signalbox.chat.bot.help_texts import help_of
from signalbox.chat.bot.people import hash_of, new_code
from signalbox.chat.bot.registry import COMMANDS
from signalbox.chat.bot.words import ENGLISH, TRANSLATED
from signalbox.chat.messenger import ChatMovedError, MessengerError, MessengerRefusedError, MessengerUnavailableError
from signalbox.chat.updates import HANDLED
from signalbox.contracts import Function, StackOutput, function_name
from signalbox.wire import WireError, in_one_line, parse_object

LANGUAGES: Final = (ENGLISH, *TRANSLATED)  # English without a code: of everybody whose language has no texts
MENU: Final = 100  # most commands of a menu
MAX_CONNECTIONS: Final = 5


class TelegramSetupError(WorkbenchError):
    """The bot of a stage is not set up; the text says what is wrong and what to do."""


@dataclass(frozen=True)
class StageBot:
    """The parts of a deployed stage that these commands use."""

    outputs: Mapping[str, str]
    client: Callable[[str], Any]

    @property
    def people(self) -> DynamoPeople:
        """The people who may speak to the bot."""
        return DynamoPeople(self.client("dynamodb"), self.outputs[StackOutput.CHAT_TABLE])

    def secret(self, which: StackOutput) -> str:
        """Return the text of a secret. Raises TelegramSetupError."""
        try:
            text = self.client("secretsmanager").get_secret_value(SecretId=self.outputs[which]).get("SecretString", "")
        except (ClientError, BotoCoreError) as error:
            raise TelegramSetupError(f"the secret {self.outputs[which]} cannot be read: {error}") from None
        return str(text)


def stage_bot(stage: str | None, settings: Settings) -> tuple[str, StageBot]:
    """Return a stage's name and bot. Raises StageUnclearError, DeployError."""
    named = stage_of(stage, settings)
    session, url = session_of(named, settings)
    announce(named, session)
    make: Any = session.client  # its overloads name every service
    return named, StageBot(stage_outputs(session, named, endpoint=url), lambda service: make(service, endpoint_url=url))


def run_setup(stage: str | None, settings: Settings, *, as_json: bool) -> None:
    """Set the bot up and print what was done. Raises TelegramSetupError."""
    named, bot = stage_bot(stage, settings)
    api_url = DEFAULT_URL
    if named == STAGE:  # the stand-in's address is in the environment of the function that talks to it
        found = bot.client("lambda").get_function_configuration(FunctionName=function_name(STAGE, Function.TELEGRAM_BOT))
        api_url = found["Environment"]["Variables"]["TELEGRAM_URL"]
    done = set_up(
        bot.secret(StackOutput.TELEGRAM_SECRET_ARN),
        bot.secret(StackOutput.WEBHOOK_SECRET_ARN),
        bot.outputs[StackOutput.WEBHOOK_URL],
        [(one.user, one.role) for one in bot.people.everybody()[0]],
        api_url,
    )
    print(json.dumps({"done": done}) if as_json else "\n".join(done))


def set_up(
    secret: str, webhook_secret: str, webhook_url: str, people: Sequence[tuple[int, Role]], api_url: str = DEFAULT_URL
) -> list[str]:
    """Check the token, set webhook and menus, send a test message; return what was done. Raises TelegramSetupError."""
    try:
        content = parse_object(secret)
    except WireError:
        content = {}
    token, chats = str(content.get("bot_token", "")), [str(one) for one in content.get("chat_ids") or ()]
    if ":" not in token:
        raise TelegramSetupError(
            "the secret has no bot token: send /newbot to @BotFather, then `signalbox secrets set telegram.bot_token`"
        )
    with closing(TelegramClient(token, url=api_url)) as client:
        return _set_up(client, webhook_url, webhook_secret, people, chats)


def _set_up(
    client: TelegramClient, webhook_url: str, webhook_secret: str, people: Sequence[tuple[int, Role]], chats: Sequence[str]
) -> list[str]:
    me = _step(client, client.api.get_me, "the token was refused: it was revoked or mistyped. @BotFather's /token shows it")
    done = [f"token: it belongs to @{me.username}", _webhook_set(client, webhook_url, webhook_secret)]
    done += _menus_set(client, people)
    if not chats:
        done.append("no alerts: the secret names no chat; `signalbox secrets set telegram.chat_ids`")
    for chat in chats:
        _greet(client, chat, len(people))
        done.append(f"test message: sent to {chat}")
    if not people:
        done.append("nobody may give commands yet: `signalbox telegram invite --role owner`")
    return done


def _webhook_set(client: TelegramClient, url: str, secret: str) -> str:
    def set_webhook() -> Any:
        return client.api.set_webhook(url, secret_token=secret, allowed_updates=list(HANDLED), max_connections=MAX_CONNECTIONS)

    _step(client, set_webhook, f"Telegram does not take {url} as a webhook")
    info = _step(client, client.api.get_webhook_info, "the webhook cannot be read back")
    if info.url != url:
        raise TelegramSetupError(
            f"expected Telegram to call {url}, got {info.url or 'no webhook'}: somebody else changed it meanwhile"
        )
    return f"webhook: {url}" + (f" (its last error: {info.last_error_message})" if info.last_error_message else "")


def _menus_set(client: TelegramClient, people: Sequence[tuple[int, Role]]) -> list[str]:
    for_all = BotCommandScopeAllPrivateChats()
    for language in LANGUAGES:
        _step(client, lambda: _set_menu(client, Role.VIEWER, for_all, language), "Telegram refused the menu of commands")  # noqa: B023 - called at once
    done = []
    for user, role in people:
        try:
            for language in LANGUAGES:
                client.call(_set_menu(client, role, BotCommandScopeChat(user), language))
        except MessengerRefusedError:  # who never wrote to the bot has no chat with it
            done.append(f"menu: {user} has no menu of their own yet; they have to send /start to the bot once")
    return [*done, f"menu: {len(menu(Role.VIEWER))} commands, more for operators in their own chats, in {', '.join(LANGUAGES)}"]


def _greet(client: TelegramClient, chat: str, people: int) -> None:
    text = f"Signalbox is connected. This chat gets alerts. People who may give commands: {people}."
    try:
        client.call(client.api.send_message(chat, text))
    except ChatMovedError as error:
        raise TelegramSetupError(f"chat {chat} has the new id {error.new_id}: put it into telegram.chat_ids") from None
    except MessengerRefusedError as error:
        raise TelegramSetupError(
            f"chat {chat} was refused ({error}): open the bot there and send /start, or add it to the group, then try again"
        ) from None
    except MessengerError as error:
        raise TelegramSetupError(f"the test message to chat {chat} was not sent: {error}; try again later") from None


def _set_menu(client: TelegramClient, role: Role, scope: BotCommandScope, language: str) -> Coroutine[Any, Any, bool]:
    return client.api.set_my_commands(menu(role, language), scope=scope, language_code=None if language == ENGLISH else language)


def menu(role: Role, language: str = ENGLISH) -> list[BotCommand]:
    """Return the menu of a role, from the registry."""
    return [BotCommand(one.name, help_of(one, language)[:256]) for one in COMMANDS if role.includes(one.role)][:MENU]


def _step(client: TelegramClient, ask: Callable[[], Any], wrong: str) -> Any:
    try:
        return client.call(ask())
    except MessengerUnavailableError as error:
        raise TelegramSetupError(
            f"Telegram does not answer ({error}): is this machine online? Nothing more was changed"
        ) from None
    except MessengerError as error:
        raise TelegramSetupError(f"{wrong} ({error})") from None


def run_invite(role: Role, stage: str | None, settings: Settings, *, as_json: bool) -> None:
    """Print a code that lets one person in."""
    named, bot = stage_bot(stage, settings)
    code = new_code()
    invitation = bot.people.invite(hash_of(code), role, datetime.now(UTC))
    until = invitation.expires_at
    if as_json:
        print(json.dumps({"code": code, "role": role.value, "expires_at": until.isoformat()}))
        return
    print(
        f"{code}\nSend it to the bot in its own chat before {until:%H:%M} UTC; it works once and makes the sender {role.value}."
    )
    print(f"It gives no role on an account: see `signalbox telegram people --stage {named}` for the number, then")
    print(f"signalbox accounts access grant ACCOUNT telegram:NUMBER {role.value} --stage {named}")


def run_people(stage: str | None, settings: Settings, *, as_json: bool) -> None:
    """Print who may speak to the bot."""
    _, bot = stage_bot(stage, settings)
    people, chats = bot.people.everybody()
    if as_json:
        rows = [{"user": one.user, "role": one.role.value, "name": one.name, "since": one.since.isoformat()} for one in people]
        print(json.dumps({"people": rows, "groups": list(chats)}))
        return
    lines = [f"{one.role.value:<8}  telegram:{one.user}  {in_one_line(one.name)}  since {one.since:%Y-%m-%d}" for one in people]
    lines += [f"group     {chat}" for chat in chats]
    print("\n".join(lines) or "nobody: `signalbox telegram invite --role owner` lets the first one in")


def run_remove(user: int, stage: str | None, settings: Settings) -> None:
    """Remove a person. Raises DataError if they are not listed."""
    named, bot = stage_bot(stage, settings)
    if not bot.people.remove_person(user):
        raise DataError(f"telegram:{user} is not among the people of the bot; `signalbox telegram people` lists them")
    print(f"telegram:{user} can no longer use the bot, in 30 seconds at most. Their roles on accounts stay; take them away with")
    print(f"signalbox accounts access revoke ACCOUNT telegram:{user} --stage {named}")


def run_group(chat: int, stage: str | None, settings: Settings, *, remove: bool) -> None:
    """Let the bot's people use it in a group, or end that. Raises DataError if the group is not listed."""
    _, bot = stage_bot(stage, settings)
    if chat >= 0:
        raise DataError(f"expected the id of a group, which is below 0, got {chat}")
    if remove:
        if not bot.people.remove_chat(chat):
            raise DataError(f"group {chat} is not listed")
        print(f"group {chat} may not use the bot any more")
        return
    bot.people.list_chat(chat)
    print(f"people of the bot may use it in group {chat}")
