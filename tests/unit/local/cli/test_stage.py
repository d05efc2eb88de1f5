"""Which stage is meant, and what is shown before something is changed in AWS."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from boto3.session import Session
from moto import mock_aws

from local.cli.stage import announce, aws_session, stage_of
from local.errors import StageUnclearError
from local.settings import Settings, load_settings
from tests.fakes.http_server import Reply, serving


def settings(tmp_path: Path, **env: str) -> Settings:
    return load_settings({"SIGNALBOX_STATE": str(tmp_path), **env})


def test_what_is_given_goes_before_the_setting_and_that_before_the_running_cloud(tmp_path: Path) -> None:
    (tmp_path / "up").mkdir()
    with serving(lambda _: Reply(200, {})) as cloud:
        (tmp_path / "up" / "ports.json").write_text(json.dumps({"emulator": int(cloud.url.rsplit(":", 1)[1])}))
        assert stage_of("prod", settings(tmp_path, SIGNALBOX_STAGE="dev")) == "prod"
        assert stage_of(None, settings(tmp_path, SIGNALBOX_STAGE="dev")) == "dev"
        assert stage_of(None, settings(tmp_path)) == "local"
    with pytest.raises(StageUnclearError, match=r"--stage local .*--stage dev or --stage prod"):
        stage_of(None, settings(tmp_path))


def test_the_region_is_taken_from_the_variable_that_the_error_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "absent"))
    assert aws_session(settings(tmp_path, AWS_REGION="eu-central-1")).region_name == "eu-central-1"
    with pytest.raises(StageUnclearError, match="set AWS_REGION"):
        aws_session(settings(tmp_path))


def test_account_region_and_stage_are_shown_before_a_change(aws: None, capsys: pytest.CaptureFixture[str]) -> None:
    with mock_aws():
        announce("prod", Session(region_name="eu-central-1"))
        announce("local", Session(region_name="eu-central-1"))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("stage prod, region eu-central-1, account 123456789012, as arn:aws:")


def test_a_halt_waits_for_nobody_and_everything_else_does(
    aws: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(lambda _: Reply(500, {})) as broken:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", broken.url)
        announce("prod", Session(region_name="eu-central-1"), is_urgent=True)
        assert "account unknown" in capsys.readouterr().err
        with pytest.raises(StageUnclearError, match="nothing was changed"):
            announce("prod", Session(region_name="eu-central-1"))
