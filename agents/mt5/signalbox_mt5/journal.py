"""The agent's record of its work in one append-only file: one line per fact, on disk before the agent acts on it.

A line is JSON. After a power cut the last line may be incomplete; it is dropped. Any other damage stops the agent, because a
damaged journal cannot say what was sent. A second agent on the same journal would not know what the first one is sending, so a
lock file beside it is held while the journal is open.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Final

from signalbox.errors import SignalboxError
from signalbox.orders.messages import ViewedOrder
from signalbox.orders.venue_port import SendRecord
from signalbox.orders.venue_view import VenueOrder

LOST: Final = SendRecord(datetime.fromtimestamp(0, UTC))  # for an order that was sent before this journal was created


class JournalError(SignalboxError):
    """The journal is damaged, or another agent is using it."""


class JournalKind(StrEnum):
    """Which of a position's two levels, stop or target, represents one of our orders."""

    STOP = "sl"
    TARGET = "tp"


@dataclass(frozen=True, slots=True)
class PositionProtection:
    """An order of the ledger that exists at the terminal only as the stop or target level of positions.

    positions: their identifiers, which never change. A protection is released if the level was removed or another order took its
    place.
    """

    client_order_id: str
    entry: str
    symbol: str
    kind: JournalKind
    price: Decimal
    quantity: Decimal
    positions: tuple[int, ...]
    is_released: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """A command that could not be executed yet."""

    sequence: int
    text: str
    since: datetime


class Journal:
    """A SendLog in a file, with the position levels that represent orders, and the waiting commands. One process uses it."""

    def __init__(self, path: Path) -> None:
        """Open or create the journal. Raises JournalError."""
        self._path = path
        self._sends: dict[tuple[str, str], SendRecord] = {}
        self.command_sequence = 0
        self.report_sequence = 0
        self.zone: timedelta | None = None  # the broker's clock minus UTC, from the last current price
        self.protections: dict[str, PositionProtection] = {}  # by client order id, oldest first
        self.asked: dict[str, Decimal] = {}  # requested quantity of market orders in base currency; less may have been sent
        self.claims: dict[int, str] = {}  # deals by stop or target, and our order that each was reported for
        self.kept: dict[int, Kept] = {}  # by sequence
        self._lock = _locked(path)
        try:
            good = self._replay(path.read_bytes()) if path.exists() else 0
            self._file = path.open("ab")
        except BaseException:
            self._lock.close()
            raise
        self._file.truncate(good)

    def begin(self, account: str, client_order_id: str, at: datetime) -> bool:
        if (account, client_order_id) in self._sends:
            return False
        self._write({"did": "begin", "account": account, "id": client_order_id, "at": at.isoformat()})
        return True

    def forget(self, account: str, client_order_id: str) -> None:
        self._write({"did": "forget", "account": account, "id": client_order_id})

    def accept(self, account: str, client_order_id: str, order: VenueOrder) -> None:
        self._write(
            {"did": "accept", "account": account, "id": client_order_id, "order": ViewedOrder.of(order).model_dump(mode="json")}
        )

    def read(self, account: str, client_order_id: str) -> SendRecord | None:
        return self._sends.get((account, client_order_id))

    def orders(self, account: str) -> tuple[str, ...]:
        """Return every client order id of an account whose send was begun."""
        return tuple(name for of, name in self._sends if of == account)

    def handle(self, sequence: int) -> None:
        """Record that a command is being handled. Its text is not kept, because the ledger repeats the request anyway."""
        if sequence > self.command_sequence:
            self._write({"did": "handle", "sequence": sequence})

    def take(self, sequence: int, text: str, since: datetime) -> None:
        """Record a command before it is acknowledged. From then on it will be executed, even if the queue loses it."""
        if sequence > self.command_sequence:
            self._write({"did": "take", "sequence": sequence, "text": text, "since": since.isoformat()})

    def next_report(self, now: datetime) -> int:
        """Return the sequence of the next report. It is above all earlier ones, even if this file was lost."""
        sequence = max(self.report_sequence + 1, round(now.timestamp() * 1000))
        self._write({"did": "report", "sequence": sequence})
        return sequence

    def keep_zone(self, zone: timedelta) -> None:
        """Record the broker's time zone if it has changed."""
        if zone != self.zone:
            self._write({"did": "zone", "seconds": round(zone.total_seconds())})

    def ask(self, client_order_id: str, quantity: Decimal) -> None:
        """Record the requested quantity of a market order."""
        self._write({"did": "ask", "id": client_order_id, "quantity": str(quantity)})

    def protect(self, protection: PositionProtection) -> None:
        """Record that a level of these positions represents an order, in place of any earlier order."""
        self._write(
            {
                "did": "protect",
                "id": protection.client_order_id,
                "entry": protection.entry,
                "symbol": protection.symbol,
                "kind": protection.kind.value,
                "price": str(protection.price),
                "quantity": str(protection.quantity),
                "positions": list(protection.positions),
            }
        )

    def release(self, client_order_id: str) -> None:
        """Record that no level represents an order any more."""
        self._write({"did": "release", "id": client_order_id})

    def claim(self, deal: int, client_order_id: str) -> None:
        """Record the order for which a deal by stop or target was reported. It is never reported for another."""
        if self.claims.get(deal) != client_order_id:
            self._write({"did": "claim", "deal": deal, "id": client_order_id})

    def keep(self, sequence: int, text: str, since: datetime) -> None:
        """Record a command that has to wait."""
        if sequence not in self.kept:
            self._write({"did": "keep", "sequence": sequence, "text": text, "since": since.isoformat()})

    def drop(self, sequence: int) -> None:
        """Record that a command no longer waits."""
        if sequence in self.kept:
            self._write({"did": "drop", "sequence": sequence})

    def close(self) -> None:
        """Close the file and release the lock."""
        self._file.close()
        self._lock.close()

    def _write(self, fact: dict[str, Any]) -> None:
        self._file.write(json.dumps(fact, separators=(",", ":")).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._apply(fact)

    def _replay(self, data: bytes) -> int:
        """Apply every complete line. Return the number of bytes in them."""
        good = data.rfind(b"\n") + 1
        for number, line in enumerate(data[:good].splitlines(), start=1):
            try:
                self._apply(json.loads(line))
            except (ValueError, KeyError, TypeError, ArithmeticError) as error:
                raise JournalError(
                    f"{self._path} line {number}: cannot be read: {line[:80]!r}; keep the file, compare the account by hand"
                    " (docs/live-trading.md), then start with a new one"
                ) from error
        return good

    def _apply(self, fact: dict[str, Any]) -> None:
        match fact["did"]:
            case "begin":
                self._sends[fact["account"], fact["id"]] = SendRecord(datetime.fromisoformat(fact["at"]))
            case "forget":
                self._sends.pop((fact["account"], fact["id"]), None)
            case "accept":
                key = (fact["account"], fact["id"])
                order = ViewedOrder.model_validate(fact["order"]).as_order()
                self._sends[key] = replace(self._sends.get(key, LOST), accepted=order)
            case "handle" | "report":
                self._apply_sequence(fact)
            case "take":
                self.command_sequence = max(self.command_sequence, int(fact["sequence"]))
                self._apply_waiting(fact)
            case "ask":
                self.asked[fact["id"]] = Decimal(fact["quantity"])
            case "protect" | "release" | "claim":
                self._apply_protection(fact)
            case "keep" | "drop":
                self._apply_waiting(fact)
            case "zone":
                self.zone = timedelta(seconds=int(fact["seconds"]))
            case other:
                raise ValueError(f"unknown fact {other!r}")

    def _apply_sequence(self, fact: dict[str, Any]) -> None:
        sequence = int(fact["sequence"])
        if fact["did"] == "handle":
            self.command_sequence = max(self.command_sequence, sequence)
        else:
            self.report_sequence = max(self.report_sequence, sequence)

    def _apply_waiting(self, fact: dict[str, Any]) -> None:
        sequence = int(fact["sequence"])
        if fact["did"] in {"keep", "take"}:
            self.kept[sequence] = Kept(sequence, fact["text"], datetime.fromisoformat(fact["since"]))
        else:
            self.kept.pop(sequence, None)

    def _apply_protection(self, fact: dict[str, Any]) -> None:
        name = fact["id"]
        if fact["did"] == "claim":
            self.claims[int(fact["deal"])] = name
        elif fact["did"] == "release":
            if name in self.protections:
                self.protections[name] = replace(self.protections[name], is_released=True)
        else:
            made = PositionProtection(
                name,
                fact["entry"],
                fact["symbol"],
                JournalKind(fact["kind"]),
                Decimal(fact["price"]),
                Decimal(fact["quantity"]),
                tuple(fact["positions"]),
            )
            for other in list(self.protections.values()):
                if other.kind is made.kind and other.client_order_id != name and {*other.positions} & {*made.positions}:
                    self.protections[other.client_order_id] = replace(other, is_released=True)
            self.protections[name] = made


def _locked(path: Path) -> IO[bytes]:
    """Return the open lock file; closing it or ending the process releases the lock. Raises JournalError if it is locked."""
    file = path.with_name(f"{path.name}.lock").open("ab")
    try:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415 - there alone

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl  # noqa: PLC0415 - there alone

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise JournalError(
            f"{path}: another agent uses this journal; stop it first, because an account may have only one agent"
        ) from error
    return file
