"""The templates pass cfn-lint and cdk-nag, and what is accepted has a reason."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from aws_cdk import App, Stack, aws_sqs

from cdk.composition import check_rules
from cdk.stage import stage_from_context
from tests.infrastructure.assembly import Assembly
from tests.infrastructure.conftest import RECIPIENT

pytestmark = pytest.mark.infra

IGNORED = "W3005"  # a DependsOn that a GetAtt implies: the CDK writes them for roles


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_templates_are_clean_for_cfn_lint(assemblies: dict[str, Assembly], stage: str) -> None:
    templates = [str(path) for path in sorted(assemblies[stage].folder.glob("*.template.json"))]
    command = [
        str(Path(sys.executable).with_name("cfn-lint")),
        "--ignore-checks",
        IGNORED,
        "--regions",
        "eu-central-1",
        "us-east-1",
    ]
    done = subprocess.run([*command, "--template", *templates], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_finding_nobody_acknowledged_stops_the_synth(tmp_path: Path) -> None:
    app = App(outdir=str(tmp_path))
    aws_sqs.Queue(Stack(app, "careless"), "Queue")
    check_rules(app)
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        app.synth()
    report = json.loads((tmp_path / "validation-report.json").read_text())
    assert "AwsSolutions-SQS4" in json.dumps(report)


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_cdk_nag_finds_nothing_unacknowledged(assemblies: dict[str, Assembly], stage: str) -> None:
    assert stage_from_context(
        {"stage": stage, "alarm_emails": RECIPIENT}
    ).check_rules  # a finding would have stopped the synth, as above
    report = json.loads((assemblies[stage].folder / "validation-report.json").read_text())
    assert report["pluginReports"] == []
