"""The look of a report: one self-contained page of cards, tables and inline pictures. Nothing is loaded from anywhere."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

STYLE: Final = """
:root{--ink:#1f2933;--soft:#616e7c;--line:#e4e7eb;--card:#f7f9fa;--paper:#fff;
--buy:#127a4b;--sell:#b3261e;--warn:#8a5a00;--warnbg:#fff3d6}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ec;--soft:#9aa5b1;--line:#323f4b;--card:#1f2933;--paper:#15191d;
--buy:#4cc38a;--sell:#ff8a80;--warn:#ffd479;--warnbg:#3b2e0f}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:1080px;margin:2rem auto;padding:0 1rem}
h1{margin-bottom:.2rem}h2{margin-top:2.2rem;border-bottom:1px solid var(--line)}.soft{color:var(--soft)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:.8rem;margin:1.2rem 0}
.card{background:var(--card);border-radius:8px;padding:.7rem .9rem}.card b{display:block;font-size:1.5rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.25rem .7rem .25rem 0;border-bottom:1px solid var(--line)}
td.n,th.n{text-align:right}.BUY{color:var(--buy);font-weight:600}.SELL{color:var(--sell);font-weight:600}.HOLD{color:var(--soft)}
.badge{border-radius:4px;padding:.1rem .5rem;font-size:.85rem;white-space:nowrap}
.shadow{background:var(--warnbg);color:var(--warn)}
.ok{background:#d8f3e3;color:#0b5c37}.bad{background:#fbdcd9;color:#8c1d15}
img{max-width:100%;border:1px solid var(--line);border-radius:8px;background:#fff}
.scroll{overflow-x:auto}svg text{fill:var(--soft);font-size:11px}
"""


def text(value: object) -> str:
    """Return it safe to stand in HTML."""
    return html.escape(str(value))


def document(title: str, body: Iterable[str], extra_style: str = "") -> str:
    """Return the page; empty parts are left out."""
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{text(title)}</title><style>{STYLE}{extra_style}</style></head><body>"
    )
    return "\n".join([head, *(part for part in body if part), "</body></html>\n"])


def section(title: str, body: str, note: str = "") -> str:
    """Return a heading with what is under it; "none" when there is nothing."""
    paragraph = f'<p class="soft">{text(note)}</p>' if note else ""
    return f"<h2>{text(title)}</h2>{paragraph}{body or '<p class=soft>none</p>'}"


def cards(values: Mapping[str, object]) -> str:
    """Return the big figures."""
    return '<div class="cards">' + "".join(f'<div class="card">{k}<b>{text(v)}</b></div>' for k, v in values.items()) + "</div>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[int] = ()) -> str:
    """Return a table of cells that are HTML already; columns in `numeric` are set to the right. Empty without rows."""
    kinds = [' class="n"' if i in numeric else "" for i in range(len(head))]
    body = "".join("<tr>" + "".join(f"<td{k}>{c}</td>" for k, c in zip(kinds, row, strict=True)) + "</tr>" for row in rows)
    if not body:
        return ""
    heads = "".join(f"<th{k}>{text(h)}</th>" for k, h in zip(kinds, head, strict=True))
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
