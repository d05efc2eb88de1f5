"""An account as a JSON document: configuration, money, positions, orders, trades and halts. Amounts are decimal text."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from signalbox.exact import exactly, plain
from signalbox.market.candles import Symbol
from signalbox.orders.order import Order
from signalbox.portfolio.account import snapshot
from signalbox.portfolio.lots import LotMethod, method_at
from signalbox.risk.ftmo.headroom import RuleHeadroom
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading.account import TradingAccount
from signalbox.trading.documents import (
    AccountDocument,
    ConfigurationDocument,
    ConfirmationDocument,
    DepletedDocument,
    HaltDocument,
    IdentityDocument,
    LimitDocument,
    MarkDocument,
    OrderDocument,
    ReadinessDocument,
    TradeDocument,
)
from signalbox.trading.headroom import depleted_headroom
from signalbox.trading.readiness import Confirmation, words_of
from signalbox.trading.service import ReadinessReport
from signalbox.trading.snapshot import moved, rule_monitor_of
from signalbox.trading.state import AccountState, Trade


def configuration_view(account: TradingAccount) -> ConfigurationDocument:
    """Return the configuration of an account, without its positions and money."""
    return {
        **_identity(account),
        "policy": account.policy.version,
        "follows": account.follows,
    }


def readiness_view(report: ReadinessReport) -> ReadinessDocument:
    """Return whether an account may trade live, with every reason against it, its remedy, and the facts behind the answer."""
    facts = report.facts
    model, compared = facts.model, facts.compared
    return {
        "account": facts.account.account,
        "mode": facts.account.mode.value,
        "venue": facts.account.venue,
        "at": _iso(report.at),
        "is_ready": report.readiness.is_green,
        "reasons": [{"code": one.code.value, "found": one.found, "remedy": one.remedy} for one in report.readiness.reasons],
        "may_confirm": list(words_of(facts.account)),
        "mode_set": _confirmation(facts.mode_set),
        "rules_confirmed": _confirmation(facts.rules_confirmed),
        "model": None if model is None else {"deployment": model.deployment, "stage": model.stage, "gates": dict(model.gates)},
        "compared_at": None if compared is None else _iso(compared.at),
        "newest_bar_closed_at": _iso(facts.newest_bar_closed_at),
    }


def _confirmation(confirmation: Confirmation | None) -> ConfirmationDocument | None:
    return None if confirmation is None else {"what": confirmation.what, "who": confirmation.who, "at": _iso(confirmation.at)}


def _identity(account: TradingAccount) -> IdentityDocument:
    return {
        "account": account.account,
        "mode": account.mode.value,
        "venue": account.venue,
        "kind": account.kind.value,
        "phase": account.ftmo_phase,
        "currency": account.currency,
        "capital": _text(account.capital),
    }


def account_view(state: AccountState) -> AccountDocument:
    """Return an account. `equity` is None while an open position has no price."""
    account, books = state.account, state.books
    equity = _equity(state)
    held = {symbol: position for symbol, position in sorted(books.positions.items()) if position.quantity}
    return {
        **_identity(account),
        "as_of": _iso(state.at),
        "watched_until": _iso(state.watched_until),
        "cash": _text(books.cash),
        "balance": _text(books.balance),
        "equity": _text(equity),
        "positions": [
            {"symbol": symbol, "quantity": _text(position.quantity), "mark": _mark(state, symbol)}
            for symbol, position in held.items()
        ],
        "others": [{"symbol": symbol, "quantity": _text(quantity)} for symbol, quantity in state.at_venue.others],
        "orders": [order_view(order) for order in state.orders.values() if not order.state.is_closed],
        "trades": [_trade_view(trade) for _, trade in sorted(state.trades.items())],
        "lot_method": method_at(books.standing_orders, state.at).value if state.at else LotMethod.FIFO.value,
        "halt": None if state.halt is None or state.halt.level is HaltLevel.NONE else _halt_view(state),
        "limits": _limits_view(state, equity),
        "exhausted": _exhausted_view(state),
        "locks": [{"reason": lock.reason, "symbol": lock.symbol, "until": _iso(lock.until)} for lock in state.locks],
    }


def order_view(order: Order) -> OrderDocument:
    """Return an order. `reason` says why it was denied, rejected or ended."""
    terms = order.terms
    return {
        "client_order_id": order.client_order_id,
        "symbol": terms.symbol,
        "side": terms.side.value,
        "type": terms.type.value,
        "leg": terms.leg.value,
        "state": order.state.value,
        "quantity": _text(order.quantity),
        "limit_price": _text(order.limit_price),
        "stop_price": _text(order.stop_price),
        "filled": _text(order.filled),
        "average_price": _text(order.average_price),
        "fees": _text(order.fees),
        "decided_at": _iso(terms.decided_at),
        "reason": order.reason,
        "detail": order.detail,
    }


@exactly
def _equity(state: AccountState) -> Decimal | None:
    held = [symbol for symbol, position in state.books.positions.items() if position.quantity]
    if state.at is None or any(Symbol(symbol) not in state.marks for symbol in held):
        return None
    return snapshot(state.books, {symbol: state.marks[Symbol(symbol)].price for symbol in held}, state.at).equity


def _mark(state: AccountState, symbol: str) -> MarkDocument | None:
    mark = state.marks.get(Symbol(symbol))
    return None if mark is None else {"price": _text(mark.price), "at": _iso(mark.at)}


def _trade_view(trade: Trade) -> TradeDocument:
    return {
        "entry": trade.entry,
        "symbol": trade.symbol,
        "side": trade.side.value,
        "state": trade.state.value,
        "stage": trade.stage,
        "stop_loss": _text(trade.stop_loss),
        "take_profit": _text(trade.take_profit),
        "deadline": _iso(trade.deadline),
    }


@exactly
def _limits_view(state: AccountState, equity: Decimal | None) -> list[LimitDocument] | None:
    monitor = rule_monitor_of(state.account, state.loss_rules)
    if monitor is None or monitor.day is None:
        return []
    if equity is None:
        return None
    transfers = moved(state.account, state.books)
    headroom = monitor.headroom(equity=equity - transfers)
    midnight = monitor.next_midnight
    return [
        *(_limit_view(rule, transfers, None) for rule in headroom.rules),
        *(_limit_view(rule, transfers, midnight) for rule in headroom.tomorrow),
    ]


def _limit_view(rule: RuleHeadroom, transfers: Decimal, counts_from: datetime | None) -> LimitDocument:
    return {
        "rule": rule.rule.value,
        "limit": _text(rule.limit + transfers),
        "amount": _text(rule.amount),
        "used": _text(rule.used),
        "remaining": _text(rule.remaining),
        "level": rule.level.value,
        "counts_from": _iso(counts_from),
    }


def _exhausted_view(state: AccountState) -> DepletedDocument | None:
    over = None if state.at is None else depleted_headroom(state, state.at)
    if over is None:
        return None
    return {
        "rule": over.rule.value,
        "left": _text(over.left),
        "least_loss": _text(over.least_loss),
        "until": _iso(over.until),
    }


def _halt_view(state: AccountState) -> HaltDocument:
    assert state.halt is not None  # noqa: S101 - the caller checks
    halt = state.halt
    return {"level": halt.level.value, "who": halt.who, "why": halt.why, "since": _iso(halt.since), "until": _iso(halt.until)}


def _text(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)


def _iso(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()
