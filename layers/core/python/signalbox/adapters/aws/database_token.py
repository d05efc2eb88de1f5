"""IAM authentication of RDS: the password is a short-lived token, signed locally with the function's own role.

It is a presigned request. botocore makes the same from a client of RDS, but to make that client it reads the description of all
of RDS's API (1 MB), which a cold start of each ledger function would wait for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import urlencode

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import NoCredentialsError, NoRegionError
from botocore.session import Session

SERVICE: Final = "rds-db"
TOKEN_SECONDS: Final = 900  # how long a token can be used to log in


def token_password(session: Session, *, host: str, port: int, user: str) -> Callable[[], str]:
    """Return a function that makes a new token, valid for a login within 15 minutes. It only signs and needs no network.

    A host that begins with a slash is a socket folder (as in libpq) on this machine, so the token is made for localhost.
    """
    hostname = "localhost" if host.startswith("/") else host

    def token() -> str:
        credentials, region = session.get_credentials(), session.get_config_variable("region")
        if credentials is None:
            raise NoCredentialsError
        if region is None:
            raise NoRegionError
        query = urlencode({"Action": "connect", "DBUser": user})
        request = AWSRequest("GET", f"https://{hostname}:{port}/?{query}")
        SigV4QueryAuth(credentials.get_frozen_credentials(), SERVICE, region, expires=TOKEN_SECONDS).add_auth(request)
        return str(request.url).removeprefix("https://")

    return token
