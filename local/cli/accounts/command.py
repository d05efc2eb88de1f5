"""`signalbox accounts`: an operator's commands to the orders API of a stage, signed with their own AWS identity.

The gateway verifies the signature, so the name in the compliance record is the caller's real identity. The stage `local` is the
running `signalbox up`, whose emulator resolves the key but checks no signature.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from boto3.session import Session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from typing_extensions import override

from local.cli.stage import aws_session, require_local_cloud
from local.cli.stage_outputs import required_outputs
from local.errors import StageUnclearError, WorkbenchError
from local.settings import ACCOUNT, REGION, STAGE, Settings
from signalbox.contracts import StackOutput
from signalbox.library.routes import REQUEST_ID_HEADER
from signalbox.problems import Problem, in_words, read_problem
from signalbox.wire import in_one_line

SECONDS: Final = 40.0  # limit of one request; the function's own limit is 30
UNANSWERED: Final = (
    httpx.codes.TOO_MANY_REQUESTS,
    httpx.codes.INTERNAL_SERVER_ERROR,
    httpx.codes.BAD_GATEWAY,
    httpx.codes.SERVICE_UNAVAILABLE,
    httpx.codes.GATEWAY_TIMEOUT,
)
_OPTIONS: Final = re.compile(r"\b(?:venue_id|request_id)\b")  # fields of a request that are options here
_PATIENCE: Final = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 3, "mode": "standard"})


class AccountsError(WorkbenchError):
    """The orders API could not be reached, or refused the request. `answered`: the problem document it returned, if any."""

    def __init__(self, message: str, answered: Problem | None = None) -> None:
        super().__init__(message)
        self._answered = answered

    @property
    @override
    def problem(self) -> Problem:
        return self._answered or super().problem


class UnansweredError(AccountsError):
    """The outcome of a request is unknown: no answer, a failed function behind the gateway, or throttling (429)."""


@dataclass(frozen=True, slots=True)
class OrdersApi:
    """The orders API of a stage, and the identity for its requests. via: the address to call if it differs from `url`."""

    url: str
    session: Session
    region: str
    via: str | None = None
    kill_switch_url: str = ""  # of the queue that accepts only halts

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Return the answer's JSON. Raises AccountsError with what the API says is wrong."""
        named = {"content-type": "application/json", **(headers or {})}
        content = b"" if body is None else json.dumps(body).encode()
        credentials = self.session.get_credentials()
        if credentials is None:
            raise AccountsError("no AWS credentials: run `aws configure sso` or set AWS_PROFILE")
        signed = AWSRequest(method, f"{self.url}{path}", named, content)
        SigV4Auth(credentials.get_frozen_credentials(), "execute-api", self.region).add_auth(signed)
        request_id = named.get(REQUEST_ID_HEADER, (body or {}).get("request_id"))
        again = "" if request_id is None else f"; repeat the same command with --request-id {request_id}, which is safe"
        try:
            answer = httpx.request(
                method,
                f"{self.via or self.url}{path}",
                headers={**dict(signed.headers.items()), "host": urlsplit(self.url).netloc},
                content=content,
                timeout=SECONDS,
                trust_env=self.via is None,
            )
        except httpx.HTTPError as error:
            raise UnansweredError(f"{self.url} did not answer ({error}){again}") from error
        try:
            found = answer.json()
        except ValueError:
            found = {}
        problem = None if answer.is_success else read_problem(found)
        if problem is not None:
            raise AccountsError(f"{_described(problem)} (HTTP {answer.status_code})", problem)
        if answer.status_code == httpx.codes.FORBIDDEN:
            raise AccountsError(f"your AWS identity may not {method} {path}; it needs execute-api:Invoke on that route")
        if not answer.is_success or not isinstance(found, dict):
            if answer.status_code in UNANSWERED:
                raise UnansweredError(f"{_gateway_message(found)} (HTTP {answer.status_code}){again}")
            raise AccountsError(f"{_gateway_message(found)} (HTTP {answer.status_code})")
        return found

    def halt(self, account: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Halt an account. If the API gives no answer, send the halt through the kill switch's queue, which needs no API.

        Both ways use one request id, so the halt takes effect once. Returns the account, or where the halt was sent. Raises
        AccountsError.
        """
        try:
            return self.call("POST", f"/accounts/{account}/halt", body)
        except UnansweredError as error:
            command = {"kind": "halt", "account": account, "requested_at": datetime.now(UTC).isoformat(), **body}
            try:
                queue = self.session.client("sqs", region_name=self.region, endpoint_url=self.via, config=_PATIENCE)
                queue.send_message(QueueUrl=self.kill_switch_url, MessageBody=json.dumps(command))
            except (BotoCoreError, ClientError) as other:
                raise AccountsError(f"NOT HALTED: {error}; the kill switch's queue failed too: {other}") from other
            return {"account": account, "sent_by": "the kill switch's queue", "request_id": body["request_id"], "api": str(error)}


def _described(problem: Problem) -> str:
    """Return a problem in one line: its wrong values if it names them, and the remedy."""
    what = _OPTIONS.sub(lambda found: f"--{found[0].replace('_', '-')}", in_words(problem.errors) or problem.detail)
    return what if problem.remedy is None or problem.errors else f"{what.rstrip('.')}. {problem.remedy.rstrip('.')}"


def _gateway_message(found: Any) -> str:
    """Return API Gateway's own answer, which is not a problem document."""
    if not isinstance(found, dict):
        return "the API's answer is not a JSON object"
    return str(found.get("message") or "the API gave no reason")


def orders_api(stage: str, settings: Settings) -> OrdersApi:
    """Return the orders API of a deployed stage, or of the running local cloud. Raises AccountsError, DeployError."""
    session, via = session_of(stage, settings)
    outputs = required_outputs(session, stage, (StackOutput.ORDERS_API_URL, StackOutput.KILL_SWITCH_QUEUE_URL), endpoint=via)
    return OrdersApi(outputs[0].rstrip("/"), session, session.region_name, via, outputs[1])


def session_of(stage: str, settings: Settings) -> tuple[Session, str | None]:
    """Return the operator's session for a stage, and the local cloud's address (None in AWS). Raises AccountsError."""
    if stage == STAGE:
        try:
            via = require_local_cloud(settings)
        except StageUnclearError as error:
            raise AccountsError(str(error)) from error
        return Session(aws_access_key_id=ACCOUNT, aws_secret_access_key="local", region_name=REGION), via  # noqa: S106 - the emulator's
    return aws_session(settings), None


def show(found: Mapping[str, Any], render: Callable[[Mapping[str, Any]], str], *, as_json: bool) -> None:
    """Print an answer as one line of JSON, or as text for people in which each foreign text stays on one line."""
    print(json.dumps(found) if as_json else render({key: _on_its_line(value) for key, value in found.items()}))


def _on_its_line(value: Any) -> Any:
    if isinstance(value, str):
        return in_one_line(value)
    if isinstance(value, dict):
        return {key: _on_its_line(inner) for key, inner in value.items()}
    return [_on_its_line(inner) for inner in value] if isinstance(value, list | tuple) else value


def listed_text(found: Mapping[str, Any]) -> str:
    """Return one line per account."""
    lines = [
        f"{one['account']}  {one['mode']} at {one['venue']}  {one['kind']}  {one['capital']} {one['currency']}"
        for one in found["accounts"]
    ]
    return "\n".join(lines) or "no accounts"


def halt_text(found: Mapping[str, Any]) -> str:
    """Return the account, or that the halt was sent through the kill switch's queue."""
    if "sent_by" not in found:
        return account_text(found)
    return (
        f"{found['api']}\nThe halt of {found['account']} was sent through {found['sent_by']} ({found['request_id']}) and takes"
        f" effect within seconds; check it with: signalbox accounts show {found['account']}"
    )


def resumed_text(found: Mapping[str, Any]) -> str:
    """Return an account's state after a resume: whether it may trade, and what still stops it."""
    against = [] if found["halt"] is None else [f"the kill switch is set to {found['halt']['level']}"]
    if (over := found["exhausted"]) is not None:
        against.append(f"{over['left']} is left above our own stop of {over['rule']}, too little for any entry")
    against += [f"entries are locked until {one['until']} ({one['reason']})" for one in found["locks"]]
    stands = f"{found['account']}: the kill switch is released"
    if found["halt"] is not None:
        stands = f"{found['account']}: not resumed"
    text = f"{stands}; {'; '.join(against)}" if against else f"{stands}; new entries are possible again"
    return f"{text}\n{account_text(found)}"


def access_text(found: Mapping[str, Any]) -> str:
    """Return one line per person or program that has a role."""
    lines = [f"{one['role']:<8}  {one['principal']}  since {one['at']}, by {one['who']}" for one in found["access"]]
    return "\n".join(lines) or f"nobody has a role on {found['account']}"


def account_text(found: Mapping[str, Any]) -> str:
    """Return an account as text: money, positions, orders, and what stops it."""
    lines = [
        f"{found['account']}  {found['mode']} at {found['venue']}  {found['kind']}  as of {found['as_of'] or 'never'}",
        f"  cash {found['cash']}  balance {found['balance']}  equity {found['equity'] or 'unknown'} {found['currency']}",
    ]
    lines += [
        f"  {one['rule'].replace('_', ' ')}: {one['remaining']} of {one['amount']} left, broken below an equity of {one['limit']}"
        + (f" from {one['counts_from']}" if one["counts_from"] else "")
        for one in found.get("limits") or ()  # a stage of the version before says nothing of them
    ]
    lines += [f"  holds {one['quantity']} {one['symbol']}" for one in found["positions"]]
    lines += [
        f"  others hold {one['quantity']} {one['symbol']} at the venue: not ours, and in no figure here"
        for one in found["others"]
    ]
    lines += [
        f"  order {one['client_order_id']}  {one['side']} {one['quantity']} {one['symbol']} {one['type']} {one['state']}"
        + ("" if not one["reason"] else f"  {one['reason']}: {one['detail']}".rstrip(": "))
        for one in found["orders"]
    ]
    if (halt := found["halt"]) is not None:
        lines.append(f"  {halt['level']} since {halt['since']} by {halt['who']}: {halt['why']}")
    if (over := found["exhausted"]) is not None:
        until = f"until {over['until']}" if over["until"] else "permanently"
        lines.append(
            f"  exhausted {until}: {over['left']} left above our own stop of {over['rule']}, no entry risks less than"
            f" {over['least_loss']}"
        )
    lines += [f"  locked until {one['until']}: {one['reason']} {one['symbol'] or ''}".rstrip() for one in found["locks"]]
    return "\n".join(lines)


def readiness_text(found: Mapping[str, Any]) -> str:
    """Return whether an account may trade live, and every reason against it with its remedy."""
    if found["is_ready"]:
        return f"{found['account']} may trade live at {found['venue']}"
    lines = [f"{found['account']} may not trade live:"]
    lines += [f"  {one['code']}: {one['found']}. {one['remedy']}" for one in found["reasons"]]
    return "\n".join(lines)
