"""Where `signalbox features verify` takes bars and the ledger from."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from local.cli.features.verification import _finder
from local.settings import load_settings
from signalbox.adapters.lake.lake import Lake
from signalbox.adapters.lake.s3 import S3Store
from signalbox.adapters.lake.stores import FolderStore
from signalbox.market.candles import MarketDataError
from signalbox.market.lake import DayKey, SeriesKey
from tests.builders import BTC, ETH, candles

SETTINGS = load_settings({"AWS_REGION": "eu-central-1"})
KEY = DayKey(SeriesKey("coinbase", BTC), datetime(2024, 3, 1, tzinfo=UTC).date())


def test_bars_come_from_a_bucket_or_a_folder_alike(tmp_path: Path, aws: None) -> None:
    rows = candles(BTC, KEY.end, 1440)
    Lake(FolderStore(tmp_path)).write_day(KEY, rows, asked_until=KEY.end)
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="market", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        Lake(S3Store(client, "market")).write_day(KEY, rows, asked_until=KEY.end)
        bucket, folder = _finder("s3://market/", "coinbase", SETTINGS), _finder(str(tmp_path), "coinbase", SETTINGS)
        stored, local = bucket("coinbase", BTC), folder("coinbase", BTC)
        assert stored is not None
        assert local is not None
        assert stored.bars(KEY.start, KEY.end).close.tolist() == local.bars(KEY.start, KEY.end).close.tolist()
        assert (bucket("coinbase", ETH), folder("coinbase", ETH)) == (None, None)
        assert (bucket("kraken", BTC), folder("kraken", BTC)) == (None, None)
        assert _finder("s3://market", "kraken", SETTINGS)("kraken", BTC) is None


def test_a_folder_without_candles_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MarketDataError, match="expected candles such as"):
        _finder(str(tmp_path), "coinbase", SETTINGS)
