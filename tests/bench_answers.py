"""How long an answer of the bot takes on the local cloud, for a person who types: `python -m tests.bench_answers [ROUNDS]`.

From the moment the messenger sends the update to the webhook until the answer is in the chat: webhook, queue, bot, query_ledger,
PostgreSQL, and back. Each command is asked once before, so that what is measured is warm. Commands that change something are
measured to their question with its button, which nobody presses. The newest cycles are of the simulated market.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from datetime import UTC, datetime

from local.cloud.local_cloud import LocalCloud
from local.market.feed import CachedFeed
from local.market.simulator import SimulatedSource
from local.settings import load_settings
from local.stand_ins.telegram import CHAT_ID
from signalbox.chat.bot.registry import COMMANDS
from signalbox.market.clock import CYCLE, cycle_of
from tests.e2e.conftest import Market

YOU, CYCLES, SECONDS = int(CHAT_ID), 3, 60.0
PAUSE = 0.1  # seconds: a person does not type faster
SLOWEST = 2.0


def main(rounds: int) -> int:
    """Print a row a command and one for all, in milliseconds; 1 if one got no answer or p95 of all is above two seconds."""
    settings = load_settings()
    folder = settings.state / "bench" / "answers"
    newest = cycle_of(datetime.now(UTC))
    found: dict[str, list[float]] = {}
    silent: list[str] = []
    try:
        with LocalCloud(settings, folder, CachedFeed(SimulatedSource(7)), now=newest - CYCLES * CYCLE) as cloud:
            market = Market(cloud)
            market.now = newest - CYCLES * CYCLE
            for _ in range(CYCLES):
                market.cycle()
            market.quiet()
            for number in range(rounds + 1):
                for command in COMMANDS:
                    taken = answer_seconds(cloud, command.example)
                    if taken is None:
                        silent.append(command.name)
                    elif number:
                        found.setdefault(command.name, []).append(taken * 1000)
                    time.sleep(PAUSE)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for name, each in sorted(found.items(), key=lambda row: -at_share(row[1], 95)):
        sys.stdout.write(json.dumps({"command": name, **figures(each)}) + "\n")
    everything = [one for each in found.values() for one in each]
    sys.stdout.write(json.dumps({"command": "all", **figures(everything), "unanswered": silent}) + "\n")
    return int(bool(silent) or at_share(everything, 95) > SLOWEST * 1000)


def answer_seconds(cloud: LocalCloud, text: str) -> float | None:
    """Type a command; return the seconds until its answer is in the chat, None if none came."""
    since = len(cloud.telegram.messages)
    started = time.perf_counter()
    status = cloud.telegram.say(YOU, YOU, text)
    if status != 200:
        raise RuntimeError(f"{text}: expected 200 of the webhook, got {status}")
    while time.perf_counter() - started < SECONDS:
        if len(cloud.telegram.messages) > since:
            return time.perf_counter() - started
        time.sleep(0.002)
    return None


def figures(taken: list[float]) -> dict[str, float]:
    """Return count, median, p95 and maximum, in milliseconds."""
    return {
        "n": len(taken),
        "p50": round(at_share(taken, 50)),
        "p95": round(at_share(taken, 95)),
        "max": round(max(taken)),
    }


def at_share(taken: list[float], share: int) -> float:
    """Return the value below which that share of them lies."""
    return sorted(taken)[min(int(len(taken) * share / 100), len(taken) - 1)]


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10))
