"""A local cloud whose emulator was killed: its buckets are still there, and of everything else it knows nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from local.cloud.assembly import read_stacks
from local.cloud.deploy import deploy
from local.cloud.emulator import Emulator
from local.settings import load_settings
from tests.unit.local.cloud.test_assembly_and_deploy import ENDPOINTS, write_assembly

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def test_a_killed_emulator_is_deployed_to_again(tmp_path: Path) -> None:
    assembly = write_assembly(tmp_path / "assembly", {"data": []})
    template = {"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}
    (assembly / "data.template.json").write_text(json.dumps(template))
    for _ in range(2):
        emulator = Emulator(load_settings(), tmp_path / "aws", persistent=True)
        emulator.start()
        try:
            deploy(emulator, read_stacks(assembly), ENDPOINTS)
        finally:
            emulator.stop()
        assert any((tmp_path / "aws" / "s3").iterdir())
        shutil.rmtree(tmp_path / "aws" / "state")  # what it writes at its end, and a killed one does not
