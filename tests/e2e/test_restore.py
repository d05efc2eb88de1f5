"""The drill: the deployed functions dump the ledger and give it back after it was destroyed, and the next cycle decides."""

from __future__ import annotations

import json
from datetime import datetime, time

import psycopg
import pytest

from local.settings import STAGE
from signalbox.contracts import DATABASE_NAME, Function, StackOutput, database_user, function_name
from signalbox.wire import parse_object
from tests.e2e.conftest import Market

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]
TABLES = (
    "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"
)


def rows(market: Market) -> dict[str, list[str]]:
    """Every row of every table as text."""
    with psycopg.connect(market.cloud.postgres.dsn) as connection:
        tables = [name for (name,) in connection.execute(TABLES)]
        return {
            name: sorted(text for (text,) in connection.execute(f"SELECT t::text FROM {name} AS t".encode()))
            for name in tables
            if name != "schema_migrations"
        }


def asked(market: Market, **options: object) -> dict[str, object]:
    client = market.cloud.emulator.client("lambda")
    command = {"username": "signalbox_admin", "password": "not looked at here", **options}
    answer = client.invoke(FunctionName=function_name(STAGE, Function.RESTORE_DATABASE), Payload=json.dumps(command).encode())
    found: dict[str, object] = parse_object(answer["Payload"].read())
    return found


def test_a_destroyed_ledger_is_restored_and_the_next_cycle_decides(market: Market) -> None:
    at = market.cycle()
    market.cloud.watch.until_traded(at, seconds=60)
    market.quiet()
    cloud = market.cloud
    night = datetime.combine(at.date(), time(2, 30), at.tzinfo)
    firing = cloud.clock.fire(cloud.schedule_of(Function.DUMP_DATABASE), night)
    assert firing.error is None
    assert firing.answer["dump"] == f"s3://{cloud.outputs[StackOutput.BACKUPS_BUCKET]}/dumps/{night:%Y%m%dT%H%M%SZ}"
    before = rows(market)
    assert firing.answer["rows"] == sum(map(len, before.values()))
    name = firing.answer["dump"].rsplit("/", 1)[1]

    refused = asked(market, dump=name)
    assert "expected an empty ledger" in str(refused["errorMessage"])
    with psycopg.connect(cloud.postgres.dsn, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    done = asked(market, dump=name)
    assert done["is_done"], done
    assert (done["differences"], done["halted"]) == ([], [])
    assert done["accounts"] == 1  # made again from its events, and equal to its tables
    assert rows(market) == before

    next_one = market.cycle()
    assert set(market.signals(next_one)) == set(cloud.symbols)
    with psycopg.connect(
        f"host={cloud.postgres.socket_folder} dbname={DATABASE_NAME} user={database_user(Function.MANAGE_ORDERS)}"
    ) as c:
        assert c.execute("SELECT count(*) FROM accounts").fetchone() == (1,)
