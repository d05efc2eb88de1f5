"""Collection cursors in DynamoDB: one item for each symbol, which conditional writes move only forwards."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from signalbox.market.candles import Symbol, from_ms, to_ms

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoCursorStore:
    """CursorStore on a table with the string key `symbol`."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def newest(self, symbol: Symbol) -> datetime | None:
        """Return the newest announced open_time, read consistently; None if there is none."""
        answer = self._client.get_item(TableName=self._table, Key={"symbol": {"S": symbol}}, ConsistentRead=True)
        item = answer.get("Item")
        return None if item is None else from_ms(int(item["open_time_ms"]["N"]))

    def advance(self, symbol: Symbol, open_time: datetime) -> None:
        """Move the cursor to `open_time`, unless it is there or further already."""
        try:
            self._client.put_item(
                TableName=self._table,
                Item={"symbol": {"S": symbol}, "open_time_ms": {"N": str(to_ms(open_time))}},
                ConditionExpression="attribute_not_exists(symbol) OR open_time_ms < :t",
                ExpressionAttributeValues={":t": {"N": str(to_ms(open_time))}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return  # a newer run has moved it further already
