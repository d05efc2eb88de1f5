"""Buckets: versioned, encrypted, TLS only, never public, with access logs and a lifecycle."""

from __future__ import annotations

from aws_cdk import Duration, RemovalPolicy, aws_s3
from constructs import Construct

from cdk.constructs.acknowledge import acknowledge

_OLD_VERSION_DAYS = 90
_REMOVED_DAYS = 7  # of what has gone by its age, and of what was replaced or removed before
_TIERED_AFTER_DAYS = 30


def _private_bucket(
    scope: Construct,
    *,
    removal: RemovalPolicy,
    emptied: bool,
    lifecycle: aws_s3.LifecycleRule,
    access_logs: aws_s3.IBucket | None = None,
    log_prefix: str | None = None,
) -> aws_s3.Bucket:
    """Return a bucket of `scope`. emptied: delete its contents, old versions too, when it is removed."""
    return aws_s3.Bucket(
        scope,
        "Bucket",
        versioned=True,
        encryption=aws_s3.BucketEncryption.S3_MANAGED,
        enforce_ssl=True,
        block_public_access=aws_s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=aws_s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        removal_policy=removal,
        auto_delete_objects=True if emptied else None,
        server_access_logs_bucket=access_logs,
        server_access_logs_prefix=log_prefix,
        lifecycle_rules=[lifecycle],
    )


class LogsBucket(Construct):
    """Receives the access logs of the other buckets."""

    def __init__(self, scope: Construct, construct_id: str, *, removal: RemovalPolicy, emptied: bool) -> None:
        """emptied: delete all objects and versions before the bucket is removed."""
        super().__init__(scope, construct_id)
        rule = aws_s3.LifecycleRule(
            id="expire",
            expiration=Duration.days(365),
            noncurrent_version_expiration=Duration.days(1),
            abort_incomplete_multipart_upload_after=Duration.days(1),
        )
        self.bucket = _private_bucket(self, removal=removal, emptied=emptied, lifecycle=rule)
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
        kept_days: int | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        tiers = aws_s3.Transition(
            storage_class=aws_s3.StorageClass.INTELLIGENT_TIERING, transition_after=Duration.days(_TIERED_AFTER_DAYS)
        )
        rule = aws_s3.LifecycleRule(
            id="age",
            transitions=[tiers] if kept_days is None else None,
            expiration=None if kept_days is None else Duration.days(kept_days),
            noncurrent_version_expiration=Duration.days(_OLD_VERSION_DAYS if kept_days is None else _REMOVED_DAYS),
            abort_incomplete_multipart_upload_after=Duration.days(1),
        )
        self.bucket = _private_bucket(
            self,
            removal=removal,
            emptied=emptied,
            lifecycle=rule,
            access_logs=access_logs.bucket,
            log_prefix=f"s3/{construct_id}/",
        )
