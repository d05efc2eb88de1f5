"""The index of an account's reports in a folder: every period with links to the files of each kind."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import quote

from markupsafe import Markup

from local.errors import DataError
from signalbox.reports.page import Table, render
from signalbox.reports.report import ReportKind

TEMPLATE: Final = Path(__file__).with_name("templates") / "index.html.jinja"
TITLES: Final = {
    ReportKind.PNL: "profit and loss",
    ReportKind.BLOTTER: "trade blotter",
    ReportKind.TAX: "tax",
    ReportKind.COMPLIANCE: "compliance",
    ReportKind.QUALITY: "execution quality",
}
_ENDINGS: Final = {"html": "page", "pdf": "PDF", "csv": "CSV"}
_PERIOD: Final = re.compile(r"period=(\d{4}(?:-\d{2}){0,2})")


def write_index(out: Path, account: str) -> Path:
    """Write `index.html` over all reports of the account that are in the folder, newest period first. Raises DataError."""
    folder = out / f"account={account}"
    periods = sorted((m[1] for one in folder.glob("period=*") if (m := _PERIOD.fullmatch(one.name))), reverse=True)
    rows = [[period, *(_links(folder, period, kind) for kind in TITLES)] for period in periods]
    table = Table(["period", *TITLES.values()], rows)
    path = folder / "index.html"
    try:
        path.write_text(render(TEMPLATE, title=f"Reports of {account}", account=account, reports=table), encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}; choose another --out") from error
    return path


def _links(folder: Path, period: str, kind: ReportKind) -> Markup:
    """Return links to the files that are there."""
    found = [
        Markup('<a href="{}">{}</a>').format(quote(f"period={period}/kind={kind.value}.{ending}"), name)
        for ending, name in _ENDINGS.items()
        if (folder / f"period={period}" / f"kind={kind.value}.{ending}").is_file()
    ]
    return Markup(" ").join(found) if found else Markup("-")
