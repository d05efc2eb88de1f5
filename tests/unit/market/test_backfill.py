from pathlib import Path

from signalbox.contracts import BACKFILL_MINUTES
from signalbox.features import SCHEMAS
from signalbox.inference import Ensemble, read_manifest
from tests.unit.inference.tiny_bundle import write_window_bundle

LONGEST_WINDOW = 60  # bars, of the configurations that train members of windows


def test_a_first_backfill_covers_every_schema_plus_two_hours_for_gaps() -> None:
    assert max(schema.history_bars for schema in SCHEMAS.values()) + 120 <= BACKFILL_MINUTES


def test_a_start_from_nothing_collects_what_windows_of_an_hour_need_on_every_schema(tmp_path: Path) -> None:
    manifest = read_manifest(write_window_bundle(tmp_path / "b", {1: LONGEST_WINDOW}))
    for schema in SCHEMAS.values():
        needed = Ensemble(manifest, schema, ()).history_bars
        assert needed == schema.history_bars + LONGEST_WINDOW - 1
        assert needed + 120 <= BACKFILL_MINUTES
