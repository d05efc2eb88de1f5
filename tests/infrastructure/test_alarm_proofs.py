"""For every alarm, the test that drives a function into the fault and finds what the alarm watches. None may lack one."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest

from signalbox.contracts import Metric
from tests.infrastructure.assembly import Assembly

pytestmark = pytest.mark.infra

TESTS: Final = Path(__file__).resolve().parents[1]
_EXECUTE, _TRADING = "unit/lambdas/test_execute_orders.py", "unit/lambdas/test_trading_handlers.py"
_HANDLERS, _ALARMS = "unit/lambdas/test_handlers.py", "unit/lambdas/test_alarm_metrics.py"
_CHAT = "unit/lambdas/test_telegram_functions.py"
_WRONG = "test_what_went_wrong_with_an_account_is_counted_by_whoever_saw_it"

# By what the alarm watches: a file below tests/, and a test in it. Of silence (missing data breaches) it is the test in which a
# failing function sends nothing.
PROOFS: Final[dict[tuple[str, str], tuple[str, str]]] = {
    **{
        ("Signalbox", metric.value): proof
        for metric, proof in {
            Metric.ACCESS_REFUSED: (_TRADING, "test_what_somebody_may_not_is_counted"),
            Metric.ACCOUNTS_NOT_OPENED: (_ALARMS, "test_a_configured_account_that_is_another_in_the_ledger_is_counted"),
            Metric.ALERTS_UNDELIVERABLE: (_HANDLERS, "test_an_alert_that_has_no_chat_alarms"),
            Metric.ANSWERS_LOST: (_CHAT, "test_a_revoked_token_loses_the_answer_and_alarms"),
            Metric.STRANGERS_IGNORED: (_CHAT, "test_a_stranger_gets_200_and_silence_and_is_counted"),
            Metric.WEBHOOK_REFUSED: (_CHAT, "test_a_call_without_the_secret_is_403_and_counted"),
            Metric.CANDLES_COLLECTED: (_ALARMS, "test_a_venue_that_gives_no_bar_counts_below_one"),
            Metric.CANDLES_CONFLICTING: (_ALARMS, "test_bars_that_changed_after_the_fact_are_counted_each"),
            Metric.CANDLES_REVISED: (_ALARMS, "test_bars_that_changed_after_the_fact_are_counted_each"),
            Metric.CHAT_SETTINGS_REFUSED: (_HANDLERS, "test_settings_that_cannot_be_used_alarm"),
            Metric.CHATS_MOVED: (_HANDLERS, "test_a_move_is_told_by_log_metric_and_message_though_the_message_may_be_lost"),
            Metric.COMMANDS_REFUSED: (_EXECUTE, "test_a_command_that_the_agent_refuses_alarms"),
            Metric.COMMANDS_UNACKNOWLEDGED: (
                _EXECUTE,
                "test_a_command_without_an_answer_alarms_and_one_with_an_answer_does_not",
            ),
            Metric.CYCLE_DURATION: (_ALARMS, "test_a_decided_cycle_is_counted_and_one_that_fails_or_comes_again_is_silence"),
            Metric.ENVELOPES_REFUSED: (_EXECUTE, "test_a_forged_report_is_refused_for_good_and_counted"),
            Metric.EVENTS_REFUSED: (_HANDLERS, "test_a_message_that_is_no_event_is_refused_for_good_and_counted"),
            Metric.EXITS_FAILED: (_ALARMS, _WRONG),
            Metric.FALLBACK_FAILURES: (
                _ALARMS,
                "test_symbols_decided_on_a_fallback_and_a_fallback_that_is_down_are_counted",
            ),
            Metric.FALLBACK_SYMBOLS: (
                _ALARMS,
                "test_symbols_decided_on_a_fallback_and_a_fallback_that_is_down_are_counted",
            ),
            Metric.LAKE_FILES_QUARANTINED: (
                "unit/lambdas/test_compact_candles.py",
                "test_the_scheduled_instant_is_the_clock_and_days_are_counted",
            ),
            Metric.LEDGER_DUMPED: (
                "unit/lambdas/test_backups.py",
                "test_a_dump_that_failed_counts_nothing_and_fails_the_call",
            ),
            Metric.MODEL_REFUSED: (_HANDLERS, "test_refusals_duplicates_and_a_refused_model_are_counted"),
            Metric.OBSERVATIONS_ADDED: (_ALARMS, "test_a_run_without_an_answer_counts_no_observation"),
            Metric.ORDERS_UNCONFIRMED: (_ALARMS, "test_an_order_whose_outcome_is_unknown_is_counted"),
            Metric.OTHERS_AT_VENUE: (_ALARMS, _WRONG),
            Metric.OUTBOX_OLDEST_AGE: (
                _HANDLERS,
                "test_the_age_is_told_before_the_bus_is_asked_and_though_it_cannot_be_reached",
            ),
            Metric.REPORTS_REFUSED: (_TRADING, "test_a_report_of_the_executor_is_believed_and_no_other"),
            Metric.REQUESTS_EXPIRED: (_EXECUTE, "test_an_order_that_came_after_its_time_is_told_and_alarms"),
            Metric.REQUESTS_REFUSED: (_EXECUTE, "test_what_the_ledger_did_not_seal_is_not_sent_alarms_and_holds_nothing_back"),
            Metric.RULES_BREACHED: (_ALARMS, _WRONG),
            Metric.TRADING_HALTS: (_TRADING, "test_events_of_the_bus_are_handled_and_what_they_changed_is_counted"),
            Metric.TRAININGS_FAILED: ("unit/lambdas/test_training_functions.py", "test_a_failed_training_is_counted_as_such"),
            Metric.TURNS_MISSED: (_TRADING, "test_missed_turns_are_told_apart_by_whether_they_come_again"),
            Metric.VENUE_DIFFERENCES: (_ALARMS, _WRONG),
            Metric.VENUE_REFUSALS: (_EXECUTE, "test_an_order_of_an_account_that_has_no_credentials_is_told_and_alarms"),
            Metric.VIEWS_FAILED: (_EXECUTE, "test_a_view_without_credentials_is_dropped_and_counted_and_blocks_nothing"),
        }.items()
    },
    # Lambda and SQS count these themselves: the tests bring about what they count, on the emulator
    ("AWS/Lambda", "Errors"): ("e2e/test_schedules.py", ""),
    ("AWS/Lambda", "Invocations"): ("e2e/test_schedules.py", ""),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): ("e2e/test_queues.py", ""),
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): ("e2e/test_live_account.py", ""),
}
OF_AWS: Final = {"AWS/RDS"}  # counted by RDS of its own machine, which no emulator has: only a real instance can show them


def watched(assembly: Assembly) -> set[tuple[str, str]]:
    return {(a.properties["Namespace"], a.properties["MetricName"]) for a in assembly.resources("AWS::CloudWatch::Alarm")}


def test_every_alarm_has_a_proof_and_every_proof_an_alarm(assemblies: dict[str, Assembly]) -> None:
    found = set().union(*(watched(assembly) for assembly in assemblies.values()))
    assert {one for one in found if one[0] not in OF_AWS} == set(PROOFS)


@pytest.mark.parametrize("watched_", PROOFS, ids=lambda one: one[1])
def test_each_proof_is_a_test_that_looks_at_the_metric(watched_: tuple[str, str]) -> None:
    file, name = PROOFS[watched_]
    text = (TESTS / file).read_text()
    if not name:
        return
    (found,) = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef) and node.name == name)
    first = min([found.lineno, *(decorator.lineno for decorator in found.decorator_list)])
    source = "\n".join(text.splitlines()[first - 1 : found.end_lineno])
    metric = watched_[1]
    assert metric in source or f"Metric.{Metric(metric).name}" in source or "metrics_of(" in source, (
        f"{file}::{name} looks at another"
    )
    assert "assert" in source
