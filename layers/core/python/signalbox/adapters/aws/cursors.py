"""Collection cursors and standings in DynamoDB: one item of each per symbol. Conditional writes move it only forwards."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from signalbox.market.candles import Symbol, from_ms, to_ms
from signalbox.market.fallback import Standing

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoCursorStore:
    """CursorStore on a table with the string key `symbol`, which holds venue and symbol."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def newest(self, venue: str, symbol: Symbol) -> datetime | None:
        """Return the newest announced open_time, read consistently; None if there is none."""
        answer = self._client.get_item(TableName=self._table, Key={"symbol": {"S": f"{venue} {symbol}"}}, ConsistentRead=True)
        item = answer.get("Item")
        return None if item is None else from_ms(int(item["open_time_ms"]["N"]))

    def advance(self, venue: str, symbol: Symbol, open_time: datetime) -> None:
        """Move the cursor to `open_time`, unless it is there or further already."""
        try:
            self._client.put_item(
                TableName=self._table,
                Item={"symbol": {"S": f"{venue} {symbol}"}, "open_time_ms": {"N": str(to_ms(open_time))}},
                ConditionExpression="attribute_not_exists(symbol) OR open_time_ms < :t",
                ExpressionAttributeValues={":t": {"N": str(to_ms(open_time))}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return  # a newer run has moved it further already


class DynamoStandingStore:
    """StandingStore on the cursors' table; its keys cannot be a cursor's, since no venue is named `standing`."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def read(self, symbol: Symbol) -> Standing | None:
        """Return the newest standing of a symbol, read consistently; None if its own venue always answered."""
        answer = self._client.get_item(TableName=self._table, Key={"symbol": {"S": f"standing {symbol}"}}, ConsistentRead=True)
        if (item := answer.get("Item")) is None:
            return None
        venue = item["venue"]["S"] or None
        return Standing(venue, int(item["answered"]["N"]), from_ms(int(item["cycle_at_ms"]["N"])))

    def write(self, symbol: Symbol, standing: Standing) -> None:
        """Keep a standing, unless that of a newer cycle is kept."""
        at = {"N": str(to_ms(standing.cycle_at))}
        try:
            self._client.put_item(
                TableName=self._table,
                Item={
                    "symbol": {"S": f"standing {symbol}"},
                    "venue": {"S": standing.venue or ""},
                    "answered": {"N": str(standing.answered)},
                    "cycle_at_ms": at,
                },
                ConditionExpression="attribute_not_exists(symbol) OR cycle_at_ms < :t",
                ExpressionAttributeValues={":t": at},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return  # a newer run knows more
