"""The ledger's certificate is verified: of an authority that is trusted, for the address that was asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import signalbox.adapters.postgres
from signalbox.adapters.postgres.connection import connect
from signalbox.bootstrap.settings import LedgerSettings, SettingsError
from signalbox.contracts import Env
from signalbox.ledger_errors import LedgerUnavailableError
from tests.fakes.postgres_server import PostgresServer
from tests.fakes.tls_door import Authority, TlsDoor

pytestmark = pytest.mark.integration

TRUSTED, FOREIGN = Authority.make("trusted"), Authority.make("foreign")


def test_a_certificate_of_the_authority_for_the_address_is_believed(postgres: PostgresServer, tmp_path: Path) -> None:
    assert _login(postgres, tmp_path, signer=TRUSTED, address="127.0.0.1", sslmode="verify-full") == 1


@pytest.mark.parametrize(
    ("signer", "address", "told"),
    [(FOREIGN, "127.0.0.1", "certificate verify failed"), (TRUSTED, "127.0.0.2", "does not match host name")],
)
def test_a_foreign_authority_or_another_address_is_refused(
    postgres: PostgresServer, tmp_path: Path, signer: Authority, address: str, told: str
) -> None:
    with pytest.raises(LedgerUnavailableError, match=told):
        _login(postgres, tmp_path, signer=signer, address=address, sslmode="verify-full")
    assert _login(postgres, tmp_path, signer=signer, address=address, sslmode="require") == 1  # what it was before: anybody


def test_rdss_authorities_do_not_let_in_an_authority_with_their_name(postgres: PostgresServer, tmp_path: Path) -> None:
    folder = Path(signalbox.adapters.postgres.__file__).parent / "certificates"
    shipped = folder / "eu-central-1.pem"
    impostor = Authority.make("Amazon RDS eu-central-1 Root CA RSA2048 G1")
    with pytest.raises(LedgerUnavailableError, match="certificate verify failed"):
        _login(postgres, tmp_path, signer=impostor, address="127.0.0.1", sslmode="verify-full", trusted=shipped)
    both = (
        tmp_path / "both.pem"
    )  # the same file with the impostor's own root: the file itself is read, and refuses for want of it
    both.write_bytes(shipped.read_bytes() + impostor.write(tmp_path / "impostor.pem").read_bytes())
    assert _login(postgres, tmp_path, signer=impostor, address="127.0.0.1", sslmode="verify-full", trusted=both) == 1
    absent = folder / "il-central-1.pem"
    with pytest.raises(LedgerUnavailableError, match=r"il-central-1\.pem.*does not exist"):
        _login(postgres, tmp_path, signer=impostor, address="127.0.0.1", sslmode="verify-full", trusted=absent)


def _login(
    postgres: PostgresServer, folder: Path, *, signer: Authority, address: str, sslmode: str, trusted: Path | None = None
) -> int:
    if trusted is None and sslmode == "verify-full":
        trusted = TRUSTED.write(folder / "trusted.pem")
    certificate, key = signer.server_files(folder, address=address)
    with TlsDoor(f"{postgres.socket_folder}/.s.PGSQL.5432", certificate, key) as door:
        settings = replace(
            postgres.settings("postgres", "postgres"),
            host="127.0.0.1",
            port=door.port,
            sslmode=sslmode,
            sslrootcert=None if trusted is None else str(trusted),
        )
        with connect(settings, "") as connection:
            row = connection.execute("SELECT 1").fetchone()
    assert row is not None
    return int(row[0])


def test_verifying_without_authorities_is_refused_before_any_login() -> None:
    environment = {
        Env.STAGE: "dev", Env.OUTGOING_EVENTS_TABLE: "outgoing", Env.DATABASE_HOST: "db", Env.DATABASE_PORT: "5432",
        Env.DATABASE_NAME: "signalbox", Env.DATABASE_USER: "u", Env.DATABASE_SSLMODE: "verify-full",
    }  # fmt: skip
    with pytest.raises(SettingsError, match="expected DATABASE_CA_FILE"):
        LedgerSettings.read({key.value: value for key, value in environment.items()})
    found = LedgerSettings.read(
        {key.value: value for key, value in environment.items()} | {Env.DATABASE_CA_FILE.value: "/ca.pem"}
    )
    assert found.ca_file == "/ca.pem"
