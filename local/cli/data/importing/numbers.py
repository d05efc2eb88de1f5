"""Columns of numbers as the lake's canonical texts: all digits that the file has, no exponent, no zeros at the end."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from signalbox.exact import plain
from signalbox.market.candles import is_bounded

PLACES: Final = 8  # of a base volume that is made of a quote volume
_CANONICAL: Final = r"^(?:0|[1-9]\d{0,17})(?:\.\d{0,35}[1-9])?$"
_WITH_POINT: Final = r"^\d+\.\d+$"  # the zeros of an exponent are no zeros at the end
_LONGEST: Final = 80  # characters of a number; a longer text is none


def number_texts(column: Any) -> tuple[Any, NDArray[np.float64]]:
    """Return a column as canonical texts and as float64, both (n,); a value that the lake cannot keep is NaN and null.

    column: an Arrow array of texts, integers or floats. A float gives its shortest text: 0.1 stays 0.1, also from float32.
    """
    texts = pc.utf8_trim_whitespace(_as_text(column))
    trimmed = pc.ascii_rtrim(pc.ascii_rtrim(texts, "0"), ".")
    texts = pc.if_else(pc.match_substring_regex(texts, _WITH_POINT), trimmed, texts)
    fits = pc.fill_null(pc.match_substring_regex(texts, _CANONICAL), False)  # noqa: FBT003 - the value
    fits_rows = fits.to_numpy(zero_copy_only=False)
    odd = np.flatnonzero(~fits_rows)
    if len(odd):
        found = texts.to_pylist() if len(odd) > len(texts) // 4 else None
        known: dict[str, str | None] = {}
        mended = []
        for place in odd.tolist():
            text = found[place] if found is not None else texts[place].as_py()
            if text is not None and text not in known:
                known[text] = _canonical(text)
            mended.append(None if text is None else known[text])
        texts = pc.replace_with_mask(texts, pa.array(~fits_rows), pa.array(mended, pa.string()))
    values = texts.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return texts, values


def base_volume(quote: NDArray[np.float64], prices: tuple[NDArray[np.float64], ...]) -> Any:
    """Return volume in base currency as floats: the quote volume over the mean of high, low and close, with PLACES places.

    An approximation: which price a unit was traded at is not in a bar.
    """
    _, high, low, close = prices
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.round(quote * 3 / (high + low + close), PLACES)
    return pa.array(found, from_pandas=True)


def _as_text(column: Any) -> Any:
    kind = column.type
    if pa.types.is_string(kind):
        return column
    if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_large_string(kind):
        return column.cast(pa.string())
    return pa.nulls(len(column), pa.string())


def _canonical(text: str) -> str | None:
    if len(text) > _LONGEST or not text.isascii() or "_" in text:  # Decimal reads 1_000 as a thousand
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number.is_finite() or not is_bounded(number):
        return None
    return plain(number)
