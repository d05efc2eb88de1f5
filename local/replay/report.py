"""`report.html`: one self-contained page about a replay. Everything it shows is inside it; nothing is loaded from anywhere."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from local.replay.account_report import account_sections
from local.replay.chart import draw_chart
from local.replay.summary import OK, CycleTiming, ReplayRecord, write_summary
from signalbox.reports.page import cards, document, section, table, text

SHADOW_BADGE: Final = '<span class="badge shadow">shadow: not for trading</span>'
SHOWN_SIGNALS: Final = 300


def write_report(record: ReplayRecord, out: Path) -> dict[str, Any]:
    """Write the summary, the chart and the page into `out`; return the summary."""
    out.mkdir(parents=True, exist_ok=True)
    summary = write_summary(record, out / "summary.json")
    chart = draw_chart(record)
    (out / "chart.png").write_bytes(chart)
    (out / "report.html").write_text(render_page(record, summary, chart), encoding="utf-8")
    return summary


def render_page(record: ReplayRecord, summary: dict[str, Any], chart: bytes) -> str:
    """Return the page."""
    shadow = summary["shadow_signals"] > 0
    verdict = "ok" if record.exit == OK else "bad"
    picture = base64.b64encode(chart).decode()
    parts = [
        f'<h1>Signalbox replay <span class="badge {verdict}">{text(record.exit)}</span> {SHADOW_BADGE if shadow else ""}</h1>',
        f'<p class="soft">{record.start:%Y-%m-%d %H:%M} to {record.covered_until:%Y-%m-%d %H:%M} UTC, {text(record.source)}</p>',
        f"<p><strong>{text(record.error)}</strong></p>" if record.error else "",
        _cards(summary),
        _shadow_note() if shadow else "",
        f'<h2>Prices and signals</h2><img alt="price, signals and trades by symbol" src="data:image/png;base64,{picture}">',
        *account_sections(record.accounts),
        section("Signals by symbol", _symbol_table(record, summary)),
        section("Cycle time", _timing_svg(record.timings), "from firing the schedule until the signals were committed"),
        section("Issued signals", _signal_table(record)),
        section("Gaps in the data", _gap_table(summary)),
        section("Refused symbols", _refusal_table(record), "a refused symbol gets no signal; the others are not affected"),
        section("Warnings", _list(record.warnings)),
        section("Model and run", _facts(summary)),
    ]
    return document(f"Signalbox replay {record.start:%Y-%m-%d}", parts)


def _cards(summary: dict[str, Any]) -> str:
    signals = summary["signals"]
    values = {
        "cycles": summary["cycles"],
        "signals issued": f"{signals['issued']} of {signals['total']}",
        "alerts sent": summary["alerts_sent"],
        "cycle, p50 / p99 ms": f"{_number(summary['p50_ms'])} / {_number(summary['p99_ms'])}",
        "duplicates ignored": f"{summary['duplicates_ignored']} ({summary['duplicates_injected']} injected)",
        "gaps / stale cycles": f"{len(summary['gaps'])} / {summary['stale_cycles']}",
    }
    return cards(values)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _shadow_note() -> str:
    return (
        f"<p>{SHADOW_BADGE} The model has not passed its promotion gates. Its signals are recorded and shown so that the system "
        "can be watched at work; they say nothing about what to do with money.</p>"
    )


def _symbol_table(record: ReplayRecord, summary: dict[str, Any]) -> str:
    rows = []
    for symbol in record.symbols:
        own = [s for s in record.signals if s.symbol == symbol]
        counts = [sum(s.direction == d for s in own) for d in ("BUY", "SELL", "HOLD")]
        high = sum(s.tier == "HIGH" for s in own)
        refused = sum(r.symbol == symbol for r in record.refusals)
        last = f"{own[-1].price:,.2f}" if own else "-"
        rows.append([text(symbol), last, *map(str, counts), str(high), str(refused)])
    total = summary["signals"]["by_direction"]
    high = summary["signals"]["by_tier"]["HIGH"]
    rows.append(["all", "", *(str(total[d]) for d in ("BUY", "SELL", "HOLD")), str(high), str(len(record.refusals))])
    return table(["symbol", "last price", "BUY", "SELL", "HOLD", "tier HIGH", "refused"], rows, range(1, 7))


def _signal_table(record: ReplayRecord) -> str:
    rows = (
        [
            f"{s.decided_at:%m-%d %H:%M}",
            text(s.symbol),
            f'<span class="{text(s.direction)}">{text(s.direction)}</span>',
            text(s.tier),
            f"{s.confidence:.1%}",
            f"{s.price:,.2f}",
            (SHADOW_BADGE if s.stage == "shadow" else "active") + (" late" if s.late else ""),
        ]
        for s in record.issued[-SHOWN_SIGNALS:][::-1]
    )
    return table(["decided (UTC)", "symbol", "signal", "tier", "confidence", "price", "stage"], rows, (4, 5))


def _gap_table(summary: dict[str, Any]) -> str:
    return table(["symbol", "from", "to"], ([text(g["symbol"]), text(g["from"]), text(g["to"])] for g in summary["gaps"]))


def _refusal_table(record: ReplayRecord) -> str:
    """One row for every run of refusals of a symbol with the same reason."""
    runs: list[list[Any]] = []
    for refusal in sorted(record.refusals, key=lambda r: (r.symbol, r.cycle_at)):
        if runs and runs[-1][0] == refusal.symbol and runs[-1][1] == refusal.reason:
            runs[-1][3:] = [refusal.cycle_at, runs[-1][4] + 1, refusal.detail]
        else:
            runs.append([refusal.symbol, refusal.reason, refusal.cycle_at, refusal.cycle_at, 1, refusal.detail])
    rows = ([text(s), text(r), f"{a:%m-%d %H:%M}", f"{b:%m-%d %H:%M}", str(n), text(d)] for s, r, a, b, n, d in runs)
    return table(["symbol", "reason", "first cycle", "last cycle", "cycles", "last detail"], rows, (4,))


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{text(line)}</li>" for line in lines) + "</ul>" if lines else ""


def _facts(summary: dict[str, Any]) -> str:
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
    return table(["", ""], ([text(k), text(v)] for k, v in facts.items()))


def _timing_svg(timings: Sequence[CycleTiming]) -> str:
    """Bars of the cycle time; the first cycle, which back-fills, is cut at the top."""
    if len(timings) < 2:
        return ""
    width, height, left = 1000.0, 140.0, 46.0
    top = max(t.milliseconds for t in timings[1:]) * 1.1
    step = (width - left) / len(timings)
    bars = "".join(
        f'<rect x="{left + i * step:.1f}" y="{height - h:.1f}" width="{max(step - 1, 0.5):.1f}" height="{h:.1f}" fill="#3d6a99">'
        f"<title>{t.cycle_at:%m-%d %H:%M}: {t.milliseconds:.0f} ms</title></rect>"
        for i, t in enumerate(timings)
        for h in [min(t.milliseconds / top, 1.0) * height]
    )
    ticks = "".join(
        f'<text x="0" y="{max(height - value / top * height, 10):.0f}">{value:.0f} ms</text>' for value in (0.0, top / 2, top)
    )
    return (
        f'<svg role="img" aria-label="milliseconds of each cycle" viewBox="0 0 {width:.0f} {height + 4:.0f}">{ticks}{bars}</svg>'
    )
