"""`report.html`: one self-contained page about a replay, which loads nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from local.replay.account_report import account_view
from local.replay.chart import chart_of, draw_chart
from local.replay.phone import bubbles
from local.replay.summary import CycleTiming, ReplayRecord, write_summary
from signalbox.reports.page import Table, badge, coloured, render
from signalbox.reports.plane import bars_chart
from signalbox.reports.price_chart import page_script

TEMPLATE: Final = Path(__file__).with_name("templates") / "replay.html.jinja"
SHOWN_SIGNALS: Final = 300


def write_report(record: ReplayRecord, out: Path) -> dict[str, Any]:
    """Write the summary, the chart and the page into `out`, and return the summary."""
    out.mkdir(parents=True, exist_ok=True)
    summary = write_summary(record, out / "summary.json")
    (out / "chart.png").write_bytes(draw_chart(record))
    (out / "report.html").write_text(render_page(record, summary), encoding="utf-8")
    return summary


def render_page(record: ReplayRecord, summary: dict[str, Any]) -> str:
    """Return the page as HTML."""
    return render(
        TEMPLATE,
        title=f"Signalbox replay {record.start:%Y-%m-%d}",
        record=record,
        period=f"{record.start:%Y-%m-%d %H:%M} to {record.covered_until:%Y-%m-%d %H:%M} UTC",
        is_shadow=summary["shadow_signals"] > 0,
        figures=_figures(summary),
        prices=chart_of(record).markup(),
        script=page_script(),
        accounts=[account_view(account) for account in record.accounts],
        bubbles=bubbles(record.messages),
        symbols=_symbol_table(record, summary),
        timings=_timing_chart(record.timings),
        signals=_signal_table(record),
        gaps=Table(["symbol", "from", "to"], ([g["symbol"], g["from"], g["to"]] for g in summary["gaps"])),
        refusals=_refusal_table(record),
        facts=_facts(summary),
    )


def _figures(summary: dict[str, Any]) -> dict[str, object]:
    signals = summary["signals"]
    return {
        "cycles": summary["cycles"],
        "signals issued": f"{signals['issued']} of {signals['total']}",
        "alerts sent": summary["alerts_sent"],
        "cycle, p50 / p99 ms": f"{_number(summary['p50_ms'])} / {_number(summary['p99_ms'])}",
        "duplicates ignored": f"{summary['duplicates_ignored']} ({summary['duplicates_injected']} injected)",
        "gaps / stale cycles": f"{len(summary['gaps'])} / {summary['stale_cycles']}",
    }


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _symbol_table(record: ReplayRecord, summary: dict[str, Any]) -> Table:
    rows = []
    for symbol in record.symbols:
        own = [s for s in record.signals if s.symbol == symbol]
        counts = [sum(s.direction == d for s in own) for d in ("BUY", "SELL", "HOLD")]
        high = sum(s.tier == "HIGH" for s in own)
        refused = sum(r.symbol == symbol for r in record.refusals)
        last = f"{own[-1].price:,.2f}" if own else "-"
        rows.append([symbol, last, *map(str, counts), str(high), str(refused)])
    total = summary["signals"]["by_direction"]
    high = summary["signals"]["by_tier"]["HIGH"]
    rows.append(["all", "", *(str(total[d]) for d in ("BUY", "SELL", "HOLD")), str(high), str(len(record.refusals))])
    return Table(["symbol", "last price", "BUY", "SELL", "HOLD", "tier HIGH", "refused"], rows, range(1, 7))


def _signal_table(record: ReplayRecord) -> Table:
    rows = (
        [
            f"{s.decided_at:%m-%d %H:%M}",
            s.symbol,
            coloured(s.direction),
            s.tier,
            f"{s.confidence:.1%}",
            f"{s.price:,.2f}",
            (badge("shadow", "shadow: not for trading") if s.stage == "shadow" else "active") + (" late" if s.late else ""),
        ]
        for s in record.issued[-SHOWN_SIGNALS:][::-1]
    )
    return Table(["decided (UTC)", "symbol", "signal", "tier", "confidence", "price", "stage"], rows, (4, 5))


def _refusal_table(record: ReplayRecord) -> Table:
    """Return one row for each run of refusals of a symbol with the same reason."""
    runs: list[list[Any]] = []
    for refusal in sorted(record.refusals, key=lambda r: (r.symbol, r.cycle_at)):
        if runs and runs[-1][0] == refusal.symbol and runs[-1][1] == refusal.reason:
            runs[-1][3:] = [refusal.cycle_at, runs[-1][4] + 1, refusal.detail]
        else:
            runs.append([refusal.symbol, refusal.reason, refusal.cycle_at, refusal.cycle_at, 1, refusal.detail])
    rows = ([s, r, f"{a:%m-%d %H:%M}", f"{b:%m-%d %H:%M}", n, d] for s, r, a, b, n, d in runs)
    return Table(["symbol", "reason", "first cycle", "last cycle", "cycles", "last detail"], rows, (4,))


def _facts(summary: dict[str, Any]) -> Table:
    model = summary["model"]
    facts = {
        "bundle": model["bundle"],
        "stage": model["stage"],
        "feature schema": f"{model['schema']} ({model['schema_hash']})",
        "first cycle, which back-fills the history": f"{_number(summary['first_cycle_ms'])} ms",
        "cycle p99 without the first": f"{_number(summary['warm_p99_ms'])} ms",
        "seconds by stage": ", ".join(f"{k} {v}" for k, v in summary["stages_seconds"].items()),
        "dead letters": summary["dead_letters"] or "none",
    }
    return Table(["", ""], facts.items())


def _timing_chart(timings: Sequence[CycleTiming]) -> Markup:
    """Draw the cycle times as bars. The first cycle, which back-fills, is cut off at the top."""
    if len(timings) < 2:
        return Markup("")
    top = max(t.milliseconds for t in timings[1:]) * 1.1
    bars = [
        (n + 0.05, n + 0.95, min(t.milliseconds, top), "c0", f"{t.cycle_at:%m-%d %H:%M} UTC: {t.milliseconds:.0f} ms")
        for n, t in enumerate(timings)
    ]
    return bars_chart("milliseconds of each cycle", bars, names=("cycle", "ms"))
