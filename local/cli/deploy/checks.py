"""Checks an AWS account before a stage is deployed to it. It only reads; each finding says what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError, ProfileNotFound

from local.errors import WorkbenchError
from signalbox.contracts import PRODUCT, Env

CDK: Final = "aws-cdk@2.1148.1"  # 3.x cannot read this library's assemblies
BOOTSTRAP_PARAMETER: Final = "/cdk-bootstrap/hnb659fds/version"
BOOTSTRAP_VERSION: Final = 6
ENOUGH_EXECUTIONS: Final = 20  # concurrent Lambda executions: the functions, plus two per busy account
_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_INVALID: Final = frozenset({"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch"})


class NotReadyError(WorkbenchError):
    """The AWS account is not ready for the stage; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Target:
    """The account and region that a stage goes to, and the caller's identity."""

    account: str
    region: str
    caller: str


@dataclass(frozen=True, slots=True)
class AccountFinding:
    """A fact about the AWS account. blocks: whether the deployment would fail because of it."""

    text: str
    blocks: bool = False


def target_of(session: Any) -> Target:
    """Return the account and region of the caller's credentials. Raises NotReadyError."""
    region = session.region_name
    if region is None:
        raise NotReadyError("no AWS region: set AWS_REGION, for example eu-central-1")
    try:
        who = session.client("sts").get_caller_identity()
    except NoCredentialsError as error:
        raise NotReadyError("no AWS credentials: run `aws configure sso` or set AWS_PROFILE") from error
    except (NoRegionError, ProfileNotFound) as error:
        raise NotReadyError(f"{error}: correct AWS_PROFILE or AWS_REGION") from error
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in _EXPIRED:
            raise NotReadyError("your AWS credentials have expired: run `aws sso login`, then this command again") from error
        if code in _INVALID:
            raise NotReadyError(f"AWS rejects these credentials ({code}): run `aws configure sso` or correct them") from error
        raise NotReadyError(f"AWS did not accept your credentials: {error}") from error
    except BotoCoreError as error:
        raise NotReadyError(f"AWS cannot be reached in region {region}: {error}") from error
    return Target(str(who["Account"]), str(region), str(who["Arn"]))


def findings(session: Any, target: Target, stage: str) -> tuple[AccountFinding, ...]:
    """Return what blocks a deployment, and what slows it down. Raises NotReadyError if AWS does not answer."""
    try:
        return (*_bootstrap(session, target), *_executions(session), *_stuck(session, stage))
    except (ClientError, BotoCoreError) as error:
        raise NotReadyError(f"cannot check account {target.account}, which needs administrator access: {error}") from error


def require_authorities(templates: Mapping[str, Any], region: str, layer: Path) -> None:
    """Raise NotReadyError if functions verify the database's certificate and their layer lacks the authorities of the region.

    layer: the folder `layers/core` of the repository, which a function finds below /opt.
    """
    for template in templates.values():
        for resource in template["Resources"].values():
            value = resource.get("Properties", {}).get("Environment", {}).get("Variables", {}).get(Env.DATABASE_CA_FILE.value)
            if value is None:
                continue
            path = layer / _text(value, region).removeprefix("/opt/")
            if not path.exists():
                known = ", ".join(sorted(one.stem for one in path.parent.glob("*.pem")))
                raise NotReadyError(
                    f"expected a region whose certificate authorities of RDS are known, got {region}: set"
                    f' database_sslmode = "require" in the file of the stage, which encrypts and does not verify the server,'
                    f" or add {path.name} to {path.parent}; known: {known}"
                )
            return


def _text(value: Any, region: str) -> str:
    """Return a value of a template as text, in a region."""
    if isinstance(value, str):
        return value
    joint, parts = value["Fn::Join"]
    return str(joint).join(region if part == {"Ref": "AWS::Region"} else str(part) for part in parts)


def _bootstrap(session: Any, target: Target) -> Iterator[AccountFinding]:
    command = f"npx {CDK} bootstrap aws://{target.account}/{target.region}"
    ssm = session.client("ssm")
    try:
        version = int(ssm.get_parameter(Name=BOOTSTRAP_PARAMETER)["Parameter"]["Value"])
    except ssm.exceptions.ParameterNotFound:
        yield AccountFinding(f"account and region are not bootstrapped for the CDK: run `{command}`", blocks=True)
        return
    if version < BOOTSTRAP_VERSION:
        yield AccountFinding(f"expected bootstrap version {BOOTSTRAP_VERSION}, got {version}: run `{command}`", blocks=True)


def _executions(session: Any) -> Iterator[AccountFinding]:
    limit = int(session.client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"])
    if limit < ENOUGH_EXECUTIONS:
        yield AccountFinding(
            f"Lambda may run {limit} executions at once in this account, which is enough to start; ask for more with"
            " `aws service-quotas request-service-quota-increase --service-code lambda --quota-code L-B99A9384"
            " --desired-value 100`"
        )


def _stuck(session: Any, stage: str) -> Iterator[AccountFinding]:
    """Find stacks that another deployment is changing, and stacks that must be repaired by hand."""
    for page in session.client("cloudformation").get_paginator("describe_stacks").paginate():
        for stack in page["Stacks"]:
            name, status = stack["StackName"], stack["StackStatus"]
            if not name.startswith(f"{PRODUCT}-{stage}-"):
                continue
            if status.endswith("_IN_PROGRESS"):
                yield AccountFinding(f"{name} is {status}: another deployment is running; wait until it ends", blocks=True)
            elif status in {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"}:
                yield AccountFinding(
                    f"{name} is {status}: delete it (`aws cloudformation delete-stack --stack-name {name}`)", blocks=True
                )
            elif status == "UPDATE_ROLLBACK_FAILED":
                command = f"aws cloudformation continue-update-rollback --stack-name {name}"
                yield AccountFinding(f"{name} is {status}: run `{command}`", blocks=True)
