"""Why an order is refused: one code per condition, in the order of the checks. docs/risk-codes.md is generated from this list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class RefusalCode(StrEnum):
    """Refusal codes, named THING_CONDITION, in the order of the checks."""

    ACCOUNT_HALTED = "ACCOUNT_HALTED"
    ENTRY_LOCKED = "ENTRY_LOCKED"
    ACCOUNT_STATE_AGE_OUT_OF_RANGE = "ACCOUNT_STATE_AGE_OUT_OF_RANGE"
    PRICE_MISSING = "PRICE_MISSING"
    PRICE_AGE_OUT_OF_RANGE = "PRICE_AGE_OUT_OF_RANGE"
    LOSS_FLOOR_MISSING = "LOSS_FLOOR_MISSING"
    INSTRUMENT_UNKNOWN = "INSTRUMENT_UNKNOWN"
    PRICE_OFF_TICK = "PRICE_OFF_TICK"
    STOP_PRICE_OFF_TICK = "STOP_PRICE_OFF_TICK"
    STOP_PRICE_ON_WRONG_SIDE = "STOP_PRICE_ON_WRONG_SIDE"
    PRICE_DEVIATION_OVER_LIMIT = "PRICE_DEVIATION_OVER_LIMIT"
    QUANTITY_OFF_STEP = "QUANTITY_OFF_STEP"
    QUANTITY_BELOW_MINIMUM = "QUANTITY_BELOW_MINIMUM"
    QUANTITY_OVER_MAXIMUM = "QUANTITY_OVER_MAXIMUM"
    NOTIONAL_BELOW_MINIMUM = "NOTIONAL_BELOW_MINIMUM"
    NOTIONAL_OVER_MAXIMUM = "NOTIONAL_OVER_MAXIMUM"
    REDUCE_ONLY_WITHOUT_POSITION = "REDUCE_ONLY_WITHOUT_POSITION"
    REDUCE_ONLY_INCREASES_POSITION = "REDUCE_ONLY_INCREASES_POSITION"
    REDUCE_ONLY_FLIPS_POSITION = "REDUCE_ONLY_FLIPS_POSITION"
    SYMBOL_EXPOSURE_OVER_LIMIT = "SYMBOL_EXPOSURE_OVER_LIMIT"
    ACCOUNT_EXPOSURE_OVER_LIMIT = "ACCOUNT_EXPOSURE_OVER_LIMIT"
    GROUP_EXPOSURE_OVER_LIMIT = "GROUP_EXPOSURE_OVER_LIMIT"
    SHORT_POSITION_NOT_ALLOWED = "SHORT_POSITION_NOT_ALLOWED"
    CASH_INSUFFICIENT = "CASH_INSUFFICIENT"
    MARGIN_INSUFFICIENT = "MARGIN_INSUFFICIENT"
    DAILY_LOSS_HEADROOM_INSUFFICIENT = "DAILY_LOSS_HEADROOM_INSUFFICIENT"
    MAX_LOSS_HEADROOM_INSUFFICIENT = "MAX_LOSS_HEADROOM_INSUFFICIENT"
    ORDER_ID_IN_USE = "ORDER_ID_IN_USE"
    ORDER_RATE_OVER_LIMIT = "ORDER_RATE_OVER_LIMIT"


@dataclass(frozen=True, slots=True)
class CodeMeaning:
    """The meaning of a code for docs/risk-codes.md: its check, the value that is compared, and the limit that the value broke."""

    check: str
    value: str
    limit: str
    reducing_too: bool  # whether a true reduction can be refused for it too


def _m(check: str, value: str, limit: str, *, reducing_too: bool = False) -> CodeMeaning:
    return CodeMeaning(check, value, limit, reducing_too)


MEANINGS: Final[Mapping[RefusalCode, CodeMeaning]] = MappingProxyType(
    {
        RefusalCode.ACCOUNT_HALTED: _m("halted", "level of the kill switch", "NONE"),
        RefusalCode.ENTRY_LOCKED: _m("halted", "what a protection counted", "its limit; the reason and the end are in the facts"),
        RefusalCode.ACCOUNT_STATE_AGE_OUT_OF_RANGE: _m(
            "stale data",
            "age of balances and positions, below 0 if dated in the future",
            "`max_account_age_seconds`",
            reducing_too=True,
        ),
        RefusalCode.PRICE_MISSING: _m("stale data", "no price of this order's symbol, or of one held or working", "a price"),
        RefusalCode.PRICE_AGE_OUT_OF_RANGE: _m(
            "stale data", "age of the oldest price needed, below 0 if dated in the future", "`max_price_age_seconds`"
        ),
        RefusalCode.LOSS_FLOOR_MISSING: _m(
            "stale data", "no loss limit in force now", "one per rule, when `loss_floors_required`"
        ),
        RefusalCode.INSTRUMENT_UNKNOWN: _m(
            "instrument known", "no rules of this order's symbol, or of one held or working", "an instrument", reducing_too=True
        ),
        RefusalCode.PRICE_OFF_TICK: _m("precision", "limit price", "multiples of `tick`", reducing_too=True),
        RefusalCode.STOP_PRICE_OFF_TICK: _m("precision", "stop price", "multiples of `tick`", reducing_too=True),
        RefusalCode.STOP_PRICE_ON_WRONG_SIDE: _m("precision", "stop price", "below the entry of a BUY, above that of a SELL"),
        RefusalCode.PRICE_DEVIATION_OVER_LIMIT: _m(
            "precision", "distance of the limit price from the mark", "`max_price_deviation_fraction` of the mark"
        ),
        RefusalCode.QUANTITY_OFF_STEP: _m(
            "precision", "quantity", "multiples of `step`; any, to reduce a position that is off it", reducing_too=True
        ),
        RefusalCode.QUANTITY_BELOW_MINIMUM: _m("size", "quantity", "`min_quantity`, or all that is left", reducing_too=True),
        RefusalCode.QUANTITY_OVER_MAXIMUM: _m("size", "quantity", "`max_quantity`", reducing_too=True),
        RefusalCode.NOTIONAL_BELOW_MINIMUM: _m(
            "size", "quantity x price", "`min_notional`, or all that is left", reducing_too=True
        ),
        RefusalCode.NOTIONAL_OVER_MAXIMUM: _m("size", "quantity x price", "`max_notional`"),
        RefusalCode.REDUCE_ONLY_WITHOUT_POSITION: _m("reduce-only", "position", "not 0"),
        RefusalCode.REDUCE_ONLY_INCREASES_POSITION: _m("reduce-only", "side", "the side that closes the position"),
        RefusalCode.REDUCE_ONLY_FLIPS_POSITION: _m("reduce-only", "quantity", "position minus orders already working against it"),
        RefusalCode.SYMBOL_EXPOSURE_OVER_LIMIT: _m(
            "exposure", "worst notional of the symbol if all working orders fill", "`max_symbol_exposure_fraction` of equity"
        ),
        RefusalCode.ACCOUNT_EXPOSURE_OVER_LIMIT: _m(
            "exposure", "worst notional of all symbols", "`max_account_exposure_fraction` of equity"
        ),
        RefusalCode.GROUP_EXPOSURE_OVER_LIMIT: _m(
            "exposure", "worst notional of the correlated group", "`max_group_exposure_fraction` of equity"
        ),
        RefusalCode.SHORT_POSITION_NOT_ALLOWED: _m("margin or cash", "position once all sells fill", "0, in a CASH account"),
        RefusalCode.CASH_INSUFFICIENT: _m(
            "margin or cash", "cost of all working buys and this one, fees included", "`max_funding_use_fraction` of cash"
        ),
        RefusalCode.MARGIN_INSUFFICIENT: _m(
            "margin or cash", "margin and fees of worst positions", "`max_funding_use_fraction` of equity"
        ),
        RefusalCode.DAILY_LOSS_HEADROOM_INSUFFICIENT: _m(
            "loss headroom",
            "equity after the worst case of positions, working orders and this order",
            "block level of the daily limit",
        ),
        RefusalCode.MAX_LOSS_HEADROOM_INSUFFICIENT: _m(
            "loss headroom", "equity after the same worst case", "block level of the overall limit"
        ),
        RefusalCode.ORDER_ID_IN_USE: _m("throttle", "order id", "one that is not working", reducing_too=True),
        RefusalCode.ORDER_RATE_OVER_LIMIT: _m(
            "throttle",
            "orders of the window, this one included",
            "`max_orders_per_window`, plus `reserved_for_reducing` for reducing orders",
            reducing_too=True,
        ),
    }
)


def codes_page() -> str:
    """Return the text of docs/risk-codes.md."""
    rows = [
        f"| {number} | {m.check} | `{code}` | {m.value} | {m.limit} | {'yes' if m.reducing_too else 'no'} |"
        for number, (code, m) in enumerate(((code, MEANINGS[code]) for code in RefusalCode), start=1)
    ]
    return "\n".join(
        [
            "# Refusal codes of the pre-trade checks",
            "",
            "Made by `python -m tools.risk_codes` from `signalbox.risk.codes`; a test fails if this page is out of date.",
            "",
            "A refusal lists every breach, in the order of this table, and carries the snapshot it was judged on.",
            "The last column says whether an order that truly reduces a position can be refused for this too.",
            "",
            "| # | check | code | value | limit | reducing too |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )
