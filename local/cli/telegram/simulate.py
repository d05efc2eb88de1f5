"""`signalbox telegram simulate`: the bot in a terminal. A number presses a button of the newest answer."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO

from typing_extensions import override

from local.cli.accounts.command import orders_api
from local.cli.accounts.ledger import ledger
from local.cli.library.command import library_client
from local.cli.stage import announce, stage_of
from local.cli.telegram.ledger import OperatorLedger
from local.settings import Settings
from signalbox.access import Role
from signalbox.adapters.charts.painter import MatplotlibPainter
from signalbox.chat.bot.bot import Bot
from signalbox.chat.bot.confirmation import Confirmations
from signalbox.chat.bot.conversation import Answer, Button, ButtonPress, ChatMessage
from signalbox.chat.bot.ports import BotLedger, PendingCommand, PendingCommands
from signalbox.wire import in_one_line

USER: Final = 1  # the person at this terminal
CHAT: Final = 1
PROMPT: Final = "you> "


class KeptCommands(PendingCommands):
    """PendingCommands in the memory of this process."""

    def __init__(self) -> None:
        self._kept: dict[str, PendingCommand] = {}
        self._taken: dict[str, int] = {}  # by which press

    @override
    def put(self, pending: PendingCommand) -> None:
        self._kept.setdefault(pending.token, pending)

    @override
    def put_again(self, pending: PendingCommand) -> None:
        self._kept[pending.token] = pending
        self._taken.pop(pending.token, None)

    @override
    def get(self, token: str) -> PendingCommand | None:
        return self._kept.get(token)

    @override
    def take(self, token: str, user: int, chat: int, update: int) -> PendingCommand | None:
        found = self._kept.get(token)
        if found is None or not found.is_for(user, chat):
            return None
        if token in self._taken and (not update or self._taken[token] != update):  # the terminal's presses have no number
            return None
        self._taken[token] = update
        return found


def run_simulate(role: Role, stage: str | None, database: str | None, settings: Settings, *, as_json: bool) -> None:
    """Talk until the input ends or Ctrl-C. Raises StageUnclearError, AccountsError, DataError."""
    named = stage_of(stage, settings)
    api = orders_api(named, settings)
    announce(named, api.session)
    with ledger(stage, database, settings) as source:
        if database is not None:  # of a wrong one each answer would say so again; without it a halt has to go out all the same
            with source.snapshot():
                pass
        operators = OperatorLedger(api, source, lambda: library_client(named, settings))
        bot = bot_of(role, operators, named)
        talk(bot, sys.stdin, sys.stdout, as_json=as_json, pictures=settings.state / "charts")


def bot_of(role: Role, ledger: BotLedger, stage: str) -> Bot:
    """Return the bot of the person at this terminal."""

    def role_of(user: int) -> Role | None:
        return role if user == USER else None

    confirmations = Confirmations(role_of, lambda _user: ledger, KeptCommands())
    return Bot(role_of, lambda _user: ledger, confirmations, paint=MatplotlibPainter().paint_prices, stage=stage)


def talk(
    bot: Bot,
    typed: TextIO,
    out: TextIO,
    *,
    as_json: bool = False,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    pictures: Path | None = None,
) -> None:
    """Answer each line of `typed` on `out` until it ends or Ctrl-C. pictures: the folder that charts are written to."""
    buttons: tuple[Button, ...] = ()
    shows_prompt = typed.isatty() and not as_json
    if shows_prompt:
        out.write("Type /help for the commands, a number for a button, Ctrl-D to leave.\n")
    for line in _lines(typed, out if shows_prompt else None):
        at = now()
        pressed = {str(number): one for number, one in enumerate(buttons, start=1)}.get(line)
        if pressed is not None:
            answer = bot.on_button(ButtonPress(USER, CHAT, pressed.data, at))
        else:
            answer = bot.on_message(ChatMessage(USER, CHAT, line, at))
        if answer is not None:
            buttons = answer.buttons
        picture = _kept_picture(answer, at, pictures)
        _show(line, answer, out, as_json=as_json, picture=picture)


def _kept_picture(answer: Answer | None, at: datetime, folder: Path | None) -> Path | None:
    """Write an answer's picture to a file; None without one."""
    if answer is None or answer.picture is None or folder is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"chart-{at:%Y%m%dT%H%M%S%f}.png"
    path.write_bytes(answer.picture)
    return path


def _lines(typed: TextIO, prompt: TextIO | None) -> Iterator[str]:
    while True:
        if prompt is not None:
            prompt.write(PROMPT)
            prompt.flush()
        try:
            line = typed.readline()
        except KeyboardInterrupt:
            line = ""
        if not line:
            if prompt is not None:
                prompt.write("\n")
            return
        if stripped := line.strip():
            yield stripped


def _show(line: str, answer: Answer | None, out: TextIO, *, as_json: bool, picture: Path | None) -> None:
    if as_json:
        parts = [] if answer is None else list(answer.parts)
        labels = [] if answer is None else [one.label for one in answer.buttons]
        drawn = {} if picture is None else {"picture": str(picture)}
        out.write(json.dumps({"typed": line, "parts": parts, "buttons": labels, **drawn}) + "\n")
    elif answer is None:
        out.write("(no answer)\n")
    else:
        for part in answer.parts:
            out.writelines(f"bot> {in_one_line(row)}\n" for row in part.split("\n"))
        if picture is not None:
            out.write(f"  chart: {picture}\n")
        out.writelines(f"  [{number}] {one.label}\n" for number, one in enumerate(answer.buttons, start=1))
    out.flush()
