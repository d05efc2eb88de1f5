"""The lake in a bucket keeps the folder's promises, and removes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from signalbox.adapters.lake.lake import Lake
from signalbox.adapters.lake.s3 import S3Store
from signalbox.adapters.lake.stores import LakeStorageError
from signalbox.market.compaction import compact
from signalbox.market.lake import DayKey, SeriesKey
from tests.builders import BTC, candles, minutes
from tests.unit.market.test_compaction import Ledger

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TODAY = datetime(2024, 3, 10, tzinfo=UTC)
SERIES = SeriesKey("coinbase", BTC)


@pytest.fixture
def client(aws: None) -> Iterator[S3Client]:
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="market", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        yield s3


def keys(client: S3Client) -> list[str]:
    return [item["Key"] for item in client.list_objects_v2(Bucket="market").get("Contents", [])]


def test_days_are_compacted_into_the_bucket_and_read_back(client: S3Client) -> None:
    lake, ledger = Lake(S3Store(client, "market")), Ledger(*candles(BTC, TODAY, 2000))
    report = compact(TODAY + minutes(20), ("coinbase",), (BTC,), ledger=ledger, lake=lake)
    assert keys(client) == [day.key.path for day in report.days]
    assert lake.days() == lake.days(SERIES) == tuple(day.key for day in report.days)
    got = lake.read(SERIES, TODAY - minutes(90), TODAY - minutes(30))
    assert len(got.bars) == 60
    assert not any(day.changed for day in compact(TODAY + minutes(20), ("coinbase",), (BTC,), ledger=ledger, lake=lake).days)


def test_a_bad_object_is_quarantined_with_a_report_and_replaced_by_compaction(
    client: S3Client, caplog: pytest.LogCaptureFixture
) -> None:
    lake, ledger = Lake(S3Store(client, "market")), Ledger(*candles(BTC, TODAY, 1440))
    compact(TODAY + minutes(20), ("coinbase",), (BTC,), ledger=ledger, lake=lake)
    path = DayKey(SERIES, (TODAY - minutes(1)).date()).path
    client.put_object(Bucket="market", Key=path, Body=b"no more")
    assert len(lake.read(SERIES).bad_days) == 1
    (day,) = compact(TODAY + minutes(20), ("coinbase",), (BTC,), ledger=ledger, lake=lake).days
    assert (day.fault, day.changed) == ("UNREADABLE", True)
    assert lake.read(SERIES).bad_days == ()
    copy, report = sorted(set(keys(client)) - {path}, key=lambda key: key.endswith(".json"))
    assert client.get_object(Bucket="market", Key=copy)["Body"].read() == b"no more"
    assert json.loads(client.get_object(Bucket="market", Key=report)["Body"].read())["fault"] == "UNREADABLE"


def test_a_bucket_that_refuses_is_one_error_with_the_object(client: S3Client) -> None:
    with pytest.raises(LakeStorageError, match="cannot read s3://nowhere/candles/venue="):
        Lake(S3Store(client, "nowhere")).read_day(DayKey(SERIES, TODAY.date()))
    with pytest.raises(LakeStorageError, match="cannot list"):
        Lake(S3Store(client, "nowhere")).days()
