"""The builder of each kind of report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from signalbox.reports.blotter import blotter_report
from signalbox.reports.compliance import compliance_report
from signalbox.reports.execution import quality_report
from signalbox.reports.pnl import pnl_report
from signalbox.reports.report import Report, ReportKind
from signalbox.reports.source import AccountPeriod
from signalbox.reports.tax_form import tax_report

BUILDERS: Final[Mapping[ReportKind, Callable[[AccountPeriod], Report]]] = MappingProxyType(
    {
        ReportKind.PNL: pnl_report,
        ReportKind.BLOTTER: blotter_report,
        ReportKind.TAX: tax_report,
        ReportKind.COMPLIANCE: compliance_report,
        ReportKind.QUALITY: quality_report,
    }
)


def build(kind: ReportKind, data: AccountPeriod) -> Report:
    """Return a report of one kind. Raises ReportError or PortfolioError if the facts contradict each other."""
    return BUILDERS[kind](data)
