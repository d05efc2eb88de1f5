"""Write docs/venues.md from what the venues' forms answer: `python -m tests.unit.adapters.venue_table`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import ccxt

from signalbox.adapters.venues.ccxt_candles import CCXT_IDS, HISTORY, CcxtCandleSource, page_rows
from signalbox.market.acceptance import accept_rows
from signalbox.market.candles import Symbol, to_ms
from tests.builders import minutes
from tests.fakes.candle_venues import FORMS, MINUTE, CandleVenue, Market, VenueForm
from tests.fakes.http_server import serving

PAGE = Path(__file__).parents[3] / "docs" / "venues.md"
HEAD = """\
# Venues: where the candles can come from

Signalbox reads one-minute candles through ccxt. Each venue below was checked with ccxt's own class against a stand-in that
speaks the venue's documented REST form (units, order, page size, bounds, errors); `python -m tests.unit.adapters.venue_table`
makes the table from those checks, with ccxt {version}. The tests reach no real venue, so what a venue does against its own
documentation is not known here. Another ccxt exchange may work; nobody has checked it.

| Venue | ccxt | Example | Minutes at once | Whole over pages | Newest closed bar | Minute without trades | Rate limit |
|---|---|---|---|---|---|---|---|
"""
TAIL = """
* *Whole over pages*: several thousand minutes come once each and exactly, and a window of four days ago too. Kraken gives the
  newest 720 minutes and nothing older: an older period is refused with that reason, and a first start has 12 hours of
  history only, so features with a longer memory wait until they have it.
* *Minute without trades*: a flat bar with no volume, or no bar at all. Where there is none, a second look and a newer
  bar prove that nobody traded, and the minute becomes the flat bar that other venues send
  ([decision 0096](decisions/0096-empty-late-and-revised-minutes.md)). Any other absent minute is a gap.
* *Rate limit*: what the venue asks for in `Retry-After` is waited for; without it half a second, then a second. The limits
  of time (25 seconds a symbol) hold, and what then remains is `VENUE_RATE_LIMITED`.
* The end of a page lies one second after its last bar opens, so it does not matter whether a venue counts the bound. For
  {unsaid} the documentation does not say it; both readings are tested.

## A fallback venue

`venue = "coinbase,kraken"` in a stage's file (or `-c venue=coinbase,kraken`) names up to two venues that replace the first one
while it is down: it gives an error, no candle, or no bar of the cycle's five minutes. The whole window of a decision comes from
one venue, whose name stands in the signal, the alert and `signalbox signals list`. Two alarms belong to it: symbols are decided
on the fallback, and the fallback does not answer. Accounts open no position on prices of another venue than their own.
The fallback is collected at every full hour, so it has the history that a decision needs about two days after it was named. A
symbol returns to its own venue when that one has answered three cycles in a row
([decision 0112](decisions/0112-a-fallback-venue-decides-whole.md)).
"""


def page() -> str:
    """Return the page as it should be."""
    rows = [_row(form) for form in FORMS]
    unsaid = ", ".join(form.name for form in FORMS if form.bounds_unsaid)
    return HEAD.format(version=".".join(ccxt.__version__.split(".")[:2])) + "\n".join(rows) + "\n" + TAIL.format(unsaid=unsaid)


def _row(form: VenueForm) -> str:
    now = datetime.now(UTC)
    top = now.replace(second=0, microsecond=0)
    reach = 700 if form.name in HISTORY else 1_600  # more than the longest page
    whole = _came(CandleVenue(form, Market(to_ms(now))), top - minutes(reach), top) == reach
    newest = _came(CandleVenue(form, Market(to_ms(now))), top - minutes(1), top) == 1
    quiet = Market(to_ms(now), quiet=frozenset({to_ms(top) - 3 * MINUTE}))
    flat = _came(CandleVenue(form, quiet), top - minutes(10), top) == 10
    venue = CandleVenue(form, Market(to_ms(now)), failures=[form.rate_limited])
    waits = _came(venue, top - minutes(2), top) == 2
    shown = {
        "whole": f"the newest {reach + 20}" if form.name in HISTORY and whole else "yes" if whole else "NO",
        "limit": f"HTTP {form.rate_limited.status}, " + ("waits" if waits else "FAILS"),
    }
    at_once = page_rows(form.name, getattr(ccxt, CCXT_IDS.get(form.name, form.name))())
    cells = (
        f"`{form.name}`", f"`{CCXT_IDS.get(form.name, form.name)}`", form.symbol, f"{at_once:,}", shown["whole"],
        "yes" if newest else "NO", "flat bar" if flat else "no bar", shown["limit"],
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def _came(venue: CandleVenue, since: datetime, until: datetime) -> int:
    symbol = Symbol(venue.form.symbol)
    with serving(venue) as server:
        rows = CcxtCandleSource(venue.form.name, url=server.url, pause=lambda _: None).fetch(symbol, since, until)
    return len(accept_rows(symbol, rows, since=since, until=until).candles)


if __name__ == "__main__":
    PAGE.write_text(page())
