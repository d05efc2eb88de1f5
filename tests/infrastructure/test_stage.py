"""The app's context: what it takes and what it refuses. And the two ways to start the app."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from cdk.app import main
from cdk.sources import REPOSITORY, SourceMissingError, SourceTree
from cdk.stage import stage_from_context
from cdk.stage_file import FOLDER, StageError, read_settings, stage_file, stage_names
from signalbox.contracts import Env
from tests.infrastructure.conftest import LOCAL_ENDPOINTS

pytestmark = pytest.mark.infra


def test_stage_is_dev_unless_told() -> None:
    assert stage_from_context({}).name == "dev"


def test_context_overrides_what_an_operator_chooses() -> None:
    stage = stage_from_context(
        {"stage": "prod", "alarm_emails": "ops@example.com", "symbols": "BTC-USD, ETH-USD", "venue": "kraken"}
    )
    assert (stage.alarm_emails, stage.symbols, stage.venue) == (("ops@example.com",), ("BTC-USD", "ETH-USD"), "kraken")


def test_venues_after_the_first_are_fallbacks() -> None:
    stage = stage_from_context({"stage": "prod", "alarm_emails": "ops@example.com", "venue": "coinbase,kraken"})
    assert stage.venues == ("coinbase", "kraken")
    assert (stage.market_environment[Env.VENUE], stage.market_environment[Env.FALLBACK_VENUES]) == ("coinbase", "kraken")


@pytest.mark.parametrize("venue", ["coinbase,coinbase", "coinbase,", "coinbase, kraken", "Coinbase", "a,b,c,d"])
def test_venues_that_cannot_be_are_refused(venue: str) -> None:
    with pytest.raises(StageError, match="venue"):
        stage_from_context({"stage": "prod", "alarm_emails": "ops@example.com", "venue": venue})


def test_unknown_stage_is_refused() -> None:
    with pytest.raises(StageError, match="'test'"):
        stage_from_context({"stage": "test"})


def test_local_stage_needs_its_endpoints() -> None:
    with pytest.raises(StageError, match="database_host"):
        stage_from_context({"stage": "local"})


def test_endpoints_belong_to_the_local_stage_alone() -> None:
    with pytest.raises(StageError, match="local only"):
        stage_from_context({"stage": "dev", "local_endpoints": json.dumps(LOCAL_ENDPOINTS)})


def test_malformed_endpoints_are_refused() -> None:
    with pytest.raises(ValidationError, match="database_port"):
        stage_from_context({"stage": "local", "local_endpoints": json.dumps(LOCAL_ENDPOINTS | {"database_port": 0})})


def test_a_missing_starter_bundle_is_named_with_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(SourceMissingError, match="signalbox train"):
        _ = SourceTree(tmp_path).starter_bundle


@pytest.mark.parametrize("start", [["cdk/app.py"], ["-m", "cdk.app"]])
def test_app_starts_as_a_file_and_as_a_module(start: list[str], tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "CDK_", "JSII_"))}  # noqa: TID251
    environment["CDK_OUTDIR"] = str(tmp_path)
    environment["CDK_CONTEXT_JSON"] = json.dumps({"stage": "local", "local_endpoints": json.dumps(LOCAL_ENDPOINTS)})
    environment["PATH"] = "/nonexistent"  # no node, no git, no docker
    done = subprocess.run([sys.executable, *start], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "manifest.json").exists()


def test_app_tells_an_operator_what_is_wrong_in_one_line() -> None:
    with pytest.raises(SystemExit, match=r"expected stage dev \| local \| prod, got 'test'"):
        main(["-c", "stage=test"])


def _file(folder: Path, change: str) -> Path:
    """Return a copy of prod's file with a line more, before its first."""
    path = folder / "cdk" / "stages" / "prod.toml"
    path.parent.mkdir(parents=True)
    path.write_text(change + "\n" + (FOLDER / "prod.toml").read_text().replace("alarm_emails = []", ""))
    return path


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("alarm_emails = []", r"cdk/stages/prod.toml: expected at least one address in alarm_emails"),
        ("", r"cdk/stages/prod.toml: expected at least one address in alarm_emails"),
        ('alarm_emails = ["nobody"]', r"cdk/stages/prod.toml: alarm_emails.0: .* got 'nobody'"),
        ('alarm_email = "a@b.example"', r"cdk/stages/prod.toml: unknown key alarm_email; known keys: accounts, alarm_emails, "),
        ("training = { spots = true }", r"prod.toml: unknown key training.spots; known keys: config, features_instance, "),
        ('name = "dev"', r"name cannot be set in a stage's file"),
        ("empty_buckets", r"prod.toml is not valid TOML"),
        ('alarm_emails = ["a@b.example"]\nlog_days = "long"\nquick = 1', r"log_days: (.|\n)*unknown key quick"),
    ],
)
def test_what_is_wrong_in_a_stages_file_is_told_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, told: str
) -> None:
    path = _file(tmp_path, line)
    if "log_days" in line:
        path.write_text(path.read_text().replace("\nlog_days = 365", ""))
    monkeypatch.setattr("cdk.stage.stage_file", lambda _: path)
    with pytest.raises(StageError, match=told):
        stage_from_context({"stage": "prod"})


def test_prod_is_not_synthesised_without_somebody_who_is_told() -> None:
    with pytest.raises(SystemExit, match=r"cdk/stages/prod.toml: expected at least one address in alarm_emails"):
        main(["-c", "stage=prod"])


def test_each_stages_file_stands_alone_but_for_who_is_told() -> None:
    for name in stage_names():
        assert "name" not in read_settings(stage_file(name))
    assert stage_from_context({"stage": "prod", "alarm_emails": "a@b.example"}).retain_state
