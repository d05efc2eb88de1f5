"""What each command does, in the language of whoever asks: for /help and for the menus. English is the registry's own."""

from __future__ import annotations

from signalbox.access import Role
from signalbox.chat.bot.registry import COMMANDS, BotCommand
from signalbox.chat.bot.words import ENGLISH, BotWords, texts_in


def help_of(command: BotCommand, language: str) -> str:
    """Return what a command does."""
    return command.help if language == ENGLISH else texts_in(language)[f"command.{command.name}"]


def help_text(role: Role, language: str = ENGLISH) -> str:
    """Return the commands that a role may give. language: of `known_language`."""
    lines = [f"{one.usage}: {help_of(one, language)}" for one in COMMANDS if role.includes(one.role)]
    return "\n".join([BotWords(language).say("help.headline", role=role.value), *lines])
