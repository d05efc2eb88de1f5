"""Decides which stage and AWS account a command uses, by the same rule for all commands.

`--stage`, else the setting `stage` (SIGNALBOX_STAGE, signalbox.toml), else the running local cloud, else an error that lists the
choices. Before a command changes something in AWS, it shows account, region and stage.
"""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Final

from local.errors import StageUnclearError
from local.settings import LOOPBACK, STAGE, Settings

if TYPE_CHECKING:
    from boto3.session import Session

ANSWER_SECONDS: Final = 5.0
CHOICES: Final = "--stage local (a running `signalbox up`), --stage dev or --stage prod (deployed), or SIGNALBOX_STAGE"
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")


def stage_of(given: str | None, settings: Settings) -> str:
    """Return the stage that was given or set, else that of the running local cloud.

    Raises StageUnclearError that lists the choices.
    """
    named = settings.stage if given is None else given  # an empty one is a variable that a script did not set
    if named is not None:
        if _NAME.fullmatch(named) is None:
            raise StageUnclearError(f"--stage: expected lowercase letters, digits and dashes, got {named}")
        return named
    if local_cloud_url(settings) is None:
        raise StageUnclearError(f"no stage is named and no local cloud runs here; give {CHOICES}")
    return STAGE


def local_cloud_url(settings: Settings) -> str | None:
    """Return the address of the running local cloud, or None."""
    try:
        return require_local_cloud(settings)
    except StageUnclearError:
        return None


def require_local_cloud(settings: Settings) -> str:
    """Return the address of the running local cloud. Raises StageUnclearError, which says how to start one."""
    import httpx  # noqa: PLC0415 - a tenth of a second that `--help` need not wait for

    ports = settings.state / "up" / "ports.json"
    try:
        port = int(json.loads(ports.read_text())["emulator"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StageUnclearError(f"no {ports}: no local cloud was started here; run `signalbox up`, or give --stage") from error
    url = f"http://{LOOPBACK}:{port}"
    try:
        httpx.get(f"{url}/_ministack/health", timeout=ANSWER_SECONDS, trust_env=False).raise_for_status()
    except httpx.HTTPError as error:
        raise StageUnclearError(f"nothing answers at {url}; is `signalbox up` running?") from error
    return url


def aws_session(settings: Settings) -> Session:
    """Return the operator's AWS session. Raises StageUnclearError without a region, or for an unknown profile."""
    from boto3.session import Session  # noqa: PLC0415 - heavy
    from botocore.exceptions import ProfileNotFound  # noqa: PLC0415 - as above

    try:
        session = Session(region_name=settings.region, profile_name=settings.profile)
    except ProfileNotFound as error:
        raise StageUnclearError(f"{error}; `aws configure list-profiles` lists the profiles") from error
    if session.region_name is None:
        raise StageUnclearError("no AWS region: set AWS_REGION, for example eu-central-1, or `region` in signalbox.toml")
    return session


def announce(stage: str, session: Session, *, is_urgent: bool = False) -> None:
    """Show account, region and stage on standard error before something changes there. For the local cloud it shows nothing.

    is_urgent: for a halt, which is sent even if the account cannot be identified. Otherwise raises StageUnclearError.
    """
    if stage == STAGE:
        return
    from botocore.config import Config  # noqa: PLC0415 - heavy
    from botocore.exceptions import NoCredentialsError  # noqa: PLC0415 - as above

    from signalbox.wire import in_one_line  # noqa: PLC0415 - as above

    seconds = 2 if is_urgent else ANSWER_SECONDS
    quick = Config(connect_timeout=seconds, read_timeout=seconds, retries={"total_max_attempts": 1})
    try:
        found = session.client("sts", config=quick).get_caller_identity()
        account = f"account {found['Account']}, as {found['Arn']}"
    except NoCredentialsError:
        raise StageUnclearError("no AWS credentials: run `aws configure sso` or set AWS_PROFILE; nothing was changed") from None
    except Exception as error:  # an unparseable answer is no BotoCoreError, and a halt must go out anyway
        if not is_urgent:
            raise StageUnclearError(f"stage {stage}: cannot identify the AWS account, so nothing was changed: {error}") from error
        account = f"account unknown ({in_one_line(str(error))})"
    sys.stderr.write(f"stage {stage}, region {session.region_name}, {account}\n")
