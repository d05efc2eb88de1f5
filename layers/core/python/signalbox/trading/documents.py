"""The JSON documents that the orders API returns; view.py fills them. Amounts are decimal text, instants are ISO 8601."""

from __future__ import annotations

from typing_extensions import TypedDict


class IdentityDocument(TypedDict):
    """The identity of an account. `currency` is the unit of all its amounts."""

    account: str
    mode: str
    venue: str
    kind: str
    phase: str | None
    currency: str
    capital: str | None


class ConfigurationDocument(IdentityDocument):
    """An account in a list of accounts, without its positions and money."""

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
    """A position in base currency, negative when short. `mark` is null while the symbol has no price."""

    symbol: str
    quantity: str | None
    mark: MarkDocument | None


class HoldingDocument(TypedDict):
    """A position at the same venue account that is not ours. It counts in none of our figures."""

    symbol: str
    quantity: str | None


class OrderDocument(TypedDict):
    """An order. `reason` says why it was denied, rejected or ended; otherwise it is null."""

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
    """The account and the order of a command. `order` is null when the command changed no order."""

    account: str
    order: OrderDocument | None


class TradeDocument(TypedDict):
    """A trade: its entry, its stage and its barriers."""

    entry: str
    symbol: str
    side: str
    state: str
    stage: str
    stop_loss: str | None
    take_profit: str | None
    deadline: str | None


class HaltDocument(TypedDict):
    """The kill switch: its level, who set it and why. `until` null: until somebody resumes trading."""

    level: str
    who: str
    why: str
    since: str | None
    until: str | None


class DepletedDocument(TypedDict):
    """Headroom too small for any entry: the rule, what is left of it, and until when. `until` null: for good."""

    rule: str
    left: str | None
    least_loss: str | None
    until: str | None


class LockDocument(TypedDict):
    """A pause of new entries. `symbol` null: in every symbol."""

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
    """The state of an account. `equity` is null while an open position has no price."""

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
    """One reason why an account may not trade live, and the remedy."""

    code: str
    found: str
    remedy: str


class ConfirmationDocument(TypedDict):
    """A confirmation: what was confirmed, by whom and when."""

    what: str
    who: str
    at: str | None


class ModelDocument(TypedDict):
    """The model that an account follows: its stage, and whether it passed each gate."""

    deployment: str
    stage: str
    gates: dict[str, bool]


class ReadinessDocument(TypedDict):
    """Whether an account may trade live, every reason against it, and the facts behind the answer."""

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
    """The role of one principal on an account, and who granted it."""

    principal: str
    role: str | None
    who: str
    at: str


class AccessDocument(TypedDict):
    """Everybody who has a role on an account."""

    account: str
    access: list[RoleDocument]
