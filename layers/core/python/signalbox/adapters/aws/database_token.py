"""IAM authentication of RDS: the password is a short-lived token, signed locally with the function's own role."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_rds import RDSClient


def token_password(client: RDSClient, *, host: str, port: int, user: str) -> Callable[[], str]:
    """Return a function that makes a fresh token (valid 15 minutes for a login). No network: it is a signature.

    A socket folder (libpq's rule: it begins with a slash) is this machine, so that is what is signed for.
    """
    hostname = "localhost" if host.startswith("/") else host
    return lambda: client.generate_db_auth_token(DBHostname=hostname, Port=port, DBUsername=user)
