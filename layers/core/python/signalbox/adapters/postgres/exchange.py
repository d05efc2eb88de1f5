"""Sends several prepared statements in one message to the server and reads all answers in one message back.

It does what the driver's pipeline does, without a cursor per statement: the parameters are bytes already, and most answers are
one word. A statement is prepared once per connection. If a statement fails, those after it do not run, and the driver's error
is raised.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Sequence
from typing import Final, NoReturn, TypeAlias

import psycopg
from psycopg import errors, pq
from psycopg.waiting import Ready, Wait

Parameters: TypeAlias = Sequence[bytes | None]
Statement: TypeAlias = tuple[bytes, Parameters]  # SQL with numbered parameters, and their values in PostgreSQL's text format
Rows: TypeAlias = list[tuple[bytes | None, ...]]

_DONE: Final = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)
MOST_PREPARED: Final = (
    128  # prepared statements per connection; a step has one for each set of tables and columns that it changes
)
_NOT_SENT: Final = pq.ExecStatus.PIPELINE_ABORTED


class Exchange:
    """The prepared statements of one connection; they run in its transaction."""

    def __init__(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        self._connection, self._pgconn = connection, connection.pgconn
        self._prepared: dict[bytes, bytes] = {}  # statement to name, the most recently used last
        self._numbers = itertools.count()

    def run(self, statements: Sequence[Statement]) -> list[Rows]:
        """Send statements and return the rows of each as text. Raises psycopg.Error for the first one that failed."""
        pgconn, prepared = self._pgconn, self._prepared
        new: list[bytes] = []  # statements prepared with this message
        answers: list[int] = []  # the index of each statement's result
        count = 0
        if any(b"\0" in value for _, parameters in statements for value in parameters if value is not None):
            raise psycopg.DataError("a parameter contains a NUL character, which PostgreSQL cannot store in text")
        try:
            pgconn.enter_pipeline_mode()
            if len(prepared) > MOST_PREPARED and pgconn.transaction_status != pq.TransactionStatus.INERROR:
                count += self._forget_oldest()
            for statement, parameters in statements:
                name = prepared.pop(statement, None)
                if name is None:
                    name = b"x%d" % next(self._numbers)
                    new.append(statement)
                    pgconn.send_prepare(name, statement)
                    count += 1
                prepared[statement] = name  # now the most recently used
                pgconn.send_query_prepared(name, parameters)
                answers.append(count)
                count += 1
            pgconn.pipeline_sync()
            results = self._connection.wait(_answered(pgconn))
            pgconn.exit_pipeline_mode()
        except BaseException:
            pgconn.finish()  # the state of the connection is unknown, so it cannot be used again
            raise
        if len(results) != count or any(result.status not in _DONE for result in results):
            self._refuse(results, new)
        return [_rows(results[place]) for place in answers]

    def _forget_oldest(self) -> int:
        """Deallocate the least recently used statements, which take server memory, and return their number."""
        oldest = list(self._prepared)[: MOST_PREPARED // 4]
        for statement in oldest:
            self._pgconn.send_query_params(b"DEALLOCATE " + self._prepared.pop(statement), None)
        return len(oldest)

    def _refuse(self, results: Sequence[pq.abc.PGresult], new: Sequence[bytes]) -> NoReturn:
        for statement in new:  # it does not matter which of them the server has, because they get new names next time
            self._prepared.pop(statement, None)
        for result in results:
            if result.status not in _DONE:
                raise errors.error_from_result(result, encoding="utf-8")
        raise psycopg.OperationalError(f"the server answered only {len(results)} statements")


def _answered(pgconn: pq.abc.PGconn) -> Generator[Wait, Ready | int, list[pq.abc.PGresult]]:
    """Send what is queued and return the results up to the end of this message."""
    while pgconn.flush():
        if (yield Wait.RW) & Ready.R:
            pgconn.consume_input()
    results: list[pq.abc.PGresult] = []
    while True:
        while pgconn.is_busy():
            yield Wait.R
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:  # the gap between two statements
            if pgconn.status == pq.ConnStatus.BAD:
                raise psycopg.OperationalError(pgconn.get_error_message("utf-8"))
        elif result.status == pq.ExecStatus.PIPELINE_SYNC:
            return results
        elif result.status != _NOT_SENT:
            results.append(result)


def _rows(result: pq.abc.PGresult) -> Rows:
    columns = range(result.nfields)
    return [tuple(result.get_value(row, column) for column in columns) for row in range(result.ntuples)]
