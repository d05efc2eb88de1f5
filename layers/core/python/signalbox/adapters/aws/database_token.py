"""IAM authentication of RDS: the password is a short-lived token, signed locally with the function's own role."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_rds import RDSClient


def token_password(client: RDSClient, *, host: str, port: int, user: str) -> Callable[[], str]:
    """Return a function that makes a new token, valid for a login within 15 minutes. It only signs and needs no network.

    A host that begins with a slash is a socket folder (as in libpq) on this machine, so the token is made for localhost.
    """
    hostname = "localhost" if host.startswith("/") else host
    return lambda: client.generate_db_auth_token(DBHostname=hostname, Port=port, DBUsername=user)
