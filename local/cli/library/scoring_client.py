"""`signalbox library score`: scores of the model that serves on a stage, asked with the caller's own AWS identity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from local.cli.accounts.command import OrdersApi, session_of, show
from local.cli.rows import print_rows
from local.cli.stage import stage_of
from local.cli.stage_outputs import required_outputs
from local.settings import load_settings
from signalbox.contracts import StackOutput

_COLUMNS: Final = ("symbol", "direction", "tier", "probability_up", "decided_at", "refused", "detail")


def run_score(symbols: Sequence[str], at: datetime | None, stage: str | None, *, as_json: bool) -> None:
    """Ask and print. Raises AccountsError with what the stage says is wrong."""
    settings = load_settings()
    named = stage_of(stage, settings)
    session, via = session_of(named, settings)
    (url,) = required_outputs(session, named, (StackOutput.SCORING_API_URL,), endpoint=via)
    body = {"symbols": list(dict.fromkeys(symbols)), **({} if at is None else {"at": at.isoformat()})}
    found = OrdersApi(url.rstrip("/"), session, session.region_name, via).call("POST", "/score", body)
    if as_json:
        show(found, lambda _: "", as_json=True)
        return
    about = {key: found[key] for key in ("model", "deployment", "schema_name", "horizon_minutes")}
    print(", ".join(f"{key.replace('_', ' ')} {value}" for key, value in about.items()))
    print_rows("scores", [_row(one) for one in found["scores"]], about, as_json=False)


def _row(one: Mapping[str, Any]) -> dict[str, Any]:
    row = {key: one.get(key) for key in _COLUMNS}
    if (probability := row["probability_up"]) is not None:
        row["probability_up"] = f"{probability:.4f}"
    row["decided_at"] = None if row["decided_at"] is None else str(row["decided_at"])[:16]
    return row
