"""The deployed publish_reports: a night's reports lie in the bucket; each account's summary is sent once in the morning."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from local.cli.report.command import run_report
from local.cloud.processes import wait_until
from local.settings import load_settings
from signalbox.contracts import DATABASE_NAME, READER_DATABASE_USER, SUMMARY_JOB, Function, StackOutput
from tests.csv_text import read_csv
from tests.e2e.conftest import Market

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
ACCOUNT = "ftmo-2step-100k"


def test_a_night_publishes_the_reports_of_the_local_account(market: Market, tmp_path: Path) -> None:
    at = market.cycle()
    market.cloud.watch.until_traded(at, seconds=60)
    market.quiet()
    cloud = market.cloud
    night = datetime.combine(at.date() + timedelta(days=1), time(1, 40), at.tzinfo)
    schedule = cloud.schedule_of(Function.PUBLISH_REPORTS)
    firing = cloud.clock.fire(schedule, night)
    assert firing.error is None
    assert firing.answer["files"] == 10
    again = cloud.clock.fire(schedule, night)
    assert (again.answer["changed"], again.answer["measured"]) == (0, 0)

    s3, bucket = cloud.emulator.client("s3"), cloud.outputs[StackOutput.REPORTS_BUCKET]
    folder = f"reports/account={ACCOUNT}/period={at.date()}"
    keys = sorted(item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix=folder)["Contents"])
    assert keys == sorted(
        f"{folder}/kind={k}.{e}" for k in ("blotter", "compliance", "pnl", "quality", "tax") for e in ("csv", "html")
    )
    published = {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}
    columns, rows = read_csv(published[f"{folder}/kind=pnl.csv"].decode())
    total = next(row for row in rows if row[columns.index("row")] == "total")
    assert total[columns.index("transfers")] in {"0", "100000"}  # the account was opened on this day or before

    database = f"host={cloud.postgres.socket_folder} dbname={DATABASE_NAME} user={READER_DATABASE_USER}"
    facts: dict[str, Any] = {"zone": None, "database": database, "json_output": True, "settings": load_settings({}), "now": night}
    assert run_report(ACCOUNT, at.date().isoformat(), "all", tmp_path, **facts) == 0
    for key, content in published.items():
        assert (tmp_path / key.removeprefix("reports/")).read_bytes() == content, key


def test_each_account_gets_one_summary_in_the_morning_with_its_chart(market: Market) -> None:
    at = market.cycle()
    market.cloud.watch.until_traded(at, seconds=60)
    market.quiet()
    cloud = market.cloud
    morning = datetime.combine(at.date() + timedelta(days=1), time(6), at.tzinfo)
    (schedule,) = (one for one in cloud.clock.schedules if one.job == SUMMARY_JOB)
    headline = f"{ACCOUNT} (paper): {at.date()}"
    firing = cloud.clock.fire(schedule, morning)
    assert firing.error is None
    assert firing.answer["new"] >= 1
    wait_until(lambda: any(headline in text for text in market.texts()) or None, what="the summary", seconds=60)
    assert cloud.clock.fire(schedule, morning).answer == {"new": 0}
    market.quiet()
    (sent,) = (message for message in cloud.telegram.messages if headline in message.text)
    assert "Equity " in sent.text
