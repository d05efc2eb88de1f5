"""How long the webhook takes for one update, warm: `python -m tests.bench_webhook [CALLS]`.

The handler with its logger and metrics, over people and a queue in memory: what the network adds is AWS's. Every fifth call is a
stranger's, every tenth has no secret, every twentieth is malformed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import sys
import time
from pathlib import Path

from tests.fakes.lambda_context import FakeLambdaContext
from tests.unit.lambdas.conftest import ENVIRONMENT

HANDLER = Path(__file__).resolve().parents[1] / "lambdas/telegram_webhook/handler.py"


def main(calls: int) -> None:
    """Print the percentiles in milliseconds."""
    os.environ.update({str(name): value for name, value in ENVIRONMENT.items()})  # noqa: TID251 - what the templates give
    os.environ.update(  # noqa: TID251 - as above
        AWS_DEFAULT_REGION="eu-central-1", POWERTOOLS_SERVICE_NAME="bench", POWERTOOLS_METRICS_NAMESPACE="bench"
    )
    spec = importlib.util.spec_from_file_location("bench_handler", HANDLER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    from signalbox.application.telegram_webhook import TelegramWebhook  # noqa: PLC0415 - after the environment
    from tests.unit.chat.bot.test_bot import ANNA  # noqa: PLC0415 - as above
    from tests.unit.lambdas.test_telegram_functions import SECRET, Book, Queue, call, message  # noqa: PLC0415 - as above

    handler = module.make_handler(TelegramWebhook(lambda: SECRET, Book(), Queue()))

    def event(number: int) -> dict[str, object]:
        if number % 20 == 2:
            return call("[" * 5000)
        user = 99 if number % 5 == 0 else ANNA
        return call(message("/status " + "x" * 200, user=user, number=number), None if number % 10 == 1 else SECRET)

    events = [event(number) for number in range(calls)]
    context, taken = FakeLambdaContext(), []
    with contextlib.redirect_stdout(io.StringIO()):
        for one in events:
            started = time.perf_counter()
            handler(one, context)
            taken.append((time.perf_counter() - started) * 1000)
    taken = sorted(taken[calls // 10 :])
    found = {f"p{share}": round(taken[min(int(len(taken) * share / 100), len(taken) - 1)], 3) for share in (50, 95, 99)}
    sys.stderr.write(json.dumps({"calls": len(taken), **found, "max": round(taken[-1], 3)}) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
