"""The bot's ledger over real sockets: what is asked in whose name, and that no silence hangs or is taken for an answer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
import urllib3
from botocore.config import Config
from botocore.credentials import Credentials

from signalbox.adapters.aws.remote_ledger import LedgerQuestions, RemoteLedger, SignedOrders
from signalbox.chat.bot.ports import BotLedgerError, BotLedgerSilentError
from signalbox.signing import KeyUnavailableError, SigningKey
from signalbox.trading.commands import ResumeTrading
from signalbox.trading.person_seal import HEADER, SealedRequest, open_person
from tests.fakes.http_server import Reply, Request, ScriptedServer, serving
from tests.fakes.keys import PEOPLE_KEY, FixedKeys

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ANNA = "telegram:11"
IMPATIENT = Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 1})
COMMAND = ResumeTrading(account="paper-25k", request_id="tg-0123", requested_at=NOW, why="looked at it")


def no_key() -> SigningKey:
    raise KeyUnavailableError("no key")


@contextmanager
def ledger(
    answer: Callable[[Request], Reply], key: Callable[[], SigningKey] = lambda: PEOPLE_KEY
) -> Iterator[tuple[RemoteLedger, ScriptedServer]]:
    with serving(answer) as server:
        client = boto3.client("lambda", endpoint_url=server.url, config=IMPATIENT)
        orders = SignedOrders(
            url="https://orders.example", region="eu-central-1", credentials=lambda: Credentials("a", "s", "t"), key=key,
            clock=lambda: NOW, pool=urllib3.PoolManager(timeout=urllib3.Timeout(1.0), retries=False), via=server.url,
        )  # fmt: skip
        yield RemoteLedger(ANNA, LedgerQuestions(client, "query"), orders, orders), server


def found(value: Any, refused: str | None = None) -> Callable[[Request], Reply]:
    return lambda _: Reply(200, {"found": value, "refused": refused})


def test_a_question_names_the_person_and_is_asked_once(aws: None) -> None:
    with ledger(found(True)) as (one, server):
        one.require("paper-25k", "resume")
        (request,) = server.requests
    assert json.loads(request.body) == {"kind": "permission", "who": ANNA, "account": "paper-25k", "action": "resume"}
    assert request.path.endswith("/functions/query/invocations")


def test_a_refusal_is_the_ledgers_own_words(aws: None) -> None:
    with ledger(found(None, "telegram:11 has no role")) as (one, _), pytest.raises(BotLedgerError, match="has no role") as error:
        one.accounts()
    assert not isinstance(error.value, BotLedgerSilentError)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, {"errorMessage": "database is down"}, headers={"X-Amz-Function-Error": "Unhandled"}),
        Reply(500, {"message": "x"}),
        Reply(429, {"message": "Rate Exceeded"}),
        Reply(200, b"<html>"),
        Reply(200, b""),
        Reply(200, {"other": 1}),
        Reply(200, [1]),
    ],
)
def test_what_is_no_answer_is_silence_and_never_an_empty_ledger(aws: None, reply: Reply) -> None:
    with ledger(lambda _: reply) as (one, server):
        with pytest.raises(BotLedgerSilentError, match="does not answer"):
            one.trades("paper-25k", NOW, NOW)
        assert len(server.requests) == 1  # a person waits: nothing is tried again behind their back


def test_a_ledger_that_hangs_is_given_up(aws: None) -> None:
    with ledger(lambda _: Reply(hang=True)) as (one, _):
        for ask in (one.accounts, lambda: one.command(COMMAND)):
            started = time.monotonic()
            with pytest.raises(BotLedgerSilentError):
                ask()
            assert time.monotonic() - started < 10  # of timeouts of a second each


def test_a_command_is_signed_by_the_function_and_sealed_for_the_person(aws: None) -> None:
    with ledger(lambda _: Reply(200, {"account": "paper-25k"})) as (one, server):
        assert one.command(COMMAND)["account"] == "paper-25k"
        (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/accounts/paper-25k/resume")
    assert request.headers["host"] == "orders.example"
    assert request.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=a/")
    sealed = SealedRequest("POST", request.path, request.body)
    assert open_person(request.headers[HEADER], sealed, FixedKeys(PEOPLE_KEY), NOW) == ANNA
    assert json.loads(request.body)["request_id"] == "tg-0123"


@pytest.mark.parametrize(
    ("reply", "silent", "part"),
    [
        (Reply(503, {"message": "x"}), True, "does not answer"),
        (Reply(500, b"<html>"), True, "does not answer"),
        (Reply(429, {"message": "x"}), True, "does not answer"),
        (Reply(403, {"message": "Forbidden"}), False, r"refused the request \(HTTP 403\)"),
        (Reply(409, {"type": "urn:signalbox:problem:command", "title": "t", "detail": "the halt is newer"}), False, "is newer"),
    ],
)
def test_only_what_is_surely_refused_is_called_refused(aws: None, reply: Reply, *, silent: bool, part: str) -> None:
    with ledger(lambda _: reply) as (one, server):
        with pytest.raises(BotLedgerError, match=part) as error:
            one.command(COMMAND)
        assert isinstance(error.value, BotLedgerSilentError) == silent
        assert len(server.requests) == 1


def test_without_its_key_nothing_is_sent(aws: None) -> None:
    with ledger(found({}), no_key) as (one, server):
        with pytest.raises(BotLedgerError, match="Nothing was sent"):
            one.command(COMMAND)
        assert server.requests == []


def test_a_late_question_is_not_asked_but_a_command_is_sent(aws: None) -> None:
    """Killed by its timeout, the function would say nothing, and the message would come again a minute later."""
    with ledger(lambda _: Reply(200, {"account": "paper-25k"})) as (one, server):
        late = replace(one, is_late=lambda: True)
        with pytest.raises(BotLedgerSilentError):
            late.accounts()
        assert server.requests == []
        assert late.command(COMMAND)["account"] == "paper-25k"
        assert len(server.requests) == 1


def test_a_late_question_to_the_library_is_not_asked_but_a_change_is_sent(aws: None) -> None:
    """As of the ledger: three slow answers one after the other would outlast the function."""
    with ledger(lambda _: Reply(200, {"state": "pending"})) as (one, server):
        late = replace(one, is_late=lambda: True)
        for verb, facts in (("show", {"version": "dir60"}), ("history", {"limit": 1}), ("permission", {"action": "promote"})):
            with pytest.raises(BotLedgerSilentError):
                late.library(verb, facts)
        assert server.requests == []
        assert late.library("rollback", {"request_id": "tg-0123", "why": "too many"}) == {"state": "pending"}


@pytest.mark.parametrize("reply", [Reply(200, b"<html>"), Reply(200, b""), Reply(200, [1])])
def test_a_success_that_cannot_be_read_is_silence(aws: None, reply: Reply) -> None:
    with ledger(lambda _: reply) as (one, _):
        for ask in (
            lambda: one.command(COMMAND),
            lambda: one.library("history", {"limit": 1}),
            lambda: one.library("rollback", {"request_id": "tg-0123", "why": "too many"}),
        ):
            with pytest.raises(BotLedgerSilentError):
                ask()
