"""Records what the functions of this release send to the ledger, so that the next release's schema is tested against it.

`python -m tests.integration.record_statements` on the release before a migration is added; test_release_before.py reads it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from signalbox.adapters.postgres.migrate import load_migrations
from signalbox.adapters.postgres.roles import ROLES
from tests.fakes.postgres_server import PostgresServer, app_source, running_postgres
from tests.integration.function_statements import USES, Ledger
from tests.integration.test_function_roles import logged

RECORD: Final = Path(__file__).resolve().parents[1] / "corpus" / "statements.json"
COLUMNS: Final = """
SELECT c.relname, array_agg(a.attname::text ORDER BY a.attname) FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0
    AND NOT a.attisdropped GROUP BY c.relname ORDER BY c.relname
"""


def columns_of(postgres: PostgresServer, database: str) -> dict[str, list[str]]:
    """The columns of each table."""
    return dict(postgres.execute(COLUMNS, database))


def recorded(postgres: PostgresServer) -> dict[str, Any]:
    """Let every function do its work, and return what each sent."""
    database = postgres.create_database()
    postgres.execute(f"ALTER DATABASE {database} SET log_statement = 'all'")
    postgres.execute(f"ALTER DATABASE {database} SET log_parameter_max_length = 0")
    begin = postgres.log.stat().st_size
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(
            lambda user: stack.enter_context(app_source(postgres, database, user=user)),
            f"host={postgres.socket_folder} dbname={database}",
            Path(folder),
        )
        for use in USES.values():
            use(ledger)
        found = logged(postgres.log, begin, database)
    return {
        "schema": len(load_migrations()),
        "columns": columns_of(postgres, database),
        "statements": {role.user: sorted(found[role.user]) for role in ROLES},
    }


if __name__ == "__main__":
    sys.stdout = sys.stderr
    with running_postgres() as server:
        RECORD.write_text(json.dumps(recorded(server), indent=0) + "\n", encoding="utf-8")
