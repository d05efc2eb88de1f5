"""A model leaves the library of one stage as a package and arrives in another's: real ledgers, in their functions' roles."""

from __future__ import annotations

import hashlib
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from local.library.errors import PackageError
from local.library.package import open_package
from local.library.registry import StageModels
from local.library.sharing import make_package, register_package
from signalbox.adapters.postgres.library import PostgresLibrary
from signalbox.contracts import Function, database_user
from signalbox.inference import pack_bundle
from signalbox.inference.manifest import Gate, Verdict
from signalbox.library.entries import EntityKey, EntityKind, VersionEvaluation, VersionKey
from tests.fakes.postgres_server import PostgresServer, app_source
from tests.unit.inference.tiny_bundle import write_bundle
from tests.unit.local.library.signed import KEY, NOW, TRUST, tiny_package

pytestmark = pytest.mark.integration
WRITER = database_user(Function.REGISTER_MODEL)
TINY = VersionKey(EntityKey(EntityKind.MODEL, "tiny"), 1)


def test_a_model_goes_from_stage_to_stage(postgres: PostgresServer, database: str, tmp_path: Path) -> None:
    elsewhere = postgres.create_database()
    try:
        with (
            mock_aws(),
            app_source(postgres, database, user=WRITER) as writer,
            app_source(postgres, elsewhere, user=WRITER) as other,
        ):
            client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
            for bucket in ("models", "others"):
                client.create_bucket(Bucket=bucket)
            ours, theirs = StageModels(writer, client, "models"), StageModels(other, client, "others")
            first = open_package(tiny_package(), TRUST)
            (one,) = register_package(first, library=PostgresLibrary(writer), artifacts=ours, now=NOW)
            assert (one.version, one.new) == (TINY, True)
            with PostgresLibrary(writer).transaction() as tx:
                assert tx.lifecycle(TINY) is not None  # so it can be approved and deployed
            (again,) = register_package(first, library=PostgresLibrary(writer), artifacts=ours, now=NOW)
            assert (again.version, again.new) == (TINY, False)
            judged = VersionEvaluation("job-2", NOW, False, "judged again", dict.fromkeys(Gate, Verdict.FAIL), '{"a": 1}')
            with PostgresLibrary(writer).transaction() as tx:
                tx.add_evaluation(TINY, judged)
            assert ours.names() == ["tiny"]
            (newest,) = ours.versions("tiny", None, tmp_path / "newest")
            versions = ours.versions("tiny", 1, tmp_path / "first")
            assert [newest.number, versions[0].number] == [1, 1]
            with pytest.raises(PackageError, match="no version 2 of tiny"):
                ours.versions("tiny", 2, tmp_path)
            _, content = make_package(versions, KEY, NOW)
            package = open_package(content, TRUST)
            (arrived,) = register_package(package, library=PostgresLibrary(other), artifacts=theirs, now=NOW)
            assert arrived.new
            (back,) = StageModels(other, client, "others").versions("tiny", 1, tmp_path / "back")
            assert pack_bundle(back.folder) == pack_bundle(write_bundle(tmp_path / "tiny"))
            assert back.evaluations == (judged,)
            assert sorted(entity.kind for entity, _ in back.depends_on) == [EntityKind.DATASET, EntityKind.FEATURE_SET]
            sha256 = hashlib.sha256(pack_bundle(back.folder)).hexdigest()
            client.delete_object(Bucket="others", Key=f"bundles/tiny/{sha256}.zip")
            with pytest.raises(PackageError, match="it is not there"):
                theirs.versions("tiny", 1, tmp_path / "gone")
    finally:
        postgres.drop_database(elsewhere)
