"""publish_reports: time from the event, a failure that is seen after the others were written, a bucket that holds the files."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from types import ModuleType

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from signalbox.adapters.aws.report_store import ReportStoreError, S3ReportStore
from signalbox.bootstrap.settings import PublishReportsSettings
from signalbox.reports.measurement import Unmeasured
from signalbox.reports.publishing import PublishError, PublishFailure, PublishRun
from signalbox.reports.source import Publication
from tests.fakes.lambda_context import FakeLambdaContext

EVENT = {"job": "publish_reports", "scheduled_at": "2024-03-02T01:40:00Z"}
AT = datetime(2024, 3, 2, 1, 40, tzinfo=UTC)
FILE = Publication("reports/account=a/period=2024-03-01/kind=pnl.csv", "a", "2024-03-01", "pnl", "0" * 64, 10, AT, AT, 7)
LEFT_OUT = Unmeasured("o" * 32, "BTC-USD", "no candle")


def test_the_scheduled_instant_is_the_clock_and_files_are_counted(load: Callable[[str], ModuleType]) -> None:
    asked: list[datetime] = []

    def run(at: datetime) -> PublishRun:
        asked.append(at)
        return PublishRun((FILE, FILE), 1, 3, (LEFT_OUT,), ())

    answer = load("publish_reports").make_handler(run)(EVENT, FakeLambdaContext())
    assert asked == [AT]
    assert answer == {"files": 2, "changed": 1, "measured": 3, "unmeasured": 1}


def test_a_report_that_was_not_published_fails_the_run_after_the_others(
    load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    failed = PublishRun((FILE,), 1, 0, (), (PublishFailure("a", "tax of 2024-03-01", "0 and 1 differ"),))
    with pytest.raises(PublishError, match="1 reports were not published, first a tax of 2024-03-01: 0 and 1 differ"):
        load("publish_reports").make_handler(lambda _: failed)(EVENT, FakeLambdaContext())
    assert '"ReportsPublished":[1.0]' in capsys.readouterr().out.replace(" ", "")


def test_settings_are_read_from_the_templates_names(environment: dict[str, str]) -> None:
    assert PublishReportsSettings.read().reports_bucket == "reports"


@pytest.mark.usefixtures("aws")
def test_a_report_put_twice_is_the_same_file() -> None:
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="reports", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        store = S3ReportStore(client, "reports")
        for _ in range(2):
            store.put(FILE.path, b"a,b\r\n", "text/csv; charset=utf-8")
        (only,) = client.list_objects_v2(Bucket="reports")["Contents"]
        found = client.get_object(Bucket="reports", Key=only["Key"])
        assert (only["Key"], found["Body"].read(), found["ContentType"]) == (FILE.path, b"a,b\r\n", "text/csv; charset=utf-8")


@pytest.mark.usefixtures("aws")
def test_a_bucket_that_does_not_take_a_report_is_named() -> None:
    client = boto3.client("s3")
    with Stubber(client) as stub:
        stub.add_client_error("put_object", "AccessDenied")
        with pytest.raises(ReportStoreError, match="cannot write s3://reports/reports/account=a"):
            S3ReportStore(client, "reports").put(FILE.path, b"", "text/csv")
