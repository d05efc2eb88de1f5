"""Shapes of the JSON that the orders API answers with; view.py fills them. Amounts are decimal text, instants ISO 8601."""

from __future__ import annotations

from typing_extensions import TypedDict


class IdentityDocument(TypedDict):
    """What an account is. `currency` is the unit of every amount of the account."""

    account: str
    mode: str
    venue: str
    kind: str
    phase: str | None
    currency: str
    capital: str | None


class ConfigurationDocument(IdentityDocument):
    """An account of a list, without what it has."""

    policy: str
    follows: str | None


class AccountsDocument(TypedDict):
    """Every account that the caller may see."""

    accounts: list[ConfigurationDocument]


class MarkDocument(TypedDict):
    """The newest price of a symbol, in quote currency."""

    price: str | None
    at: str | None


class PositionDocument(TypedDict):
    """What an account holds, in base currency; below zero is short. `mark` is null while it has no price."""

    symbol: str
    quantity: str | None
    mark: MarkDocument | None


class HoldingDocument(TypedDict):
    """What others hold at the same venue account: in no figure of ours."""

    symbol: str
    quantity: str | None


class OrderDocument(TypedDict):
    """An order. `reason` says why it was denied, rejected or ended."""

    client_order_id: str
    symbol: str
    side: str
    type: str
    leg: str
    state: str
    quantity: str | None
    limit_price: str | None
    stop_price: str | None
    filled: str | None
    average_price: str | None
    fees: str | None
    decided_at: str | None
    reason: str | None
    detail: str


class OrderAnswerDocument(TypedDict):
    """The account and the order of a command; `order` is null when the command touched none."""

    account: str
    order: OrderDocument | None


class TradeDocument(TypedDict):
    """A trade: an entry and its exits."""

    entry: str
    symbol: str
    side: str
    state: str
    stage: str
    stop_loss: str | None
    take_profit: str | None
    deadline: str | None


class HaltDocument(TypedDict):
    """The kill switch: who set it, why, and until when; null is until somebody resumes."""

    level: str
    who: str
    why: str
    since: str | None
    until: str | None


class DepletedDocument(TypedDict):
    """The headroom is too small for any entry: of which rule, and until when; null is for good."""

    rule: str
    left: str | None
    least_loss: str | None
    until: str | None


class LockDocument(TypedDict):
    """No entries until an instant; `symbol` null is every symbol."""

    reason: str
    symbol: str | None
    until: str | None


class LimitDocument(TypedDict):
    """A loss limit and how much of it is used. `limit` is the equity below which the rule is broken.

    `remaining` is what may still be lost. `counts_from` is null for a limit in force, else the midnight from which it counts.
    """

    rule: str
    limit: str | None
    amount: str | None
    used: str | None
    remaining: str | None
    level: str
    counts_from: str | None


class AccountDocument(IdentityDocument):
    """An account. `equity` is null while an open position has no price.

    `limits` is empty for an account without loss rules, or before its first day, and null while its equity is unknown.
    """

    as_of: str | None
    watched_until: str | None
    cash: str | None
    balance: str | None
    equity: str | None
    positions: list[PositionDocument]
    others: list[HoldingDocument]
    orders: list[OrderDocument]
    trades: list[TradeDocument]
    lot_method: str
    halt: HaltDocument | None
    limits: list[LimitDocument] | None
    exhausted: DepletedDocument | None
    locks: list[LockDocument]


class ReasonDocument(TypedDict):
    """One thing that stops an account from trading live, and what to do about it."""

    code: str
    found: str
    remedy: str


class ConfirmationDocument(TypedDict):
    """What somebody confirmed."""

    what: str
    who: str
    at: str | None


class ModelDocument(TypedDict):
    """The model that an account follows: its stage, and whether it passed each gate."""

    deployment: str
    stage: str
    gates: dict[str, bool]


class ReadinessDocument(TypedDict):
    """Whether an account may trade live, every reason against it, and what is known for it."""

    account: str
    mode: str
    venue: str
    at: str | None
    is_ready: bool
    reasons: list[ReasonDocument]
    may_confirm: list[str]
    mode_set: ConfirmationDocument | None
    rules_confirmed: ConfirmationDocument | None
    model: ModelDocument | None
    compared_at: str | None
    newest_bar_closed_at: str | None


class RoleDocument(TypedDict):
    """A role of somebody on an account, and who gave it."""

    principal: str
    role: str | None
    who: str
    at: str


class AccessDocument(TypedDict):
    """Who has a role on an account."""

    account: str
    access: list[RoleDocument]
