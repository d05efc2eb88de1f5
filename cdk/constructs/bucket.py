"""Buckets: versioned, encrypted, TLS only, never public, with access logs and a lifecycle."""

from __future__ import annotations

from aws_cdk import Duration, RemovalPolicy, aws_s3
from constructs import Construct

from cdk.constructs.acknowledge import acknowledge

_OLD_VERSION_DAYS = 90


class LogsBucket(Construct):
    """Receives the access logs of the other buckets."""

    def __init__(self, scope: Construct, construct_id: str, *, removal: RemovalPolicy, emptied: bool) -> None:
        """emptied: delete all objects and versions before the bucket is removed."""
        super().__init__(scope, construct_id)
        self.bucket = aws_s3.Bucket(
            self,
            "Bucket",
            versioned=True,
            encryption=aws_s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            block_public_access=aws_s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=aws_s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            removal_policy=removal,
            auto_delete_objects=True if emptied else None,
            lifecycle_rules=[
                aws_s3.LifecycleRule(
                    id="expire",
                    expiration=Duration.days(365),
                    noncurrent_version_expiration=Duration.days(1),
                    abort_incomplete_multipart_upload_after=Duration.days(1),
                )
            ],
        )
        acknowledge(self.bucket, "S1", "It is where access logs go; logging its own accesses would never end.")


class StateBucket(Construct):
    """A bucket for one kind of object. `archive` moves objects older than a month to colder storage."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        removal: RemovalPolicy,
        emptied: bool,
        access_logs: LogsBucket,
        archive: bool = False,
    ) -> None:
        super().__init__(scope, construct_id)
        storage_class = aws_s3.StorageClass.GLACIER_INSTANT_RETRIEVAL if archive else aws_s3.StorageClass.INTELLIGENT_TIERING
        self.bucket = aws_s3.Bucket(
            self,
            "Bucket",
            versioned=True,
            encryption=aws_s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            block_public_access=aws_s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=aws_s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            removal_policy=removal,
            auto_delete_objects=True if emptied else None,
            server_access_logs_bucket=access_logs.bucket,
            server_access_logs_prefix=f"s3/{construct_id}/",
            lifecycle_rules=[
                aws_s3.LifecycleRule(
                    id="age",
                    transitions=[aws_s3.Transition(storage_class=storage_class, transition_after=Duration.days(30))],
                    noncurrent_version_expiration=Duration.days(_OLD_VERSION_DAYS),
                    abort_incomplete_multipart_upload_after=Duration.days(1),
                )
            ],
        )
