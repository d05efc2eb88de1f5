"""publish_reports: time from the event, a failure that is seen after the others were written, a bucket that holds the files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
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
from signalbox.reports.summaries import SummaryRun
from tests.fakes.lambda_context import FakeLambdaContext

EVENT = {"job": "publish_reports", "scheduled_at": "2024-03-02T01:40:00Z"}
AT = datetime(2024, 3, 2, 1, 40, tzinfo=UTC)
FILE = Publication("reports/account=a/period=2024-03-01/kind=pnl.csv", "a", "2024-03-01", "pnl", "0" * 64, 10, AT, AT, 7)
LEFT_OUT = Unmeasured("o" * 32, "BTC-USD", "no candle")


@dataclass
class Reports:
    """The application: what a night does, what a morning finds, and how often it was sent."""

    publish: Callable[[datetime], PublishRun]
    summaries: SummaryRun = field(default_factory=lambda: SummaryRun(0, ()))
    sent: list[datetime] = field(default_factory=list)
    asked: list[datetime] = field(default_factory=list)

    def summarise(self, at: datetime) -> SummaryRun:
        self.asked.append(at)
        return self.summaries

    def send(self) -> int:
        self.sent += self.asked[-1:]
        return self.summaries.new


def _no_reports(_at: datetime) -> PublishRun:
    raise AssertionError("expected summaries alone")


def test_the_morning_sends_summaries_and_writes_no_report(load: Callable[[str], ModuleType]) -> None:
    app = Reports(_no_reports, SummaryRun(2, ()))
    morning = {"job": "summarise_accounts", "scheduled_at": "2024-03-02T06:00:00Z"}
    answer = load("publish_reports").make_handler(app)(morning, FakeLambdaContext())
    assert (answer, app.asked, app.sent) == ({"new": 2}, [AT.replace(hour=6, minute=0)], app.asked)


def test_an_account_that_cannot_be_summarised_fails_the_run_after_the_others_went(load: Callable[[str], ModuleType]) -> None:
    app = Reports(_no_reports, SummaryRun(1, (PublishFailure("a", "summary of 2024-03-01", "0 and 1 differ"),)))
    morning = {"job": "summarise_accounts", "scheduled_at": "2024-03-02T06:00:00Z"}
    with pytest.raises(PublishError, match="1 reports were not published, first a summary of 2024-03-01: 0 and 1 differ"):
        load("publish_reports").make_handler(app)(morning, FakeLambdaContext())
    assert app.sent == app.asked


def test_the_scheduled_instant_is_the_clock_and_files_are_counted(load: Callable[[str], ModuleType]) -> None:
    asked: list[datetime] = []

    def run(at: datetime) -> PublishRun:
        asked.append(at)
        return PublishRun((FILE, FILE), 1, 3, (LEFT_OUT,), ())

    answer = load("publish_reports").make_handler(Reports(run))(EVENT, FakeLambdaContext())
    assert asked == [AT]
    assert answer == {"files": 2, "changed": 1, "measured": 3, "unmeasured": 1}


def test_a_report_that_was_not_published_fails_the_run_after_the_others(
    load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    failed = PublishRun((FILE,), 1, 0, (), (PublishFailure("a", "tax of 2024-03-01", "0 and 1 differ"),))
    with pytest.raises(PublishError, match="1 reports were not published, first a tax of 2024-03-01: 0 and 1 differ"):
        load("publish_reports").make_handler(Reports(lambda _: failed))(EVENT, FakeLambdaContext())
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
