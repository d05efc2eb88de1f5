"""The library of the local cloud: the call that registers the starter model, and requests of this machine's person."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError

from local.errors import DeployError, WorkbenchError
from local.settings import ACCOUNT, REGION
from signalbox.contracts import LIVE_ALIAS, Function, function_name
from signalbox.library.routes import addressed

_SECONDS: Final = 60.0  # the first call starts the function, and a bundle is verified twice


def start_library(client: Any, stage: str) -> dict[str, Any]:
    """Register the starter bundle of a stage, and deploy it if nothing was ever deployed there. Raises DeployError.

    client: boto3's of Lambda. Calling it again changes nothing.
    """
    name = function_name(stage, Function.LIBRARY_API)
    try:
        answer = client.invoke(FunctionName=name, Qualifier=LIVE_ALIAS, Payload=json.dumps({"starter": True}).encode())
        found = json.loads(answer["Payload"].read())
    except (ClientError, BotoCoreError, ValueError) as error:
        raise DeployError(f"{name} did not register the starter model: {error}") from error
    if "FunctionError" in answer or not isinstance(found, dict):
        raise DeployError(f"{name} did not register the starter model: {found}")
    return found


def ask_library(url: str, via: str, verb: str, facts: Mapping[str, Any]) -> Any:
    """Return the library's answer to a request. via: the emulator. Raises WorkbenchError with what it says is wrong."""
    request = addressed(verb, facts)
    body = b"" if request.body is None else json.dumps(request.body).encode()
    named = {"content-type": "application/json", **request.headers}
    signed = AWSRequest(request.method, f"{url.rstrip('/')}{request.path}", named, body)
    SigV4Auth(Credentials(ACCOUNT, "local"), "execute-api", REGION).add_auth(signed)
    headers = {**dict(signed.headers.items()), "host": urlsplit(url).netloc}
    try:
        answer = httpx.request(
            request.method, f"{via}{request.path}", headers=headers, content=body, timeout=_SECONDS, trust_env=False
        )
        found = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise WorkbenchError(f"the library of the local cloud did not answer {verb}: {error}") from error
    if not answer.is_success:
        raise WorkbenchError(f"the library refused {verb}: {found.get('detail', found)} (HTTP {answer.status_code})")
    return found
