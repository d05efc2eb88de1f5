"""People, codes, pending commands and finished updates in DynamoDB: each happens once, whoever asks twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from local.cli.telegram.simulate import KeptCommands
from signalbox.access import Role
from signalbox.adapters.aws.chat_table import (
    KNOWN_SECONDS,
    UNKNOWN_SECONDS,
    DynamoFinishedUpdates,
    DynamoPending,
    DynamoPeople,
    RememberedPeople,
)
from signalbox.chat.bot.people import CODE_VALID, ChatPerson, hash_of, may_speak, new_code
from signalbox.chat.bot.ports import PendingCommand, PendingCommands
from signalbox.chat.updates import code_in
from signalbox.trading.commands import ResumeTrading

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TABLE = "chat"
ADA = ChatPerson(7, Role.OWNER, "Ada", NOW)


@pytest.fixture
def table(aws: None) -> Iterator[DynamoDBClient]:
    with mock_aws():
        client = boto3.client("dynamodb")
        client.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield client


def test_empty_means_nobody_and_both_lists_count(table: DynamoDBClient) -> None:
    people = DynamoPeople(table, TABLE)
    assert may_speak(people, 7, 7, is_private=True) is None
    people.list_person(ADA)
    assert may_speak(people, 7, 7, is_private=True) == ADA
    assert may_speak(people, 7, -100, is_private=False) is None
    people.list_chat(-100)
    assert may_speak(people, 7, -100, is_private=False) == ADA
    assert may_speak(people, 8, -100, is_private=False) is None  # a member of the group who is not listed
    assert people.everybody() == ((ADA,), (-100,))
    assert (people.remove_person(7), people.remove_person(7), people.remove_chat(-100)) == (True, False, True)
    assert people.everybody() == ((), ())


def test_a_code_lets_one_person_in_for_ten_minutes(table: DynamoDBClient) -> None:
    people, code = DynamoPeople(table, TABLE), new_code()
    assert code_in(code) == code
    people.invite(hash_of(code), Role.OPERATOR, NOW)
    assert people.redeem(hash_of(code), 7, "Ada", NOW + CODE_VALID) is None
    assert people.redeem(hash_of("AAAA-AAAA-AAAA-AAAA"), 7, "Ada", NOW) is None
    found = people.redeem(hash_of(code), 7, "Ada", NOW)
    assert found == ChatPerson(7, Role.OPERATOR, "Ada", NOW) == people.person(7)
    assert people.redeem(hash_of(code), 7, "Ada", NOW) == found  # delivered again
    assert people.redeem(hash_of(code), 8, "Eve", NOW) is None
    assert people.person(8) is None
    kept = people.invitation(hash_of(code))
    assert kept is not None
    assert kept.redeemed_by == 7
    assert code not in str(table.scan(TableName=TABLE))


def test_a_pending_command_is_one_press_of_one_person(table: DynamoDBClient) -> None:
    pending = DynamoPending(table, TABLE)
    command = ResumeTrading(account="paper-25k", request_id="tg-1", requested_at=NOW, why="looked")
    waiting = PendingCommand("t1", 7, -100, command, NOW + timedelta(seconds=60))
    pending.put(waiting)
    assert pending.take("t1", 8, -100, 50) is None
    assert pending.take("t1", 7, 7, 50) is None
    assert pending.take("none", 7, -100, 50) is None
    assert pending.take("t1", 7, -100, 51) == waiting
    assert pending.take("t1", 7, -100, 51) == waiting  # the same press, delivered again
    assert pending.take("t1", 7, -100, 52) is None  # pressed twice
    pending.put(waiting)
    assert pending.take("t1", 7, -100, 52) is None  # put by a repeated delivery, which changes nothing
    again = replace(waiting, was_sent=True)
    pending.put_again(again)  # the ledger did not answer: it may be pressed again
    assert pending.get("t1") == again
    assert pending.take("t1", 7, -100, 53) == again


def test_table_and_memory_agree_on_who_may_press(table: DynamoDBClient) -> None:
    command = ResumeTrading(account="paper-25k", request_id="tg-1", requested_at=NOW, why="looked")
    first = PendingCommand("t", 7, -100, command, NOW + timedelta(seconds=60))
    second = replace(first, waits_for_second=True)
    for number, waiting in enumerate((first, second, replace(second, approved_by=8))):
        stores: tuple[PendingCommands, ...] = (DynamoPending(table, TABLE), KeptCommands())
        for case, (user, chat) in enumerate(((7, -100), (7, 7), (8, -100), (8, 8), (9, 9))):
            one = replace(waiting, token=f"t{number}-{case}")
            for store in stores:
                assert store.get(one.token) is None
                store.put(one)
                assert store.get(one.token) == one
                assert (store.take(one.token, user, chat, 5) == one) == waiting.is_for(user, chat)
                assert store.take(one.token, user, chat, 6) is None


def test_a_zone_is_a_listed_persons(table: DynamoDBClient) -> None:
    people = DynamoPeople(table, TABLE)
    people.list_person(ADA)
    people.choose_zone(7, "Europe/Prague")
    found = people.person(7)
    assert found is not None
    assert found.zone == "Europe/Prague"
    with pytest.raises(table.exceptions.ConditionalCheckFailedException):
        people.choose_zone(8, "UTC")


def test_an_update_is_finished_once_it_was_noted(table: DynamoDBClient) -> None:
    finished = DynamoFinishedUpdates(table, TABLE)
    assert not finished.is_finished(5)
    finished.finish(5, NOW)
    assert finished.is_finished(5)
    assert not finished.is_finished(6)


def test_the_webhook_remembers_for_seconds(table: DynamoDBClient) -> None:
    people, now = DynamoPeople(table, TABLE), [0.0]
    remembered = RememberedPeople(people, lambda: now[0])
    assert remembered.person(7) is None
    people.list_person(ADA)
    assert remembered.person(7) is None
    now[0] = UNKNOWN_SECONDS
    assert remembered.person(7) == ADA
    people.remove_person(7)
    assert remembered.person(7) == ADA
    now[0] += KNOWN_SECONDS
    assert remembered.person(7) is None
    for user in range(3000):
        remembered.person(user)
    assert len(remembered._kept) <= 1000
