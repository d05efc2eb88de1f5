"""What `signalbox library` prints of challengers and live records."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from local.cli.library.command import print_answer
from signalbox.library.deployments import DeploymentState, Slot
from signalbox.library.entries import EntityKey, EntityKind, VersionKey
from signalbox.library.live_record import LiveDecision, compared_live, live_record
from signalbox.library.views import compared_live_view, deployment_view, live_view, slot_view
from signalbox.signals.signal import DeploymentStage
from tests.fakes.memory_deployments import AT, MemoryDeployments

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)


def decisions(probability: float, days: int) -> list[LiveDecision]:
    return [
        LiveDecision(
            "BTC-USD",
            BEGIN + timedelta(hours=hour),
            "m-v1",
            probability,
            probability > 0.5,
            True,
            Decimal(100),
            Decimal(101 if hour % 3 else 99),
        )
        for hour in range(24 * days)
    ]


def test_history_shows_what_decides_beside_and_its_record(capsys: pytest.CaptureFixture[str]) -> None:
    book = MemoryDeployments()
    served = book.ask(VersionKey(EntityKey(EntityKind.MODEL, "m"), 1), DeploymentStage.SHADOW)
    beside = replace(served, name="m-v2", challenger=True, state=DeploymentState.HEALTHY)
    answer: dict[str, Any] = {
        "history": [],
        "slot": slot_view(Slot(served, None, (beside,))),
        "deployments": [deployment_view(one) for one in (served, beside)],
        "live": [live_view("m-v2", live_record(decisions(0.7, 6), 6.5))],
    }
    print_answer("history", answer, as_json=False)
    shown = capsys.readouterr().out
    assert "beside: m-v2 (m@1" in shown
    assert "m-v2: 144 of 144 decisions settled on 6 days, 144 signals, precision 0.667 (0.667 to 0.667)" in shown
    assert "+26.83 (+26.83 to +26.83) bps a signal after costs of 6.5" in shown


def test_a_live_comparison_is_shown_with_its_evidence_and_what_it_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    found = compared_live(decisions(0.6, 2), decisions(0.66, 2), horizon_minutes=60, costs_bps=None)
    print_answer("compare-live", compared_live_view(("m@1", "m@2"), BEGIN, AT, found), as_json=False)
    shown = capsys.readouterr().out
    assert "m@1 and m@2: 48 decisions of both settled on 2 days since 2026-11-01" in shown
    assert "squared error of m@1 less that of m@2: +0.00440 (no interval: fewer than 5 days)" in shown
    assert "of 48 bets; 20 or more counts" in shown
    assert "after costs" not in shown  # none are stated
    assert asdict(found)["net_bps"] is None
