"""Each function may do in the ledger what it does, and nothing else: declared, granted, and sent are the same."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from local.cli.backup.folder import FolderDumpStore
from signalbox.adapters.postgres.connection import ConnectionSource, connect
from signalbox.adapters.postgres.dump import dump
from signalbox.adapters.postgres.migrate import migrate
from signalbox.adapters.postgres.outbox import PostgresOutbox
from signalbox.adapters.postgres.roles import ROLES, DatabaseRole
from signalbox.adapters.postgres.trading_save import _joined, _numbered
from signalbox.adapters.postgres.trading_tables import ACCOUNT_COLUMNS, HALTS, LOTS
from signalbox.contracts import ADMIN_DATABASE_USER, APP_DATABASE_USER, EventType, Function, database_user
from signalbox.ledger_errors import LedgerBusyError
from tests.fakes.postgres_server import SUPERUSER, PostgresServer, app_source
from tests.integration.function_statements import use_every_function
from tests.unit.orders.samples import submission, terms

pytestmark = pytest.mark.integration

BY_USER = {role.user: role for role in ROLES}
FACTS = (  # appended and never changed
    "access_refusals", "account_access", "account_entries", "candle_revisions", "confirmations", "cycle_parts", "day_baselines",
    "dependencies", "deployed_models", "entities", "entity_revisions", "equity_snapshots", "evaluations", "fills", "halts",
    "library_requests", "order_events", "refusals", "risk_events", "schema_migrations", "signals", "standing_orders", "versions",
)  # fmt: skip
_STATEMENT = re.compile(r"^(?:statement|execute [^:]*): (?P<sql>.*)", re.DOTALL)
_EXPLAINED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "DECLARE", "COPY (")


@pytest.fixture(scope="module")
def used(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, set[str]]]]:
    """A database in which every function did its work as itself, and the statements of each, as the server logged them."""
    database = postgres.create_database()
    postgres.execute(f"ALTER DATABASE {database} SET log_statement = 'all'")
    postgres.execute(f"ALTER DATABASE {database} SET log_parameter_max_length = 0")
    begin = postgres.log.stat().st_size
    use_every_function(postgres, database, tmp_path_factory.mktemp("used"))
    yield database, logged(postgres.log, begin, database)
    postgres.drop_database(database)


@pytest.fixture(scope="module")
def migrated(postgres: PostgresServer) -> Iterator[str]:
    """A database for tests that leave nothing in it. Migrated itself: a copy has not the rights on the database."""
    database = postgres.create_database(template="template0")
    migrate(postgres.settings(database, ADMIN_DATABASE_USER), "")
    yield database
    postgres.drop_database(database)


def logged(path: Path, begin: int, database: str) -> dict[str, set[str]]:
    """The statements of each user in the server's log; a line that begins with a tab continues the one before."""
    found: dict[str, set[str]] = {user: set() for user in BY_USER}
    with path.open("rb") as log:
        log.seek(begin)
        text = log.read().decode().replace("\n\t", "\n")
    for entry in re.split(r"\n(?=\w*@\w* )", text):
        who, _, output = entry.partition("@")
        where, _, line = output.partition(" LOG:  ")
        if where == database and who in found and (match := _STATEMENT.match(line)):
            statement = match["sql"].strip()
            if statement.upper().startswith(_EXPLAINED):
                found[who].add(statement)
    return found


@contextmanager
def superuser(postgres: PostgresServer, database: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A connection that may become anybody; what it does is undone."""
    with psycopg.connect(host=postgres.socket_folder, dbname=database, user=SUPERUSER) as connection:
        yield connection
        connection.rollback()


def refused(connection: psycopg.Connection[tuple[object, ...]], user: str, statement: str) -> str | None:
    """Why PostgreSQL does not let a role send a statement; None when it does. The statement is planned, not carried out."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(f"SET LOCAL ROLE {user}".encode())
            planned = re.sub(r"^COPY \((.*)\) TO STDOUT$", r"\1", statement)
            connection.execute(f"EXPLAIN (GENERIC_PLAN) {planned}".encode())
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedTable) as error:  # what is in no schema of theirs
        return str(error)
    return None


def tables(postgres: PostgresServer, database: str) -> list[str]:
    rows = postgres.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1", database)
    return [name for (name,) in rows if not name.startswith("candles_2")]


def may_write(user: str) -> set[str]:
    """What a step may write at once: a save names the columns that changed, and no work of a test changes all of them."""
    if user not in map(database_user, (Function.MANAGE_ORDERS, Function.MONITOR_RISK)):
        return set()
    written = [table.statement(tuple(table.columns), table.replaced or None) for table in (HALTS, LOTS)]
    return {_numbered(one).decode() for one in written} | {_joined((), tuple(ACCOUNT_COLUMNS), ()).decode()}


GRANTED = """
SELECT 'table', table_name, privilege_type, '' FROM information_schema.role_table_grants
WHERE grantee = '{user}' AND table_schema = 'public'
UNION SELECT 'table', table_name, privilege_type, column_name FROM information_schema.role_column_grants AS c
WHERE grantee = '{user}' AND table_schema = 'public' AND NOT EXISTS (
    SELECT FROM information_schema.role_table_grants AS t
    WHERE (t.grantee, t.table_schema, t.table_name) = (c.grantee, c.table_schema, c.table_name)
        AND t.privilege_type = c.privilege_type
)
UNION SELECT 'sequence', s.relname, a.privilege_type, '' FROM pg_class AS s, aclexplode(s.relacl) AS a
WHERE s.relkind = 'S' AND a.grantee = '{user}'::regrole
UNION SELECT 'function', p.proname, a.privilege_type, '' FROM pg_proc AS p, aclexplode(p.proacl) AS a
WHERE a.grantee = '{user}'::regrole
"""


def declared(role: DatabaseRole) -> set[tuple[str, str, str, str]]:
    found: set[tuple[str, str, str, str]] = set()
    for table, rights in role.tables.items():
        found |= {("table", table, "SELECT", "")} if rights.select else set()
        found |= {("table", table, "DELETE", "")} if rights.delete else set()
        found |= {("table", table, "INSERT", column) for column in rights.insert}
        found |= {("table", table, "UPDATE", column) for column in rights.update}
    found |= {("sequence", name, verb, "") for name, verbs in role.sequences.items() for verb in verbs}
    return found | {("function", name.partition("(")[0], "EXECUTE", "") for name in role.functions}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.user)
def test_a_migrated_database_grants_what_is_declared(postgres: PostgresServer, migrated: str, role: DatabaseRole) -> None:
    found = set(postgres.execute(GRANTED.format(user=role.user), migrated))
    assert found == declared(role), "the newest migration has to grant, as the schema's owner:\n" + "\n".join(role.grants())


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.user)
def test_every_statement_of_a_function_is_allowed(
    postgres: PostgresServer, used: tuple[str, dict[str, set[str]]], role: DatabaseRole
) -> None:
    database, statements = used
    assert statements[role.user], "the server logged nothing of it"
    with superuser(postgres, database) as connection:
        for statement in statements[role.user]:
            assert refused(connection, role.user, statement) is None, statement


def test_no_function_may_send_what_only_another_one_sends(
    postgres: PostgresServer, used: tuple[str, dict[str, set[str]]]
) -> None:
    """Of the writes of one function another may send those alone whose every column it was declared to write."""
    database, statements = used
    with superuser(postgres, database) as connection:
        for user, own in statements.items():
            for other in statements.keys() - {user}:
                for statement in (s for s in statements[other] - own if re.match("INSERT|UPDATE|DELETE", s)):
                    table = re.search(r"(?:INTO|UPDATE|FROM) (\w+)", statement)
                    assert table is not None, statement
                    if table[1] not in BY_USER[user].tables:
                        assert refused(connection, user, statement) is not None, f"{user}: {statement}"


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.user)
def test_each_right_is_needed_by_a_statement(
    postgres: PostgresServer, used: tuple[str, dict[str, set[str]]], role: DatabaseRole
) -> None:
    database, logged_ones = used
    statements = {user: found | may_write(user) for user, found in logged_ones.items()}
    spare = []
    with superuser(postgres, database) as connection:
        for kind, name, verb, column in sorted(declared(role)):
            if (kind, verb) == ("sequence", "USAGE"):
                continue  # of a default, which no plan asks for: below
            what = f"{verb} ({column})" if column else verb
            on = f"FUNCTION {name}" if kind == "function" else name
            word = re.compile(rf"\b{name}\b")
            with connection.transaction(force_rollback=True):
                connection.execute(f"REVOKE {what} ON {on} FROM {role.user}".encode())
                concerned = (s for s in sorted(statements[role.user], key=len, reverse=True) if word.search(s))
                if not any(refused(connection, role.user, statement) for statement in concerned):
                    spare.append(f"{what} ON {name}")
    assert not spare, "\n".join(spare)


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.user)
def test_who_counts_facts_is_who_adds_them(postgres: PostgresServer, migrated: str, role: DatabaseRole) -> None:
    counted = {t for (t,) in postgres.execute(
        "SELECT attrelid::regclass::text FROM pg_attrdef JOIN pg_attribute ON (attrelid, attnum) = (adrelid, adnum)"
        " WHERE pg_get_expr(adbin, adrelid) LIKE '%bookings%'", migrated,
    )}  # fmt: skip
    adds = any(role.tables[table].insert for table in counted & role.tables.keys())
    assert ("USAGE" in role.sequences.get("bookings", ())) == adds


EVERYBODY = (*BY_USER, APP_DATABASE_USER)


@pytest.mark.parametrize("user", EVERYBODY)
def test_every_other_table_and_verb_is_refused(postgres: PostgresServer, migrated: str, user: str) -> None:
    role = BY_USER.get(user)
    with superuser(postgres, migrated) as connection:
        for table in tables(postgres, migrated):
            rights = role.tables.get(table) if role is not None else None
            columns = [c for (c,) in connection.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND is_generated = 'NEVER'", (table,)
            )]  # fmt: skip
            may = {
                f"SELECT * FROM {table}": rights is not None and rights.select,
                f"DELETE FROM {table}": rights is not None and rights.delete,
                **{
                    f"UPDATE {table} SET {column} = DEFAULT": rights is not None and column in rights.update for column in columns
                },
                **{
                    f"INSERT INTO {table} ({column}) OVERRIDING SYSTEM VALUE VALUES (NULL)": rights is not None
                    and column in rights.insert
                    for column in columns
                },
            }
            for statement, expected in may.items():
                assert (refused(connection, user, statement) is None) == expected, f"{user}: {statement}"
            privilege = connection.execute("SELECT has_table_privilege(%s, %s, 'TRUNCATE, REFERENCES, TRIGGER')", (user, table))
            assert privilege.fetchone() == (False,), f"{user}: {table}"


REFUSALS = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.InvalidSchemaName,  # it may not look into the schema either
    psycopg.errors.FeatureNotSupported,  # an extension that is not installed
)
CHANGES = (
    "CREATE TABLE mine (a int)",
    "CREATE TEMPORARY TABLE mine (a int)",
    "CREATE SCHEMA mine",
    "CREATE VIEW mine AS SELECT 1",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE FUNCTION pg_temp.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE SEQUENCE mine",
    "CREATE TYPE mine AS (a int)",
    "CREATE ROLE mine",
    "CREATE EXTENSION plpgsql_check",
    "CREATE TRIGGER mine BEFORE UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION refuse_milder_halts()",
    "CREATE POLICY mine ON outbox USING (true)",
    "ALTER TABLE outbox DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE accounts DISABLE TRIGGER accounts_halt",
    "ALTER TABLE accounts OWNER TO {user}",
    "ALTER ROLE {user} BYPASSRLS",
    "ALTER ROLE {user} CREATEROLE",
    "GRANT ALL ON accounts TO {user}",
    "GRANT signalbox_manage_orders TO {user}",
    "GRANT signalbox_admin TO {user}",
    "REVOKE SELECT ON candles FROM signalbox_manage_orders",
    "SET SESSION AUTHORIZATION signalbox_admin",
    "SET ROLE signalbox_admin",
    "SET session_replication_role = replica",
    "SELECT setval('bookings', 1)",
    "COPY candles TO PROGRAM 'true'",
    "COPY candles TO '/tmp/candles'",
    "COPY outbox (event_id, event_type, detail, created_at) FROM PROGRAM 'true'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('.')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(1, '/tmp/large')",
    "SELECT rolpassword FROM pg_authid",
    "SELECT pg_reload_conf()",
    "ALTER DATABASE {database} SET row_security = off",
    "ALTER ROLE signalbox_admin SET search_path = mine",
    "ALTER FUNCTION ensure_candle_partitions(date[]) SECURITY INVOKER",
    "ALTER DEFAULT PRIVILEGES FOR ROLE signalbox_admin GRANT ALL ON TABLES TO {user}",
    "SELECT refuse_milder_halts()",
    "SELECT keep_candle_revision()",
    "LOCK TABLE schema_migrations",
    "COMMENT ON TABLE accounts IS 'mine'",
    "TRUNCATE outbox",
    "DROP TABLE signals",
    *(
        f"CREATE EXTENSION {name}"
        for name in ("dblink", "postgres_fdw", "file_fdw", "pgcrypto", "adminpack", "lo", "pg_buffercache")
    ),
    "CREATE FOREIGN DATA WRAPPER mine",
    "CREATE LANGUAGE mine HANDLER plpgsql_call_handler",
    "CREATE EVENT TRIGGER mine ON ddl_command_end EXECUTE FUNCTION refuse_milder_halts()",
    "CREATE PUBLICATION mine FOR ALL TABLES",
    "CREATE DATABASE mine",
    "CREATE TABLESPACE mine LOCATION '/tmp'",
    "SELECT pg_read_binary_file('/etc/passwd')",
    "SELECT pg_stat_file('/etc/passwd')",
    "SELECT pg_ls_waldir()",
    "SELECT pg_current_logfile()",
    "SELECT lo_import('/etc/passwd', 77)",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "COPY (SELECT 1) TO '/tmp/one'",
    "LOAD '/tmp/library'",
    "ALTER SYSTEM SET log_statement = 'none'",
    "SET log_statement = 'none'",
    "SET lo_compat_privileges = on",
    "SET session_preload_libraries = 'mine'",
    "ALTER ROLE {user} SET session_preload_libraries = 'mine'",
    "ALTER ROLE {user} VALID UNTIL 'infinity'",
    "ALTER ROLE {user} CONNECTION LIMIT 1000",
    "SELECT pg_switch_wal()",
    "SELECT pg_create_restore_point('mine')",
    "SELECT pg_promote()",
    "SELECT pg_create_physical_replication_slot('mine')",
    "SELECT pg_rotate_logfile()",
    "SELECT pg_stat_reset()",
    "SELECT pg_replication_origin_create('mine')",
    "SELECT * FROM pg_largeobject",
    "SELECT * FROM pg_file_settings",
    "SELECT * FROM pg_hba_file_rules",
    "LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE",
    "LOCK TABLE outbox IN SHARE MODE",
    "LOCK TABLE signals IN EXCLUSIVE MODE",
)


OUTSIDE_TRANSACTIONS = ("CREATE DATABASE", "CREATE TABLESPACE", "ALTER SYSTEM")


@pytest.mark.parametrize("user", BY_USER)
def test_no_role_makes_or_changes_anything_but_rows(postgres: PostgresServer, migrated: str, user: str) -> None:
    for statement in CHANGES:
        if (user, statement) == (database_user(Function.MANAGE_ORDERS), "GRANT signalbox_manage_orders TO {user}"):
            continue  # of oneself it is no right
        alone = statement.startswith(OUTSIDE_TRANSACTIONS)
        with psycopg.connect(host=postgres.socket_folder, dbname=migrated, user=user, autocommit=alone) as connection:
            try:
                connection.execute(statement.format(user=user, database=migrated).encode())
            except REFUSALS:
                continue
            # where there is nothing that may be granted or taken away PostgreSQL warns, and does nothing
            assert statement.startswith(("GRANT ALL", "REVOKE")), f"{user}: {statement}"
            kept = connection.execute(
                "SELECT has_table_privilege(%s, 'accounts', 'DELETE'),"
                " has_table_privilege('signalbox_manage_orders', 'candles', 'SELECT')",
                (user,),
            ).fetchone()
            assert kept == (False, True), f"{user}: {statement}"
            connection.rollback()


OTHERS = (ADMIN_DATABASE_USER, APP_DATABASE_USER, SUPERUSER, *BY_USER)


@pytest.mark.parametrize("user", BY_USER)
def test_no_role_becomes_another_or_disturbs_or_overhears_its_sessions(
    postgres: PostgresServer, migrated: str, user: str
) -> None:
    others = [one for one in OTHERS if one != user]
    with ExitStack() as stack:
        victims = {}
        for other in set(others) - {APP_DATABASE_USER}:  # which cannot log in
            victims[other] = stack.enter_context(psycopg.connect(host=postgres.socket_folder, dbname=migrated, user=other))
            victims[other].execute(f"SELECT 'words of {other}'".encode())
        mine = stack.enter_context(psycopg.connect(host=postgres.socket_folder, dbname=migrated, user=user, autocommit=True))
        for other in others:
            for become in (f"SET ROLE {other}", f"SET SESSION AUTHORIZATION {other}", f"GRANT {other} TO {user}"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    mine.execute(become.encode())
            if other in victims:
                for disturb in ("pg_cancel_backend", "pg_terminate_backend"):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        mine.execute(f"SELECT {disturb}(%s)".encode(), (victims[other].info.backend_pid,))
        overheard = mine.execute("SELECT usename, query FROM pg_stat_activity WHERE query LIKE '%words of%'").fetchall()
        assert [(who, query) for who, query in overheard if who != user] == []
        for victim in victims.values():
            assert victim.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("user", BY_USER)
def test_a_large_object_or_a_notice_of_a_role_reaches_nobody_and_no_dump(
    postgres: PostgresServer, migrated: str, user: str, tmp_path: Path
) -> None:
    """Nobody can take these from a role, on RDS at least. Nothing of ours reads them: what they cost is room on the disk."""
    other = next(one for one in BY_USER if one != user)
    with (
        psycopg.connect(host=postgres.socket_folder, dbname=migrated, user=user, autocommit=True) as mine,
        psycopg.connect(host=postgres.socket_folder, dbname=migrated, user=other, autocommit=True) as theirs,
    ):
        made = mine.execute("SELECT lo_from_bytea(0, 'poison')").fetchone()
        assert made is not None
        try:
            for verb in ("lo_get(%s)", "lo_put(%s, 0, 'x')", "lo_unlink(%s)", "lo_open(%s, 393216)"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    theirs.execute(f"SELECT {verb}".encode(), made)
            mine.execute("NOTIFY everybody, 'poison'")
            assert theirs.execute("SELECT count(*) FROM pg_listening_channels()").fetchone() == (0,)
            store = FolderDumpStore(tmp_path / "dump")
            dump(postgres.settings(migrated, database_user(Function.DUMP_DATABASE)), lambda: "", store, datetime.now(UTC))
            parts = [gzip.decompress(path.read_bytes()) for path in store.folder.glob("*.gz")]
            assert not any(b"poison" in part for part in parts)
        finally:
            mine.execute("SELECT lo_unlink(%s)", made)


def test_a_lock_that_a_role_holds_keeps_others_busy_for_seconds_not_for_ever(postgres: PostgresServer, migrated: str) -> None:
    """The locks that a flaw in a function may hold: by name, of a row, of a table for reading. What waits is tried again."""
    waiting = {
        "SELECT pg_advisory_lock(hashtextextended('signalbox cycle coinbase', 0))": (
            Function.PUBLISH_REPORTS,
            Function.GENERATE_SIGNALS,
            "SELECT pg_advisory_xact_lock(hashtextextended('signalbox cycle coinbase', 0))",
        ),
        "SELECT account FROM accounts FOR UPDATE": (
            Function.PUBLISH_REPORTS,
            Function.MANAGE_ORDERS,
            "SELECT account FROM accounts FOR UPDATE",
        ),
        "LOCK TABLE accounts IN ACCESS SHARE MODE": (Function.PUBLISH_REPORTS, None, "LOCK TABLE accounts"),
    }
    row = (
        "INSERT INTO accounts (account, mode, configuration, opened_at, opened_by, cash, transfers)"
        " VALUES ('held', 'paper', '{}', now(), 'x', 0, 0)"
    )
    postgres.execute(row, migrated)
    try:
        for hold, (holder, waiter, wanted) in waiting.items():
            user = ADMIN_DATABASE_USER if waiter is None else database_user(waiter)
            patient = replace(postgres.settings(migrated, user), lock_timeout_ms=100)
            with psycopg.connect(host=postgres.socket_folder, dbname=migrated, user=database_user(holder)) as held:
                held.execute(hold.encode())
                with ConnectionSource(patient, lambda: "") as source, pytest.raises(LedgerBusyError), source.unit() as unit:
                    unit.send([(wanted.encode(), ())])
    finally:
        postgres.execute("DELETE FROM accounts WHERE account = 'held'", migrated)


LASTING = (
    "default_transaction_read_only = on",
    "default_transaction_isolation = serializable",
    "row_security = off",
    "synchronous_commit = off",
    "search_path = pg_temp",
    "timezone = 'Asia/Tokyo'",
    "datestyle = 'SQL, DMY'",
    "intervalstyle = 'sql_standard'",
    "extra_float_digits = -15",
    "bytea_output = escape",
    "standard_conforming_strings = off",
    "client_encoding = 'LATIN1'",
    "statement_timeout = 1",
    "lock_timeout = 1",
    "idle_in_transaction_session_timeout = 1",
    "idle_session_timeout = 1",
    "default_table_access_method = nothing",
    "enable_seqscan = off",
)


def test_what_a_role_sets_for_its_later_sessions_does_not_reach_ours(postgres: PostgresServer, migrated: str) -> None:
    """`ALTER ROLE` of oneself takes no right. A flaw that was mended would live on in it: no commit would be durable."""
    user = database_user(Function.PUBLISH_REPORTS)
    names = [setting.partition(" ")[0] for setting in LASTING]
    with connect(postgres.settings(migrated, user), "") as connection:
        before = {name: connection.execute(f"SHOW {name}".encode()).fetchone() for name in names}
    with psycopg.connect(host=postgres.socket_folder, dbname=migrated, user=user, autocommit=True) as connection:
        for setting in LASTING:
            connection.execute(f"ALTER ROLE {user} SET {setting}".encode())
    try:
        with connect(postgres.settings(migrated, user), "") as connection:
            after = {name: connection.execute(f"SHOW {name}".encode()).fetchone() for name in names}
    finally:
        postgres.execute(f"ALTER ROLE {user} RESET ALL", migrated)
    harmless = {"default_table_access_method", "enable_seqscan"}  # it makes no table; a plan is slow, and then times out
    assert {name for name in names if before[name] != after[name]} <= harmless


PUBLIC_RIGHTS = """
SELECT 'table ' || c.oid::regclass FROM pg_class AS c, aclexplode(c.relacl) AS a
WHERE c.relnamespace = 'public'::regnamespace AND a.grantee = 0
UNION SELECT 'function ' || p.oid::regprocedure
FROM pg_proc AS p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
WHERE p.pronamespace = 'public'::regnamespace AND a.grantee = 0
UNION SELECT 'schema ' || a.privilege_type FROM pg_namespace AS n, aclexplode(n.nspacl) AS a
WHERE n.nspname = 'public' AND a.grantee = 0
UNION SELECT 'database ' || a.privilege_type FROM pg_database AS d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) AS a
WHERE d.datname = current_database() AND a.grantee = 0
UNION SELECT 'default of ' || d.defaclobjtype::text FROM pg_default_acl AS d, aclexplode(d.defaclacl) AS a
WHERE a.grantee NOT IN (0, d.defaclrole) OR (d.defaclobjtype = 'f' AND a.grantee = 0)
"""
LATER = (
    "CREATE TABLE later (a bigint GENERATED ALWAYS AS IDENTITY)",
    "CREATE FUNCTION later() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "SELECT ensure_candle_partitions('{2031-05-01}')",
)


def test_what_is_made_later_belongs_to_nobody_and_everybody_has_no_right(postgres: PostgresServer, migrated: str) -> None:
    """A right of PUBLIC, or of a default, is in no role's list. A partition has none: it is reached through its table."""
    with superuser(postgres, migrated) as connection:
        connection.execute(f"SET ROLE {ADMIN_DATABASE_USER}".encode())
        for statement in LATER:
            connection.execute(statement.encode())
        connection.execute("RESET ROLE")
        assert connection.execute(PUBLIC_RIGHTS.encode()).fetchall() == []
        for user in EVERYBODY:
            found = connection.execute(
                "SELECT has_any_column_privilege(%(user)s, 'later', 'SELECT, INSERT, UPDATE'),"
                " has_table_privilege(%(user)s, 'later', 'DELETE, TRUNCATE, TRIGGER'),"
                " has_sequence_privilege(%(user)s, 'later_a_seq', 'USAGE, SELECT, UPDATE'),"
                " has_function_privilege(%(user)s, 'later()', 'EXECUTE'),"
                " has_any_column_privilege(%(user)s, 'candles_203105', 'SELECT, INSERT, UPDATE')",
                {"user": user},
            ).fetchone()
            assert found == (False,) * 5, user


def test_no_role_has_a_power_of_the_server(postgres: PostgresServer, migrated: str) -> None:
    powers = "rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls"
    rows = postgres.execute(f"SELECT rolname FROM pg_roles WHERE rolname LIKE 'signalbox_%' AND ({powers})", migrated)
    assert {name for (name,) in rows} == {ADMIN_DATABASE_USER}
    owned = "SELECT relname FROM pg_class WHERE relowner <> ALL (SELECT oid FROM pg_roles WHERE rolname IN ('{}', '{}'))"
    assert postgres.execute(owned.format(ADMIN_DATABASE_USER, SUPERUSER), migrated) == []
    member = "SELECT member::regrole FROM pg_auth_members WHERE member::regrole::text = ANY('{{{}}}'::text[])"
    assert postgres.execute(member.format(",".join(EVERYBODY)), migrated) == []


@pytest.mark.parametrize("table", FACTS)
def test_what_is_appended_is_changed_by_nobody(postgres: PostgresServer, migrated: str, table: str) -> None:
    assert table in tables(postgres, migrated)
    for role in ROLES:
        rights = role.tables.get(table)
        assert rights is None or (rights.update, rights.delete) == ((), False), role.user


def test_a_bar_is_replaced_by_a_later_cycle_alone_and_leaves_what_it_was(postgres: PostgresServer, migrated: str) -> None:
    with superuser(postgres, migrated) as connection:
        connection.execute(f"SET ROLE {database_user(Function.GENERATE_SIGNALS)}".encode())
        connection.execute("SELECT ensure_candle_partitions('{2024-03-01}')")
        connection.execute(
            "INSERT INTO candles (venue, symbol, open_time, open, high, low, close, volume, announced_at)"
            " VALUES ('coinbase', 'BTC-USD', '2024-03-01 12:00Z', 1, 2, 1, 2, 5, '2024-03-01 12:05Z')"
        )
        for change in ("announced_at = announced_at", "announced_at = NULL", "announced_at = '2024-03-01 12:00Z'"):
            with pytest.raises(psycopg.errors.CheckViolation), connection.transaction():
                connection.execute(f"UPDATE candles SET close = 1.5, {change}".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute("DELETE FROM candles")
        connection.execute("UPDATE candles SET close = 1.5, announced_at = '2024-03-01 12:10Z'")
        connection.execute("RESET ROLE")
        found = connection.execute("SELECT close, replaced_at FROM candle_revisions").fetchall()
    assert found == [(Decimal(2), datetime(2024, 3, 1, 12, 10, tzinfo=UTC))]


def test_who_held_every_right_may_not_even_log_in(postgres: PostgresServer, migrated: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        postgres.execute("SELECT 1", migrated, APP_DATABASE_USER)


EVENT = "INSERT INTO outbox (event_id, event_type, detail, created_at) VALUES ('{0}:1', '{0}', '{{}}', now())"


@pytest.mark.parametrize(
    "role", [role for role in ROLES if "outbox" in role.tables and role.tables["outbox"].update], ids=lambda role: role.user
)
def test_a_function_puts_sees_and_publishes_its_own_events_alone(
    postgres: PostgresServer, database: str, role: DatabaseRole
) -> None:
    for kind in EventType:
        postgres.execute(EVENT.format(kind.value), database)
    own = set(EventType) if role.emits is None else set(role.emits)
    seen = {name for (name,) in postgres.execute("SELECT event_type FROM outbox", database, role.user)}
    assert seen == {kind.value for kind in own}
    published = postgres.execute("UPDATE outbox SET published_at = now() RETURNING event_type", database, role.user)
    assert {name for (name,) in published} == seen
    # what is published stays so: nobody has it told again, and nobody says of it when
    assert postgres.execute("UPDATE outbox SET published_at = NULL RETURNING event_type", database, role.user) == []
    for kind in EventType:
        statement = EVENT.format(kind.value).replace(":1'", ":again'", 1)
        if role.emits is not None and kind in own:
            postgres.execute(statement, database, role.user)
        else:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                postgres.execute(statement, database, role.user)


def test_a_dump_sees_every_type_of_event_and_changes_none(postgres: PostgresServer, database: str) -> None:
    for kind in EventType:
        postgres.execute(EVENT.format(kind.value), database)
    user = database_user(Function.DUMP_DATABASE)
    assert postgres.execute("SELECT count(*) FROM outbox", database, user) == [(len(EventType),)]
    for statement in (EVENT.format("CycleDecided"), "UPDATE outbox SET published_at = now()", "DELETE FROM outbox"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            postgres.execute(statement, database, user)


def test_generate_signals_asks_no_venue_to_trade(postgres: PostgresServer, database: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        postgres.execute(EVENT.format("ExecutionRequested"), database, database_user(Function.GENERATE_SIGNALS))


@pytest.mark.parametrize("role", [role for role in ROLES if role.emits], ids=lambda role: role.user)
def test_no_role_takes_the_name_of_an_event_of_another_type(postgres: PostgresServer, migrated: str, role: DatabaseRole) -> None:
    own = next(iter(role.emits or ()))
    insert = "INSERT INTO outbox (event_id, event_type, detail, created_at) VALUES (%s, %s, '{}', now())"
    others = [f"{kind.value}:abc:SUBMIT:submit" for kind in EventType if kind is not own]
    for name in (*others, "", own.value, f"{own.value}s:1", f" {own.value}:1", f"{own.value.lower()}:1"):
        with (
            psycopg.connect(host=postgres.socket_folder, dbname=migrated, user=role.user) as connection,
            pytest.raises(psycopg.errors.CheckViolation),
        ):
            connection.execute(insert, (name, own.value))


def test_an_exit_is_asked_for_whatever_generate_signals_put_before(postgres: PostgresServer, database: str) -> None:
    of = terms(account="live-1")
    request = submission(of, of.decided_at)
    with pytest.raises(psycopg.errors.CheckViolation):
        postgres.execute(
            "INSERT INTO outbox (event_id, event_type, detail, created_at)"
            f" VALUES ('{request.event_id}', 'SignalGenerated', '{{}}', now())",
            database,
            database_user(Function.GENERATE_SIGNALS),
        )
    with app_source(postgres, database, user=database_user(Function.MANAGE_ORDERS)) as source:
        assert PostgresOutbox(source).put(request, of.decided_at)
    assert postgres.execute("SELECT event_id FROM outbox", database) == [(request.event_id,)]


def halt(level: str, until: str | None, since: str = "2024-03-01T12:00:00Z") -> str:
    return json.dumps({"level": level, "who": "anna", "why": "news", "since": since, "until": until})


KEPT = halt("REDUCE_ONLY", "2024-03-02T00:00:00Z")
OPEN_ENDED = halt("FLATTEN", None)


@pytest.mark.parametrize(
    ("offered", "is_allowed"),
    [
        (None, False),
        (halt("HALT", "2024-03-02T00:00:00Z"), False),
        (halt("NONE", None), False),
        (halt("REDUCE_ONLY", "2024-03-01T23:00:00Z"), False),
        (halt("HALT", None), False),
        (halt("FLATTEN", "2024-03-02T00:00:00Z"), True),
        (halt("REDUCE_ONLY", None), True),
        (halt("HALT", "2024-03-03T00:00:00Z", since="2024-03-02T00:00:01Z"), True),  # the one that was there has ended
        (halt("HALT", None, since="2999-01-01T00:00:00Z"), False),  # it has not: this one begins when its writer likes
        (halt("NONE", None, since="infinity"), False),
        (halt("none", None, since="2999-01-01T00:00:00Z"), False),
    ],
)
def test_monitor_risk_makes_no_halt_milder_or_shorter(
    postgres: PostgresServer, migrated: str, offered: str | None, is_allowed: bool
) -> None:
    with superuser(postgres, migrated) as connection:
        connection.execute(
            "INSERT INTO accounts (account, mode, configuration, opened_at, opened_by, cash, transfers, halt)"
            " VALUES ('a', 'paper', '{}', now(), 'anna', 0, 0, %s)",
            (KEPT,),
        )
        for function in (Function.MONITOR_RISK, Function.MANAGE_ORDERS):
            expected = is_allowed or function is Function.MANAGE_ORDERS
            try:
                with connection.transaction(force_rollback=True):
                    connection.execute(f"SET LOCAL ROLE {database_user(function)}".encode())
                    connection.execute("UPDATE accounts SET halt = %s, cash = 1", (offered,))
            except psycopg.errors.InsufficientPrivilege:
                assert not expected, function
            else:
                assert expected, function


@pytest.mark.parametrize("since", ["infinity", "2999-01-01T00:00:00Z", "2024-03-05T00:00:00Z"])
def test_a_halt_without_an_end_is_never_over(postgres: PostgresServer, migrated: str, since: str) -> None:
    with superuser(postgres, migrated) as connection:
        connection.execute(
            "INSERT INTO accounts (account, mode, configuration, opened_at, opened_by, cash, transfers, halt)"
            " VALUES ('a', 'paper', '{}', now(), 'anna', 0, 0, %s)",
            (OPEN_ENDED,),
        )
        connection.execute(f"SET LOCAL ROLE {database_user(Function.MONITOR_RISK)}".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="expected a halt as strict"):
            connection.execute("UPDATE accounts SET halt = %s", (halt("NONE", None, since=since),))
