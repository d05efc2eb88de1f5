"""What a person sees in a report: names of limits, transfers, no minus before zero, sensible axes, an index of what is there."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.cli.report.index import write_index
from signalbox.reports.compliance import LIMIT_NAMES, RULE_NAMES, compliance_report
from signalbox.reports.plane import MAX_TICKS, Line, Tick, figure, padded, time_chart, time_ticks, value_ticks
from signalbox.reports.pnl import pnl_report
from signalbox.reports.report import money, number, percent
from signalbox.risk.limits import RiskLimits
from signalbox.risk.snapshot import LossRule
from tests.unit.reports.samples import CAPITAL, at, period_of, transfer

amounts = st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-1000, max_value=1000)


@given(amounts)
def test_what_rounds_to_zero_has_no_sign(amount: Decimal) -> None:
    for shown in (money(amount), number(amount, 2), percent(amount), figure(float(amount))):
        assert not re.fullmatch(r"-0(\.0*)?( %)?", shown)


def test_every_limit_and_rule_has_a_name_for_people() -> None:
    assert set(LIMIT_NAMES) == set(RiskLimits.model_fields)
    assert set(RULE_NAMES) == set(LossRule)
    page = compliance_report(period_of("2024-03", [CAPITAL])).html()
    assert not any(f"<td>{name}</td>" in page for name in RiskLimits.model_fields)
    assert "exposure of the account, times equity" in page


def test_money_paid_in_and_out_is_listed_to_the_second() -> None:
    page = pnl_report(period_of("2024-03", [CAPITAL, transfer(at(3, 3), "-500"), transfer(at(3, 4), "0.001")])).html()
    assert "2024-03-03 12:00:00" in page
    assert "-500.00" in page
    assert "-0.00" not in page


@given(st.floats(-1e9, 1e9), st.floats(0, 1e9))
def test_an_axis_has_a_few_different_labels_even_where_nothing_moves(low: float, span: float) -> None:
    bottom, top = padded(low, low + span)
    ticks = value_ticks(bottom, top)
    assert bottom < top
    assert 2 <= len(ticks) <= 11
    assert len({tick.label for tick in ticks}) == len(ticks)
    assert all(bottom <= tick.value + 1e-6 * abs(tick.value) and tick.value <= top + 1e-6 * abs(top) for tick in ticks)
    assert not any(tick.label.startswith("-0") and not tick.label.strip("-0.") for tick in ticks)


@given(st.floats(0, 4e9), st.floats(60, 3e8))
def test_instants_of_an_axis_are_few_and_inside(first: float, length: float) -> None:
    ticks = time_ticks(first, first + length)
    assert len(ticks) <= MAX_TICKS
    assert all(first - 1e-3 <= tick.value <= first + length + 1e-3 for tick in ticks)


def test_a_flat_account_is_a_line_in_the_middle_with_its_amount_on_the_axis() -> None:
    drawn = time_chart(
        "e", [Line("equity", "c0", [(0.0, 100_000.0), (3_600.0, 100_000.0)])], unit="USD", start=Tick(100_000.0, "start")
    )
    assert "0.0,500.0 1000.0,500.0" in drawn
    assert ">100,000<" in drawn
    assert ">99,900<" in drawn


def test_the_index_links_what_is_there_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "account=a" / "period=2024-03"
    folder.mkdir(parents=True)
    for name in ("kind=pnl.html", "kind=pnl.csv", "kind=tax.csv"):
        (folder / name).write_text("x")
    (tmp_path / "account=a" / "period=<b>").mkdir()
    page = write_index(tmp_path, "a").read_text()
    links = re.findall(r'href="([^"]+)"', page)
    assert len(links) == 3
    assert "&lt;b&gt;" not in page
    assert all((tmp_path / "account=a" / link.replace("%3D", "=")).is_file() for link in links)


@pytest.mark.parametrize("length", [1.0, 60.0])
def test_two_points_are_enough_and_one_is_not(length: float) -> None:
    assert time_chart("e", [Line("e", "c0", [(0.0, 1.0), (length, 2.0)])], unit="USD")
    assert not time_chart("e", [Line("e", "c0", [(0.0, 1.0)])], unit="USD")
