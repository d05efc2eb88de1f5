"""The rule document: its hash, its refusals, and that nothing in it is left to a default."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel

from signalbox.observation.errors import ObservationRulesError
from signalbox.observation.rules import MAX_RULES_BYTES, ObservationRules, parse_rules
from tests.unit.observation.samples import START, rules


def leaves(document: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name, value in document.items():
        found += leaves(value, (*path, name)) if isinstance(value, dict) else [(*path, name)]
    return found


LEAVES = leaves(json.loads(rules().text))


def test_text_round_trips_and_its_hash_names_the_observation() -> None:
    one = rules()
    assert parse_rules(one.text) == one
    assert one.sha256 == hashlib.sha256(one.text.encode()).hexdigest()
    assert one.observation == one.sha256[:16]


def test_order_and_spaces_of_a_document_do_not_change_its_id() -> None:
    document = dict(reversed(list(json.loads(rules().text).items())))
    assert parse_rules(json.dumps(document, indent=4)).observation == rules().observation


def test_same_instant_in_another_time_zone_is_the_same_observation() -> None:
    document = json.loads(rules().text)
    found = parse_rules(json.dumps({**document, "starts_at": START.astimezone(ZoneInfo("Europe/Prague")).isoformat()}))
    assert found.observation == rules().observation
    assert f"{found.starts_at:%H:%M}" == "00:00"


CHANGED: dict[str, Any] = {
    "format": None, "model.deployment": "other", "model.bundle_sha256": "b" * 64, "model.symbols": ["BTC-USD"],
    "model.horizon_minutes": 61, "model.evaluated_share": 0.21, "starts_at": "2026-11-02T00:05:00Z", "days": 4, "last_days": 11,
    "claim.gate": "G2", "claim.precision": 0.69, "claim.null_precision": 0.54, "claim.alpha": 0.04, "claim.beta": 0.11,
    "claim.minimum_clusters": 21, "operation.decided_share": 0.99, "operation.rate_factor": 2.1, "operation.parity": 1e-6,
    "operation.stale_decisions": 1, "operation.feature_mismatches": 1, "money.cost_bps": 3.3, "money.cost_factor": 1.6,
    "money.minimum_fills": 21, "money.minimum_expectancy_bps": 0.5,
}  # fmt: skip


@pytest.mark.parametrize("path", LEAVES, ids=".".join)
def test_each_changed_rule_is_another_observation_and_each_missing_one_refused(path: tuple[str, ...]) -> None:
    document = json.loads(rules().text)
    inner = document
    for name in path[:-1]:
        inner = inner[name]
    changed = CHANGED[".".join(path)]
    if changed is not None:
        inner[path[-1]] = changed
        assert parse_rules(json.dumps(document)).observation != rules().observation
    del inner[path[-1]]
    with pytest.raises(ObservationRulesError, match=path[-1]):
        parse_rules(json.dumps(document))


def test_no_rule_has_a_default() -> None:
    def every(model: type[BaseModel]) -> list[str]:
        names = [f"{model.__name__}.{name}" for name, field in model.model_fields.items() if not field.is_required()]
        inner = [f.annotation for f in model.model_fields.values()]
        return names + [n for m in inner if isinstance(m, type) and issubclass(m, BaseModel) for n in every(m)]

    assert every(ObservationRules) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"starts_at": START + timedelta(minutes=1)}, "five-minute boundary"),
        ({"days": 11}, "last_days"),
        ({"claim__null_precision": 0.68}, "null_precision < precision"),
        ({"model__symbols": ("BTC-USD", "BTC-USD")}, "each symbol once"),
        ({"claim__alpha": 0.0}, "alpha"),
        ({"operation__parity": float("nan")}, "parity"),
    ],
)
def test_rules_that_contradict_themselves_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rules(**change)


def test_unknown_field_and_oversized_document_are_refused() -> None:
    with pytest.raises(ObservationRulesError, match="surprise"):
        parse_rules(json.dumps({**json.loads(rules().text), "surprise": 1}))
    with pytest.raises(ObservationRulesError, match=f"at most {MAX_RULES_BYTES} bytes"):
        parse_rules(" " * (MAX_RULES_BYTES + 1))


def test_rules_are_fixed_before_the_observation_begins() -> None:
    rules().require_ahead(START)
    rules().require_ahead(START - timedelta(days=30))
    for now in (START + timedelta(seconds=1), START - timedelta(days=30, seconds=1)):
        with pytest.raises(ObservationRulesError, match="starts_at"):
            rules().require_ahead(now)


def test_slots_are_counted_from_the_start_to_the_last_day() -> None:
    one = rules()
    assert one.slots(START - timedelta(days=1)) == 0
    assert one.slots(START + timedelta(minutes=14)) == 2 * 3
    assert one.slots(one.ends_at) == 5 * 288 * 3
    assert one.slots(one.last_at + timedelta(days=9)) == 10 * 288 * 3
