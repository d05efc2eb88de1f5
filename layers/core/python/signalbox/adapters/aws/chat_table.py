"""The bot's people and invitations, commands that wait for confirmation, and the updates already answered, in DynamoDB.

One table with the string key `id` and the TTL attribute `expiration`. What has to happen once is a conditional write. DynamoDB
removes an expired item within days, so every read compares the time itself.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from signalbox.access import Role
from signalbox.chat.bot.people import CODE_VALID, ChatPerson, Invitation, People, PeopleBook
from signalbox.chat.bot.ports import PendingCommand, PendingCommands, change_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

FINISHED_KEPT: Final = timedelta(days=3)  # the messenger repeats an update for a day
KNOWN_SECONDS: Final = 30.0  # for which the webhook trusts what it read; the worker reads again
UNKNOWN_SECONDS: Final = 3.0
_MOST_KEPT: Final = 1000


class DynamoPeople(PeopleBook):
    """PeopleBook on the table, and the changes that the operator's command makes to it."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client, self._table = client, table

    @override
    def person(self, user: int) -> ChatPerson | None:
        item = self._item(_person(user))
        return None if item is None else _person_of(item)

    @override
    def lists_chat(self, chat: int) -> bool:
        return self._item(_chat(chat)) is not None

    @override
    def redeem(self, code_hash: str, user: int, name: str, now: datetime) -> ChatPerson | None:
        if (role := self._used(code_hash, user, now)) is None:
            return None
        held = self.person(user)
        zone = "UTC" if held is None else held.zone
        person = ChatPerson(user, role, name, now, zone)
        self.list_person(person)
        return person

    def _used(self, code_hash: str, user: int, now: datetime) -> Role | None:
        """Use a code; the person who used it gets the same answer again, if the first one was lost."""
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key=_key(f"invitation#{code_hash}"),
                UpdateExpression="SET redeemed_by = :user",
                ConditionExpression="attribute_exists(id) AND open_until > :now AND (attribute_not_exists(redeemed_by)"
                " OR redeemed_by = :user)",
                ExpressionAttributeValues={":user": _number(user), ":now": _number(int(now.timestamp()))},
                ReturnValues="ALL_NEW",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return None
        return Role(answer["Attributes"]["role"]["S"])

    @override
    def choose_zone(self, user: int, zone: str) -> None:
        self._client.update_item(
            TableName=self._table,
            Key=_key(_person(user)),
            UpdateExpression="SET #z = :zone",
            ConditionExpression="attribute_exists(id)",
            ExpressionAttributeNames={"#z": "zone"},
            ExpressionAttributeValues={":zone": {"S": zone}},
        )

    # the operator's side

    def invite(self, code_hash: str, role: Role, now: datetime) -> Invitation:
        """Store the hash of a new code, with which one person may join. Returns the invitation."""
        until = int((now + CODE_VALID).timestamp())
        self._client.put_item(
            TableName=self._table,
            Item={
                **_key(f"invitation#{code_hash}"),
                "role": {"S": role.value},
                "open_until": _number(until),
                "expiration": _number(until + 86_400),
            },
            ConditionExpression="attribute_not_exists(id)",
        )
        return Invitation(code_hash, role, datetime.fromtimestamp(until, UTC))

    def invitation(self, code_hash: str) -> Invitation | None:
        """Return the invitation of a code's hash, used or not; None if there is none."""
        item = self._item(f"invitation#{code_hash}")
        if item is None:
            return None
        used = item.get("redeemed_by")
        until = datetime.fromtimestamp(int(item["open_until"]["N"]), UTC)
        return Invitation(code_hash, Role(item["role"]["S"]), until, None if used is None else int(used["N"]))

    def list_person(self, person: ChatPerson) -> None:
        """Add a person to the list, or replace their entry."""
        self._client.put_item(
            TableName=self._table,
            Item={
                **_key(_person(person.user)),
                "role": {"S": person.role.value},
                "name": {"S": person.name},
                "since": {"S": person.since.isoformat()},
                "zone": {"S": person.zone},
            },
        )

    def remove_person(self, user: int) -> bool:
        """Remove a person; False if they are not listed."""
        answer = self._client.delete_item(TableName=self._table, Key=_key(_person(user)), ReturnValues="ALL_OLD")
        return "Attributes" in answer

    def list_chat(self, chat: int) -> None:
        """Let a group use the bot."""
        self._client.put_item(TableName=self._table, Item=_key(_chat(chat)))

    def remove_chat(self, chat: int) -> bool:
        """Remove a group; False if it is not listed."""
        answer = self._client.delete_item(TableName=self._table, Key=_key(_chat(chat)), ReturnValues="ALL_OLD")
        return "Attributes" in answer

    def everybody(self) -> tuple[tuple[ChatPerson, ...], tuple[int, ...]]:
        """Return the people and the groups, sorted. Reads the whole table: for the operator's command alone."""
        pages = self._client.get_paginator("scan").paginate(TableName=self._table, ConsistentRead=True)
        items = [item for page in pages for item in page["Items"]]
        people = [_person_of(item) for item in items if item["id"]["S"].startswith("person#")]
        chats = [int(item["id"]["S"].partition("#")[2]) for item in items if item["id"]["S"].startswith("chat#")]
        return tuple(sorted(people, key=lambda one: one.user)), tuple(sorted(chats))

    def _item(self, name: str) -> dict[str, Any] | None:
        return self._client.get_item(TableName=self._table, Key=_key(name), ConsistentRead=True).get("Item")


class RememberedPeople(People):
    """People, cached for a few seconds, because the webhook must answer within milliseconds."""

    def __init__(self, people: People, clock: Callable[[], float] = time.monotonic) -> None:
        self._people, self._clock = people, clock
        self._kept: dict[str, tuple[float, Any]] = {}

    @override
    def person(self, user: int) -> ChatPerson | None:
        found: ChatPerson | None = self._read(_person(user), lambda: self._people.person(user))
        return found

    @override
    def lists_chat(self, chat: int) -> bool:
        return bool(self._read(_chat(chat), lambda: self._people.lists_chat(chat)))

    def _read(self, name: str, read: Callable[[], Any]) -> Any:
        now, kept = self._clock(), self._kept.get(name)
        if kept is not None and now < kept[0]:
            return kept[1]
        found = read()
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[name] = (now + (KNOWN_SECONDS if found else UNKNOWN_SECONDS), found)
        return found


class DynamoPending(PendingCommands):
    """PendingCommands on the table."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client, self._table = client, table

    @override
    def put(self, pending: PendingCommand) -> None:
        with contextlib.suppress(self._client.exceptions.ConditionalCheckFailedException):
            self._client.put_item(
                TableName=self._table, Item=_pending_item(pending), ConditionExpression="attribute_not_exists(id)"
            )

    @override
    def put_again(self, pending: PendingCommand) -> None:
        self._client.put_item(TableName=self._table, Item=_pending_item(pending))

    @override
    def get(self, token: str) -> PendingCommand | None:
        key = _key(f"pending#{token}")
        item = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
        return None if item is None else _pending_of(token, item)

    @override
    def take(self, token: str, user: int, chat: int, update: int) -> PendingCommand | None:
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key=_key(f"pending#{token}"),
                UpdateExpression="SET taken_by = :update",
                ConditionExpression=_MAY_TAKE,
                ExpressionAttributeNames={"#u": "user"},
                ExpressionAttributeValues={":user": _number(user), ":chat": _number(chat), ":update": _number(update)},
                ReturnValues="ALL_NEW",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return None
        return _pending_of(token, answer["Attributes"])


# PendingCommand.is_for, as the table judges it in the same write
_MAY_TAKE: Final = (
    "(approved_by = :user OR (attribute_not_exists(approved_by)"
    " AND ((attribute_exists(waits_for_second) AND #u <> :user)"
    " OR (attribute_not_exists(waits_for_second) AND #u = :user AND chat = :chat))))"
    " AND (attribute_not_exists(taken_by) OR taken_by = :update)"
)


def _pending_item(pending: PendingCommand) -> dict[str, Any]:
    item = {
        **_key(f"pending#{pending.token}"),
        "user": _number(pending.user),
        "chat": _number(pending.chat),
        "command": {"S": pending.command.model_dump_json()},
        "expires_at": {"S": pending.expires_at.isoformat()},
        "expiration": _number(int(pending.expires_at.timestamp()) + 86_400),
    }
    if pending.waits_for_second:
        item["waits_for_second"] = {"BOOL": True}
    if pending.approved_by is not None:
        item["approved_by"] = _number(pending.approved_by)
    if pending.was_sent:
        item["was_sent"] = {"BOOL": True}
    return item


def _pending_of(token: str, item: Mapping[str, Any]) -> PendingCommand:
    approved = item.get("approved_by")
    return PendingCommand(
        token=token,
        user=int(item["user"]["N"]),
        chat=int(item["chat"]["N"]),
        command=change_of(item["command"]["S"]),
        expires_at=datetime.fromisoformat(item["expires_at"]["S"]),
        waits_for_second="waits_for_second" in item,
        approved_by=None if approved is None else int(approved["N"]),
        was_sent="was_sent" in item,
    )


class DynamoFinishedUpdates:
    """FinishedUpdates on the table."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client, self._table = client, table

    def is_finished(self, update_id: int) -> bool:
        key = _key(f"update#{update_id}")
        return "Item" in self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)

    def finish(self, update_id: int, at: datetime) -> None:
        until = _number(int((at + FINISHED_KEPT).timestamp()))
        self._client.put_item(TableName=self._table, Item={**_key(f"update#{update_id}"), "expiration": until})


def _person_of(item: dict[str, Any]) -> ChatPerson:
    return ChatPerson(
        user=int(item["id"]["S"].partition("#")[2]),
        role=Role(item["role"]["S"]),
        name=item["name"]["S"],
        since=datetime.fromisoformat(item["since"]["S"]),
        zone=item["zone"]["S"],
    )


def _person(user: int) -> str:
    return f"person#{user}"


def _chat(chat: int) -> str:
    return f"chat#{chat}"


def _key(name: str) -> dict[str, Any]:
    return {"id": {"S": name}}


def _number(value: int) -> Any:
    return {"N": str(value)}
