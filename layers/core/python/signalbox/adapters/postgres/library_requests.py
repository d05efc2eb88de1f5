"""What was asked of the library, by request id, and the key of its cursors (`library.ports.RequestBook`)."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Final, LiteralString

from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.ledger_errors import LedgerError
from signalbox.library.errors import RequestReusedError
from signalbox.library.paging import KEY_BYTES

CLAIMED: Final[LiteralString] = "SELECT digest FROM library_requests WHERE request_id = %s"
_CLAIM: Final[LiteralString] = """
INSERT INTO library_requests (request_id, digest, verb, at, who, why) VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
PAGE_KEY: Final[LiteralString] = "SELECT secret FROM page_keys WHERE number = 1"
_MAKE_PAGE_KEY: Final[LiteralString] = "INSERT INTO page_keys (number, secret) VALUES (1, %s) ON CONFLICT DO NOTHING"


class PostgresRequests:
    """Request ids on a connection source. Raises LedgerError as described in `errors.py`."""

    def __init__(self, source: ConnectionSource) -> None:
        self._source = source
        self._key: bytes | None = None

    def claim(self, request_id: str, digest: str, *, verb: str, at: datetime, who: str, why: str) -> None:
        with self._source.transaction() as connection:
            connection.execute(_CLAIM, (request_id, digest, verb, at, who, why))
            row = connection.execute(CLAIMED, (request_id,)).fetchone()
        if row is None or row[0] != digest:
            raise RequestReusedError(
                f"the request id {request_id} belongs to another request; repeat that one unchanged, or use a new id"
            )

    def page_key(self) -> bytes:
        if self._key is None:
            with self._source.transaction() as connection:
                row = connection.execute(PAGE_KEY).fetchone()
                if row is None:  # the first page that has a next one; of two processes one makes the key
                    connection.execute(_MAKE_PAGE_KEY, (secrets.token_bytes(KEY_BYTES),))
                    row = connection.execute(PAGE_KEY).fetchone()
            if row is None:
                raise LedgerError("expected the key of cursors in the ledger, got none")
            self._key = bytes(row[0])
        return self._key
