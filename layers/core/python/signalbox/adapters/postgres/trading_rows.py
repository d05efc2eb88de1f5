"""Converts domain objects of an account to table rows and back. Exact: what is read equals what was written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from pydantic import TypeAdapter

from signalbox.adapters.postgres.trading_tables import Row
from signalbox.market.candles import Symbol
from signalbox.orders.events import OrderEvent, OrderFilled, OrderReleased, parse_order_events
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.lifecycle import replay
from signalbox.orders.order import Order
from signalbox.orders.terms import Leg, Side
from signalbox.portfolio.account import EquitySnapshot
from signalbox.portfolio.entries import Entry, Fill, FundingPayment, Transfer
from signalbox.portfolio.lots import Disposal, Lot, LotMethod, StandingOrder
from signalbox.portfolio.position import BookedPosition
from signalbox.risk.ftmo.headroom import StopLevel
from signalbox.risk.ftmo.monitor import FtmoRuleState
from signalbox.risk.ftmo.state import AccountDay
from signalbox.risk.snapshot import HaltLevel, Lock, LossRule
from signalbox.trading.changes import RiskEvent, RiskEventKind
from signalbox.trading.readiness import Confirmation
from signalbox.trading.state import Closing, ExitProgress, Halt, Trade, TradeState
from signalbox.trading.warnings import DepletionWarning, IssuedWarning, LimitWarning

_HALT: Final = TypeAdapter(Halt)
_text_of: Final = lru_cache(maxsize=4096)(datetime.isoformat)  # a batch has few instants, each in many rows
_PROGRESS: Final = TypeAdapter(ExitProgress)
_CLOSINGS: Final = TypeAdapter(list[Closing])
_RULE_STATE: Final = TypeAdapter(FtmoRuleState)
_DEPLETED: Final = "EXHAUSTED"  # first part of the text of a depleted headroom warning


def event_rows(events: Iterable[OrderEvent], account: str) -> list[Row]:
    """Return the rows of order events that are saved together: consecutive events of one order share a row.

    A row has the id of its first event and the kind of its last, and covers the instants `first_at` to `at`. An OrderReleased
    always ends its row, because releases are looked up by kind and instant.
    """
    rows: list[list[OrderEvent]] = []
    open_rows: dict[str, list[OrderEvent]] = {}
    for event in events:
        row = open_rows.get(event.client_order_id)
        is_release = isinstance(event, OrderReleased)
        if row is None or (is_release and row[-1].at > event.at):
            row = open_rows[event.client_order_id] = []
            rows.append(row)
        row.append(event)
        if is_release:
            del open_rows[event.client_order_id]
    return [_event_row(row, account) for row in rows]


def _event_row(events: Sequence[OrderEvent], account: str) -> Row:
    instants = [event.at for event in events]
    first, newest = min(instants), max(instants)
    return {
        "event_id": events[0].event_id,
        "client_order_id": events[0].client_order_id,
        "account": account,
        "kind": events[-1].kind,
        "at": _text_of(newest),
        "first_at": None if first == newest else _text_of(first),
        "payload": ",".join([event.to_text() for event in events]),  # the JSON texts as in an array, without brackets
    }


def orders_of_events(payloads: Iterable[str]) -> dict[ClientOrderId, Order]:
    """Return the orders that these payloads make. Payloads are in order of arrival; those of one order need not be adjacent."""
    return orders_and_events(payloads)[0]


def orders_of_rows(rows: Iterable[tuple[str, str]]) -> dict[ClientOrderId, Order]:
    """Return the orders of (client_order_id, payload) rows, which are in order of arrival.

    The results are cached, because an order is a pure function of its events' texts: a worker replays an open order once, not at
    every load.
    """
    payloads: dict[str, list[str]] = {}
    for key, payload in rows:
        payloads.setdefault(key, []).append(payload)
    return {ClientOrderId(key): _order_of(tuple(of_one)) for key, of_one in payloads.items()}


@lru_cache(maxsize=1024)
def _order_of(payloads: tuple[str, ...]) -> Order:
    return replay(parse_order_events(payloads))


def orders_and_events(payloads: Iterable[str]) -> tuple[dict[ClientOrderId, Order], list[OrderEvent]]:
    """Return what `orders_of_events` returns, and the events themselves."""
    events = parse_order_events(payloads)
    by_order: dict[str, list[OrderEvent]] = {}
    for event in events:
        by_order.setdefault(event.client_order_id, []).append(event)
    return {ClientOrderId(key): replay(of_one) for key, of_one in by_order.items()}, events


def order_row(order: Order) -> Row:
    """Return the projection of an order as a row."""
    terms = order.terms
    return {
        "client_order_id": order.client_order_id,
        "account": terms.account,
        "strategy": terms.strategy,
        "symbol": terms.symbol,
        "decided_at": _text_of(terms.decided_at),
        "leg": terms.leg,
        "attempt": terms.attempt,
        "side": terms.side,
        "type": terms.type,
        "time_in_force": terms.time_in_force,
        "expires_at": instant_text(terms.expires_at),
        "reduce_only": terms.reduce_only,
        "send_before": _text_of(terms.send_before),
        "state": order.state,
        "quantity": str(order.quantity),
        "limit_price": _number(order.limit_price),
        "stop_price": _number(order.stop_price),
        "filled": str(order.filled),
        "filled_value": str(order.filled_value),
        "fees": str(order.fees),
        "venue_order_id": order.venue_order_id,
        "submitted_at": instant_text(order.submitted_at),
        "accepted_at": instant_text(order.accepted_at),
        "unconfirmed_since": instant_text(order.unconfirmed_since),
        "closed_at": instant_text(order.closed_at),
        "pending": _pending(order),
        "reason": order.reason,
        "detail": order.detail,
    }


def _pending(order: Order) -> str | None:
    """Return the pending requests as JSON text, for people who look at the table; None without any."""
    cancel, update = order.pending_cancel, order.pending_update
    if cancel is None and update is None:
        return None
    asked: dict[str, object] = {}
    if cancel is not None:
        asked["cancel"] = {"request_id": cancel.request_id, "requested_at": cancel.requested_at.isoformat()}
    if update is not None:
        asked["update"] = {
            "request_id": update.request_id,
            "requested_at": update.requested_at.isoformat(),
            "quantity": str(update.quantity),
            "limit_price": _number(update.limit_price),
            "stop_price": _number(update.stop_price),
        }
    return json.dumps(asked, separators=(",", ":"))


def fill_row(fill: Fill, client_order_id: str | None) -> Row:
    """Return the row of a fill, with its order if that is known."""
    return {
        "account": fill.account,
        "symbol": fill.symbol,
        "trade_id": fill.key,
        "client_order_id": client_order_id,
        "at": _text_of(fill.at),
        "side": fill.side,
        "quantity": str(fill.quantity),
        "price": str(fill.price),
        "fee": str(fill.fee),
    }


def fill_of(row: Sequence[Any]) -> Fill:
    """Return the fill of a row (account, symbol, trade_id, at, side, quantity, price, fee)."""
    account, symbol, trade_id, at, side, quantity, price, fee = row
    return Fill(account=account, symbol=symbol, key=trade_id, at=at, side=Side(side), quantity=quantity, price=price, fee=fee)


def entry_row(entry: FundingPayment | Transfer) -> Row:
    """Return the row of a transfer or funding payment."""
    return {
        "account": entry.account,
        "kind": entry.kind,
        "key": entry.key,
        "at": entry.at.isoformat(),
        "symbol": entry.symbol if isinstance(entry, FundingPayment) else None,
        "amount": str(entry.amount),
    }


def entry_of(row: Sequence[Any]) -> Entry:
    """Return the entry of a row (account, kind, key, at, symbol, amount)."""
    account, _, key, at, symbol, amount = row
    if symbol is None:
        return Transfer(account=account, key=key, at=at, amount=amount)
    return FundingPayment(account=account, key=key, at=at, symbol=symbol, amount=amount)


def trade_ids(events: Iterable[OrderEvent]) -> dict[tuple[str, str], str]:
    """Return the order of each trade in these events, by symbol and trade id."""
    return {(event.symbol, event.trade_id): event.client_order_id for event in events if isinstance(event, OrderFilled)}


def position_row(account: str, position: BookedPosition) -> Row:
    """Return the row of a position."""
    return {
        "account": account,
        "symbol": position.symbol,
        "quantity": str(position.quantity),
        "cost": str(position.cost),
        "realised": str(position.realised),
        "fees": str(position.fees),
        "funding": str(position.funding),
        "volume": str(position.volume),
    }


def lot_row(account: str, lot: Lot) -> Row:
    """Return the row of a lot."""
    return {
        "account": account,
        "lot_id": lot.lot_id,
        "symbol": lot.symbol,
        "opened_at": _text_of(lot.opened_at),
        "quantity": str(lot.quantity),
        "price": str(lot.price),
        "fee": str(lot.fee),
    }


def disposal_rows(account: str, disposals: Iterable[Disposal]) -> list[Row]:
    """Return the rows of disposals, which are in order of closing."""
    places: dict[str, int] = {}
    rows: list[Row] = []
    for disposal in disposals:
        place = places.get(disposal.fill_id, 0)
        places[disposal.fill_id] = place + 1
        rows.append(
            {
                "account": account,
                "fill_id": disposal.fill_id,
                "place": place,
                "lot_id": disposal.lot_id,
                "symbol": disposal.symbol,
                "opened_at": _text_of(disposal.opened_at),
                "closed_at": _text_of(disposal.closed_at),
                "quantity": str(disposal.quantity),
                "open_price": str(disposal.open_price),
                "close_price": str(disposal.close_price),
                "open_fee": str(disposal.open_fee),
                "close_fee": str(disposal.close_fee),
                "method": disposal.method,
            }
        )
    return rows


def disposal_of(row: Sequence[Any]) -> Disposal:
    """Return the disposal of a row, whose columns are in the order of the dataclass."""
    return Disposal(*(*row[:-1], LotMethod(row[-1])))


def standing_order_row(account: str, order: StandingOrder) -> Row:
    """Return the row of a standing order."""
    return {
        "account": account,
        "method": order.method.value,
        "effective_from": order.effective_from.isoformat(),
        "given_at": order.given_at.isoformat(),
    }


def standing_order_of(row: Sequence[Any]) -> StandingOrder:
    """Return the standing order of a row (method, given_at, effective_from)."""
    method, given_at, effective_from = row
    return StandingOrder(LotMethod(method), given_at, effective_from)


def trade_row(account: str, trade: Trade) -> Row:
    """Return the row of a trade."""
    return {
        "account": account,
        "entry": trade.entry,
        "symbol": trade.symbol,
        "side": trade.side.value,
        "decided_at": trade.decided_at.isoformat(),
        "deployment": trade.deployment,
        "stage": trade.stage,
        "state": trade.state.value,
        "stop_loss": str(trade.stop_loss),
        "take_profit": _number(trade.take_profit),
        "deadline": trade.deadline.isoformat(),
        "opened_at": instant_text(trade.opened_at),
        "exit": trade.exit,
        "exit_leg": None if trade.exit_leg is None else trade.exit_leg.value,
        "closed_at": instant_text(trade.closed_at),
        "realised": _number(trade.realised),
        "progress": _PROGRESS.dump_json(trade.progress, exclude_defaults=True).decode(),
    }


def trade_of(row: Sequence[Any]) -> Trade:
    """Return the trade of a row, whose columns are in the order of the dataclass."""
    entry, symbol, side, decided_at, deployment, stage, state, stop, target, deadline, opened, exit_, leg, closed, *rest = row
    realised, progress = rest
    return Trade(
        entry=ClientOrderId(entry),
        symbol=Symbol(symbol),
        side=Side(side),
        decided_at=decided_at,
        deployment=deployment,
        stage=stage,
        state=TradeState(state),
        stop_loss=stop,
        take_profit=target,
        deadline=deadline,
        opened_at=opened,
        exit=None if exit_ is None else ClientOrderId(exit_),
        exit_leg=None if leg is None else Leg(leg),
        closed_at=closed,
        realised=realised,
        progress=_PROGRESS.validate_json(progress),
    )


def closings_text(closings: Mapping[Symbol, Closing]) -> str:
    """Return the closings of an account as JSON text for its row."""
    return _CLOSINGS.dump_json([closings[symbol] for symbol in sorted(closings)]).decode()


@lru_cache(maxsize=64)  # nearly always the same empty list
def closings_of(text: str) -> Mapping[Symbol, Closing]:
    """Return the closings that `closings_text` wrote."""
    return MappingProxyType({closing.symbol: closing for closing in _CLOSINGS.validate_json(text)})


def equity_row(snapshot: EquitySnapshot) -> Row:
    """Return the row of an equity snapshot."""
    names = ("cash", "balance", "unrealised", "equity", "exposure", "transfers", "realised", "fees", "funding")
    marks = json.dumps({symbol: str(mark) for symbol, mark in sorted(snapshot.marks.items())}, separators=(",", ":"))
    numbers = {name: str(getattr(snapshot, name)) for name in names}
    return {"account": snapshot.account, "at": snapshot.at.isoformat(), "marks": marks, **numbers}


def equity_of(row: Sequence[Any]) -> EquitySnapshot:
    """Return the equity snapshot of a row, whose columns are in the order of the dataclass."""
    marks = MappingProxyType({symbol: Decimal(mark) for symbol, mark in json.loads(row[-1]).items()})
    return EquitySnapshot(*(*row[:-1], marks))


def day_row(account: str, day: AccountDay) -> Row:
    """Return the row of a finished day."""
    return {
        "account": account,
        "day": day.date.isoformat(),
        "baseline": str(day.baseline),
        "daily_limit": str(day.daily_limit),
        "closing_balance": str(day.closing_balance),
        "worst_equity": str(day.worst_equity),
    }


def risk_row(account: str, event: RiskEvent) -> Row:
    """Return the row of a compliance record line."""
    return {
        "account": account,
        "kind": event.kind.value,
        "key": event.key,
        "at": _text_of(event.at),
        "code": event.code,
        "symbol": event.symbol,
        "limit_amount": str(event.limit) if isinstance(event.limit, Decimal) else None,
        "limit_text": event.limit if isinstance(event.limit, str) else None,
        "value_amount": str(event.value) if isinstance(event.value, Decimal) else None,
        "value_text": event.value if isinstance(event.value, str) else None,
        "who": event.who,
        "detail": event.detail,
        "snapshot_id": event.snapshot_id,
    }


def confirmation_row(account: str, confirmed: Confirmation) -> Row:
    """Return the row of a confirmation."""
    return {
        "account": account,
        "request_id": confirmed.request_id,
        "what": confirmed.what,
        "who": confirmed.who,
        "at": confirmed.at.isoformat(),
    }


def risk_event_of(row: Sequence[Any]) -> RiskEvent:
    """Return the line of a row (kind, key, at, code, symbol, limit, limit_text, value, value_text, who, detail, snapshot_id)."""
    kind, key, at, code, symbol, limit, limit_text, value, value_text, who, detail, snapshot_id = row
    return RiskEvent(
        kind=RiskEventKind(kind),
        key=key,
        at=at,
        code=code,
        symbol=None if symbol is None else Symbol(symbol),
        limit=limit if limit_text is None else limit_text,
        value=value if value_text is None else value_text,
        who=who,
        detail=detail,
        snapshot_id=snapshot_id,
    )


def halt_row(account: str, halt: Halt) -> Row:
    """Return the row of a halt."""
    return {
        "account": account,
        "level": halt.level.value,
        "who": halt.who,
        "why": halt.why,
        "since": halt.since.isoformat(),
        "until": instant_text(halt.until),
    }


def halt_of(row: Sequence[Any]) -> Halt:
    """Return the halt of a row (level, who, why, since, until)."""
    level, who, why, since, until = row
    return Halt(HaltLevel(level), who, why, since, until)


def halt_text(halt: Halt | None) -> str | None:
    """Return the halt in force as JSON text for the account's row."""
    return None if halt is None else _HALT.dump_json(halt).decode()


def halt_of_text(text: str | None) -> Halt | None:
    """Return the halt that `halt_text` wrote."""
    return None if text is None else _HALT.validate_json(text)


def lock_rows(account: str, locks: Sequence[Lock]) -> list[Row]:
    """Return the rows of all locks of an account; `place` keeps their order."""
    return [
        {
            "account": account,
            "place": place,
            "reason": lock.reason,
            "symbol": lock.symbol,
            "since": lock.since.isoformat(),
            "until": lock.until.isoformat(),
            "limit_amount": str(lock.limit),
            "value_amount": str(lock.value),
        }
        for place, lock in enumerate(locks)
    ]


def lock_of(row: Sequence[Any]) -> Lock:
    """Return the lock of a row (reason, symbol, since, until, limit, value)."""
    reason, symbol, since, until, limit, value = row
    return Lock(reason, None if symbol is None else Symbol(symbol), since, until, limit, value)


def rule_state_text(state: FtmoRuleState | None) -> str | None:
    """Return the state of the rule monitor as JSON text for the account's row, every number as exact decimal text."""
    return None if state is None else _RULE_STATE.dump_json(state).decode()


@lru_cache(maxsize=256)
def rule_state_of(text: str | None) -> FtmoRuleState | None:
    """Return the state that `rule_state_text` wrote. Raises pydantic.ValidationError."""
    return None if text is None else _RULE_STATE.validate_json(text)


def warning_texts(warned: Iterable[IssuedWarning]) -> list[str]:
    """Return the issued warnings as sorted texts for the account's row."""
    return sorted(map(_warning_text, warned))


def _warning_text(warning: IssuedWarning) -> str:
    if isinstance(warning, LimitWarning):
        return f"{warning.rule}:{warning.level}:{warning.day}"
    return f"{_DEPLETED}:{warning.rule}" + ("" if warning.day is None else f":{warning.day}")


def warnings_of(texts: Iterable[str]) -> frozenset[IssuedWarning]:
    """Return the warnings that `warning_texts` wrote. A text that cannot be read is skipped, so its warning is sent once more."""
    return frozenset(warning for text in texts if (warning := _warning_of(text)) is not None)


@lru_cache(maxsize=256)
def _warning_of(text: str) -> IssuedWarning | None:
    try:
        match text.split(":"):
            case [kind, rule] if kind == _DEPLETED:
                return DepletionWarning(LossRule(rule), None)
            case [kind, rule, day] if kind == _DEPLETED:
                return DepletionWarning(LossRule(rule), date.fromisoformat(day))
            case [rule, level, day]:
                return LimitWarning(LossRule(rule), StopLevel(level), date.fromisoformat(day))
            case _:
                return None
    except ValueError:
        return None


def instant_text(instant: datetime | None) -> str | None:
    """Return an instant as ISO 8601 text; None stays None."""
    return None if instant is None else _text_of(instant)


def _number(number: Decimal | None) -> str | None:
    return None if number is None else str(number)
