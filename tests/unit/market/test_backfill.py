from signalbox.contracts import BACKFILL_MINUTES
from signalbox.features import SCHEMAS


def test_a_start_from_nothing_collects_what_every_schema_needs_with_two_hours_to_spare_for_gaps() -> None:
    assert max(schema.history_bars for schema in SCHEMAS.values()) + 120 <= BACKFILL_MINUTES
