"""The release of a stage: the version of each function that its alias points to, the version before, and the rollback.

All functions go back together, since functions of one release are only tested with each other. Decision 0104.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from local.errors import DeployError
from signalbox.contracts import LIVE_ALIAS, PRODUCT, Function, function_name
from signalbox.wire import WireError, parse_object

WATCHED: Final = timedelta(minutes=15)  # three cycles
POLL_SECONDS: Final = 20.0
_VERSION: Final = re.compile(r"[1-9][0-9]{0,17}")  # $LATEST is whatever somebody uploads next
_ABSENT: Final = ("ResourceNotFoundException", "ParameterNotFound")


@dataclass(frozen=True, slots=True)
class Release:
    """The aliases of a stage's functions. session: boto3's; endpoint: of the local cloud. Raises DeployError."""

    session: Any
    stage: str
    endpoint: str | None = None
    wait: Callable[[float], None] = time.sleep

    def versions(self) -> dict[str, str]:
        """Return the version that each function's alias points to; a function that is not deployed is left out."""
        client, found = self._client("lambda"), {}
        for function in Function:
            name = function_name(self.stage, function)
            with _reported(f"{function}: its alias cannot be read"):
                alias = _if_there(partial(client.get_alias, FunctionName=name, Name=LIVE_ALIAS))
            if alias is not None:
                found[function.value] = str(alias["FunctionVersion"])
        return found

    def remember(self) -> None:
        """Record the versions that the aliases point to, for `back` to restore. Call it before a deployment changes them.

        A deployment repeated after an interruption finds some aliases on the new release already. For those the earlier record is
        kept, because otherwise `back` would lead to the new release.
        """
        now = self.versions()
        if not now:
            return  # a first deployment has nothing to go back to
        before = self._remembered()
        under_way = self._marked()
        kept = {name: before.get(name, version) for name, version in now.items()} if under_way else now
        self._write("previous", json.dumps(kept))
        self._write("under-way", "yes")

    def succeeded(self) -> None:
        """Note that a deployment has succeeded, so that the next one records its own versions to go back to."""
        self._write("under-way", "no")

    def is_second(self) -> bool:
        """Whether there is a release to go back to."""
        return bool(self._remembered())

    def back(self) -> dict[str, tuple[str, str]]:
        """Point the aliases to the recorded versions. Return the old and new version of each alias that changed.

        Raises DeployError if nothing was recorded, or a version is gone; then no alias has moved, or the command can be
        repeated.
        """
        before, now = self._remembered(), self.versions()
        if not before:
            raise DeployError(f"stage {self.stage}: no previous release is recorded; there is nothing to go back to")
        client = self._client("lambda")
        moves = {name: (now[name], version) for name, version in before.items() if name in now and now[name] != version}
        for name, (_, version) in moves.items():  # every version first: half a release is worse than the wrong one
            self._require_version(client, name, version)
        for name, (_, version) in moves.items():
            with _reported(f"{name}: its alias could not be moved to version {version}", then="; repeat the command"):
                client.update_alias(
                    FunctionName=function_name(self.stage, Function(name)), Name=LIVE_ALIAS, FunctionVersion=version
                )
        return moves

    def ringing(self) -> frozenset[str]:
        """Return the names of the stage's alarms that are in the state ALARM."""
        with _reported(f"the alarms of stage {self.stage} cannot be read"):
            pages = (
                self._client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{PRODUCT}-{self.stage}-")
            )
            return frozenset(
                alarm["AlarmName"] for page in pages for alarm in page["MetricAlarms"] if alarm["StateValue"] == "ALARM"
            )

    def watch(self, before: frozenset[str], say: Callable[[str], None]) -> frozenset[str]:
        """Watch the alarms for three cycles. Return early, with the new alarms, once any goes off that is not in `before`."""
        say(f"watching the alarms for {WATCHED // timedelta(minutes=1)} minutes; one that begins to ring takes the release back")
        for _ in range(int(WATCHED.total_seconds() / POLL_SECONDS)):
            self.wait(POLL_SECONDS)
            if new := self.ringing() - before:
                return new
        return frozenset()

    def _require_version(self, client: Any, name: str, version: str) -> None:
        with _reported(f"{name}: version {version} cannot be used, so no function was moved"):
            client.get_function_configuration(FunctionName=function_name(self.stage, Function(name)), Qualifier=version)

    def _client(self, service: str) -> Any:
        return self.session.client(service, endpoint_url=self.endpoint)

    def _parameter(self, what: str) -> str:
        return f"/{PRODUCT}/{self.stage}/release/{what}"

    def _read(self, what: str) -> str | None:
        with _reported(f"{self._parameter(what)} cannot be read"):
            found = _if_there(partial(self._client("ssm").get_parameter, Name=self._parameter(what)))
        return None if found is None else str(found["Parameter"]["Value"])

    def _write(self, what: str, value: str) -> None:
        with _reported(f"{self._parameter(what)} cannot be written"):
            self._client("ssm").put_parameter(Name=self._parameter(what), Value=value, Type="String", Overwrite=True)

    def _marked(self) -> bool:
        return self._read("under-way") == "yes"

    def _remembered(self) -> Mapping[str, str]:
        text = self._read("previous")
        if text is None:
            return {}
        try:
            found = parse_object(text)
        except WireError as error:
            raise DeployError(f"{self._parameter('previous')}: {error}") from error
        ours = {one.value for one in Function}
        kept = {name: version for name, version in found.items() if name in ours}
        if odd := [name for name, version in kept.items() if not isinstance(version, str) or not _VERSION.fullmatch(version)]:
            raise DeployError(f"{self._parameter('previous')}: {odd[0]}: expected the number of a version, got something else")
        return kept


@contextmanager
def _reported(what: str, then: str = "") -> Iterator[None]:
    """Turn an error of the AWS library into a DeployError that says what could not be done."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise DeployError(f"{what}: {error}{then}") from error


def _if_there(ask: Callable[[], Any]) -> Any:
    """Return AWS's answer, or None if the resource does not exist."""
    try:
        return ask()
    except ClientError as error:
        if error.response["Error"]["Code"] in _ABSENT:
            return None
        raise
