"""The five-minute cycle on the deployed functions: order, repeats, late deliveries, a database that goes away, models."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest
from boto3 import Session

from local.cli.accounts.command import AccountsError, OrdersApi
from local.cloud.processes import wait_until
from local.errors import WorkbenchError
from local.settings import ACCOUNT, REGION, REPOSITORY, VENUE
from local.stand_ins.faults import Fault, VenueFault
from signalbox.contracts import Function, Metric, StackOutput
from signalbox.inference.archive import pack_bundle
from signalbox.market.candles import Symbol
from tests.e2e.conftest import Market

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
HALF_HOUR = timedelta(minutes=30)
STARTER = REPOSITORY / "training" / "starter_bundle"


def test_twelve_cycles_give_one_shadow_signal_a_symbol_and_alert_what_is_issued(market: Market) -> None:
    sent = len(market.texts())
    cycles = [market.cycle() for _ in range(12)]
    market.quiet()
    rows = [row for at in cycles for row in market.signals(at).values()]
    assert len(rows) == 12 * len(market.cloud.symbols)
    assert {row.stage for row in rows} == {"shadow"}
    issued = [row for row in rows if row.issued]
    reported = [text for text in market.texts()[sent:] if "Confidence" in text]
    assert len(reported) == len(issued)
    assert all("SHADOW" in text for text in reported)


def test_ledger_holds_the_venue_s_bars_exactly(market: Market) -> None:
    at = market.cycle()
    for symbol in market.cloud.symbols:
        expected = market.cloud.exchange._feed.bars(symbol, at - HALF_HOUR, at)
        recorded = market.cloud.ledger.bars(VENUE, symbol, at - HALF_HOUR, at)
        assert recorded.open_time_ms.tolist() == expected.open_time_ms.tolist()
        assert recorded.close.tolist() == expected.close.tolist()
        assert float(market.signals(at)[symbol].price) == expected.close[-1]


def test_a_cycle_fired_three_times_leaves_one_signal_a_symbol_and_counts_duplicates(market: Market) -> None:
    logs = market.cloud.logs
    before = logs.total(Function.GENERATE_SIGNALS, Metric.DUPLICATES_IGNORED)
    at = market.cycle()
    market.fire(at)
    market.fire(at)
    market.quiet()
    assert set(market.signals(at)) == set(market.cloud.symbols)
    wait_until(
        lambda: logs.total(Function.GENERATE_SIGNALS, Metric.DUPLICATES_IGNORED) == before + 2 or None,
        what="two ignored duplicates",
        seconds=20,
    )


def test_cycles_out_of_order_mark_the_older_one_late(market: Market) -> None:
    older, newer = market.tick(), market.tick()
    market.fire(newer)
    market.decide(newer)
    market.quiet()
    sent = len(market.texts())
    market.fire(older)
    market.decide(older)
    market.quiet()
    assert all(row.late for row in market.signals(older).values())
    assert set(market.signals(older)) == set(market.cloud.symbols)
    assert not any(row.late for row in market.signals(newer).values())
    assert len(market.texts()) == sent


def test_database_restarted_in_the_middle_of_a_cycle_loses_and_doubles_nothing(market: Market) -> None:
    at = market.tick()
    market.cloud.postgres.stop()
    market.fire(at)
    market.cloud.postgres.start()
    market.decide(at)
    market.quiet()
    assert set(market.signals(at)) == set(market.cloud.symbols)


def test_event_left_unpublished_is_relayed_and_not_alerted_twice(market: Market) -> None:
    market.cloud.exchange.faults.add(Fault(VenueFault.EMPTY, "ETH-USD"))
    sent = len(market.texts())
    at = market.cycle()
    market.await_text("ETH-USD has no signals", sent)
    market.quiet()
    sent = len(market.texts())
    with psycopg.connect(market.cloud.postgres.dsn) as connection:
        connection.execute("UPDATE outbox SET published_at = NULL WHERE created_at = %s", (at,))
    firing = market.cloud.clock.fire(market.relay, at)
    assert firing.answer["published"] >= 1
    market.quiet()
    assert len(market.texts()) == sent


def test_tampered_bundle_is_refused_and_the_one_in_use_stays(market: Market) -> None:
    in_use = {row.deployment for row in market.signals(market.cycle()).values()}
    archive = bytearray(pack_bundle(STARTER))
    place = archive.index(b"xgboost-0.onnx") + 200
    archive[place] ^= 0xFF
    sent = len(market.texts())
    tampered = market.cloud.deploy_bundle(STARTER, stored=bytes(archive))
    at = market.cycle()
    assert {row.deployment for row in market.signals(at).values()} == in_use
    assert "stays in use" in market.await_text(f"{tampered} was refused", sent)
    newest = market.cloud.library("history", {})["deployments"][0]
    assert (newest["deployment"], newest["state"]) == (tampered, "failed")
    assert "expected sha256" in newest["reason"]


def test_the_librarys_resources_answer_through_the_gateway(market: Market) -> None:
    ask = market.cloud.library
    entity = {"kind": "model", "name": "kept-for-later", "why": "walked"}
    assert ask("create", {**entity, "request_id": "create-kept"})["revision"] == 1
    change = {**entity, "revision": 1, "archived": True}
    assert ask("change", {**change, "request_id": "archive-kept"})["archived"] is True
    with pytest.raises(WorkbenchError, match=r"is at revision 2, expected 1.*HTTP 412"):
        ask("change", {**change, "request_id": "archive-again"})
    assert [one["name"] for one in ask("entities", {"archived": True})["entities"]] == ["kept-for-later"]
    first = ask("entities", {"limit": 1})
    assert ask("entities", {"limit": 1, "cursor": first["next"]})["entities"] != first["entities"]
    version = ask("list", {})["versions"][0]["version"]
    assert ask("show", {"version": version})["version"] == ask("lineage", {"version": version})["version"] == version
    assert ask("search", {"words": "a word & 'another'"})["versions"] == []


def test_new_bundle_takes_over_within_one_cycle(market: Market) -> None:
    second = market.cloud.deploy_bundle(STARTER)  # its archive is stored anew
    at = market.cycle()
    assert {row.deployment for row in market.signals(at).values()} == {second}
    assert market.cloud.library("history", {})["slot"]["current"]["deployment"] == second
    assert Symbol("BTC-USD") in market.signals(at)


def test_scores_of_a_stage_are_what_its_cycle_decided(market: Market) -> None:
    """Through the gateway, signed: the same candles and the same model give the same probability, to the last digit."""
    at = market.cycle()
    decided = market.signals(at)
    session = Session(aws_access_key_id=ACCOUNT, aws_secret_access_key="local", region_name=REGION)  # the emulator's
    url = market.cloud.outputs[StackOutput.SCORING_API_URL]
    api = OrdersApi(url.rstrip("/"), session, REGION, market.cloud.emulator.url)
    answer = api.call("POST", "/score", {"symbols": list(market.cloud.symbols), "at": at.isoformat()})
    assert {one["symbol"]: one["probability_up"] for one in answer["scores"]} == {
        symbol: row.probability_up for symbol, row in decided.items()
    }
    assert {answer["deployment"]} == {row.deployment for row in decided.values()}
    with pytest.raises(AccountsError, match="hash"):
        api.call("POST", "/score", {"rows": [[0.0]], "schema_hash": "0" * 64})
