"""The AWS emulator: `ministack` as a guarded child process on the loopback interface, without the caller's credentials."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any, Final

import httpx
from boto3.session import Session
from botocore.config import Config

from local.callers import FORBIDDEN
from local.cloud.private import private_folder
from local.cloud.processes import Service, free_port, wait_until
from local.errors import ServiceError
from local.settings import ACCOUNT, LOOPBACK, REGION, Settings

START_SECONDS: Final = 60.0


class Emulator:
    """One emulator over one state folder. `persistent` keeps its state across restarts."""

    def __init__(self, settings: Settings, folder: Path, *, persistent: bool, port: int | None = None) -> None:
        self._settings, self._folder, self._persistent = settings, folder.resolve(), persistent
        self.port = port or free_port()
        self._service: Service | None = None
        self._session: Session | None = None

    @property
    def url(self) -> str:
        """The address of all its services."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._service is not None and self._service.alive

    def start(self) -> None:
        """Start and wait for the health endpoint. Raises ServiceError with the end of its log, or if web pages could call it."""
        scratch = self._folder / "tmp"  # function code is unpacked here; nothing in it outlives a run
        shutil.rmtree(scratch, ignore_errors=True)
        private_folder(scratch)
        self._service = Service(
            "emulator",
            [sys.executable, "-m", "local.cloud.emulator_host"],
            env=self._environment(scratch),
            log=self._folder / "emulator.log",
            cwd=self._settings.repository,
            stop_signal="INT",
            grace=8.0 if self._persistent else 1.0,  # what it writes when it ends is thrown away otherwise
        )
        service = self._service
        try:
            wait_until(self._healthy, what="the AWS emulator", seconds=START_SECONDS, alive=lambda: service.alive, every=0.05)
            self._require_guard()
        except ServiceError as error:
            self.stop()
            raise ServiceError(f"{error}; the end of the service's log:\n{service.log_tail()}") from error

    def stop(self) -> None:
        """Stop it and the function processes it started. Safe to call again."""
        if self._service is not None:
            self._service.stop()
            self._service = None
        shutil.rmtree(self._folder / "tmp", ignore_errors=True)

    def client(self, service: str, **config: Any) -> Any:
        """Return a boto3 client of this emulator; credentials are fixed, the caller's are never read."""
        if self._session is None:
            self._session = Session(aws_access_key_id=ACCOUNT, aws_secret_access_key="local", region_name=REGION)  # noqa: S106
        options = {"retries": {"max_attempts": 2, "mode": "standard"}, "s3": {"addressing_style": "path"}, **config}
        return self._session.client(service, endpoint_url=self.url, config=Config(**options))  # type: ignore[call-overload]

    def _environment(self, scratch: Path) -> dict[str, str]:
        env = dict(self._settings.base_env)
        env.update(
            BIND_HOST=LOOPBACK,
            GATEWAY_PORT=str(self.port),
            MINISTACK_HOST=LOOPBACK,
            MINISTACK_REGION=REGION,
            MINISTACK_ACCOUNT_ID=ACCOUNT,
            AWS_ACCESS_KEY_ID=ACCOUNT,
            AWS_SECRET_ACCESS_KEY="local",  # noqa: S106 - the emulator checks nothing
            AWS_DEFAULT_REGION=REGION,
            AWS_EC2_METADATA_DISABLED="true",
            AWS_CONFIG_FILE="/dev/null",
            AWS_SHARED_CREDENTIALS_FILE="/dev/null",
            TMPDIR=str(scratch),
            SFTP_ENABLED="0",  # these two would listen on every interface
            IOT_MTLS_ENABLED="0",
            DOCKER_HOST="unix:///signalbox-uses-no-docker",  # it reaps containers it thinks are its own
            LAMBDA_EXECUTOR="local",
            LOG_LEVEL="INFO",
            OMP_NUM_THREADS="1",
            OPENBLAS_NUM_THREADS="1",
        )
        if self._persistent:
            env.update(
                PERSIST_STATE="1",
                STATE_DIR=str(self._folder / "state"),
                S3_PERSIST="1",
                S3_DATA_DIR=str(self._folder / "s3"),
            )
        else:
            env.update(PERSIST_STATE="0", S3_PERSIST="0", S3_DATA_DIR=str(scratch / "s3"), STATE_DIR=str(scratch / "state"))
        return env

    def _healthy(self) -> bool | None:
        try:
            answer = httpx.get(f"{self.url}/_ministack/health", timeout=2.0, trust_env=False)
        except httpx.HTTPError:
            return None
        return True if answer.status_code == httpx.codes.OK else None

    def _require_guard(self) -> None:
        answer = httpx.get(f"{self.url}/_ministack/health", headers={"host": "page.invalid"}, timeout=5.0, trust_env=False)
        if answer.status_code != FORBIDDEN:
            raise ServiceError("the AWS emulator answers under foreign host names, so any web page could command it")
