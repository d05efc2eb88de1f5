"""The commands as a person runs them: their output, exit codes, files, addresses, and that they leave no process behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest

from local.cloud.postgres import LocalPostgres
from local.cloud.processes import wait_until
from local.settings import REPOSITORY, load_settings

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def state() -> Iterator[Path]:
    """A state folder of the test's own that shares the synthesised templates."""
    settings = load_settings()
    folder = settings.state / "e2e" / f"commands-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (settings.state / "assembly").mkdir(exist_ok=True)
    (folder / "assembly").symlink_to(settings.state / "assembly", target_is_directory=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def start(state: Path, tmp_path: Path) -> Iterator[Start]:
    """Start commands; none outlives the test."""
    running: list[subprocess.Popen[bytes]] = []

    def run(*arguments: str) -> subprocess.Popen[bytes]:
        env = {**load_settings().base_env, "SIGNALBOX_STATE": str(state), "CI": "true"}
        with (tmp_path / "output.log").open("ab") as sink:
            process = subprocess.Popen(
                [sys.executable, "-m", "local.cli.command", *arguments], cwd=REPOSITORY, env=env, stdout=sink, stderr=sink
            )
        running.append(process)
        return process

    yield run
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait()


def output(tmp_path: Path) -> str:
    return (tmp_path / "output.log").read_text()


def decided_since(tmp_path: Path, seen: int) -> bool | None:
    """Whether more cycles were decided than were `seen`; None is not yet."""
    return output(tmp_path).count("  BTC-USD ") > seen or None


def runs(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is None


def await_output(tmp_path: Path, process: subprocess.Popen[bytes], part: str) -> None:
    wait_until(
        lambda: part in output(tmp_path) or None,
        what=f"{part!r} in the output",
        seconds=120,
        alive=lambda: process.poll() is None,
    )


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def assert_gone(processes: list[psutil.Process]) -> None:
    assert processes
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert alive == []


def open_to_others(folder: Path) -> list[Path]:
    """Everything in and below a folder that more than its owner may use."""
    found = [folder, *(Path(path, name) for path, folders, files in os.walk(folder) for name in (*folders, *files))]
    return [path for path in found if _mode_of(path) & 0o077]


def _mode_of(path: Path) -> int:
    """The mode of a file or folder; 0 of a link, and of what a running function has renamed since it was listed."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return 0
    return 0 if stat.S_ISLNK(mode) else mode


def test_demo_writes_its_summary_report_and_chart(start: Start, state: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start("demo", "--hours", "0.5", "--out", str(out))
    assert process.wait(200) == 0, output(tmp_path)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["exit"] == "ok"
    assert summary["cycles"] == 6
    assert summary["signals"]["total"] == 18 == summary["shadow_signals"]
    assert summary["duplicates_injected"] == 1 == summary["duplicates_ignored"]
    assert summary["model"]["stage"] == "shadow"
    (account,) = summary["accounts"]
    assert (account["account"], account["mode"], account["halts"]) == ("ftmo-2step-100k", "paper", [])
    assert account["orders"] == sum(account["orders_by_state"].values())
    assert Decimal(account["equity"]) > 0
    assert set(account["worst_used"]) == {"max_daily_loss", "max_loss"}
    page = (out / "report.html").read_text()
    assert "shadow: not for trading" in page
    assert "Account ftmo-2step-100k" in page
    assert (out / "chart.png").read_bytes().startswith(b"\x89PNG")
    assert open_to_others(state) == []


def test_two_demos_of_the_same_hours_trade_alike_to_the_last_digit(start: Start, tmp_path: Path) -> None:
    if load_settings().recorded_candles is None:
        pytest.skip("no recorded candles (SIGNALBOX_DATA): the newest hours of a live market are not the same hours twice")
    outs = [tmp_path / "one", tmp_path / "two"]
    for out in outs:
        assert start("demo", "--hours", "2.5", "--out", str(out)).wait(200) == 0, output(tmp_path)
    one, two = (json.loads((out / "summary.json").read_text()) for out in outs)
    assert one["accounts"] == two["accounts"]
    assert one["signals"] == two["signals"]
    assert one["accounts"][0]["trades_opened"] > 0


def test_demo_interrupted_writes_what_it_has_and_leaves_no_process(start: Start, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start("demo", "--hours", "24", "--out", str(out))
    await_output(tmp_path, process, "cycle 1/")
    children = family(process)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    summary = json.loads((out / "summary.json").read_text())
    assert summary["exit"] == "interrupted"
    assert 1 <= summary["cycles"] < 288
    assert_gone(children)


def test_demo_killed_leaves_no_process(start: Start, tmp_path: Path) -> None:
    process = start("demo", "--hours", "24", "--out", str(tmp_path / "out"))
    await_output(tmp_path, process, "cycle 1/")
    children = family(process)
    process.kill()
    process.wait()
    assert_gone(children)


def test_wrong_input_is_one_line_and_exit_2(start: Start, tmp_path: Path) -> None:
    process = start("demo", "--data", str(tmp_path / "nowhere"))
    assert process.wait(60) == 2
    (line,) = output(tmp_path).splitlines()
    assert line.startswith(f"signalbox: {tmp_path / 'nowhere'}")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_up_listens_on_loopback_only_refuses_a_second_one_and_stops_cleanly(
    start: Start, state: Path, tmp_path: Path, stop: signal.Signals
) -> None:
    process = start("up")
    await_output(tmp_path, process, "BTC-USD")
    assert len(list(state.rglob("*"))) > 100
    assert open_to_others(state) == []
    socket_folder = LocalPostgres(load_settings(), state / "up" / "postgres", durable=True).socket_folder
    assert [stat.S_IMODE(path.stat().st_mode) for path in (state, socket_folder)] == [0o700, 0o700]
    children = family(process)
    listening = [c for p in [psutil.Process(process.pid), *children] for c in p.net_connections("inet") if c.status == "LISTEN"]
    assert len(listening) >= 3
    assert {c.laddr.ip for c in listening} == {"127.0.0.1"}
    for url in {f"http://127.0.0.1:{c.laddr.port}/" for c in listening}:
        for header in ({"host": "page.example"}, {"origin": "https://page.example"}, {"sec-fetch-site": "cross-site"}):
            assert httpx.get(url, headers=header, trust_env=False).status_code == 403
    second = start("up")
    assert second.wait(60) == 2
    assert f"process {process.pid}" in output(tmp_path)
    process.send_signal(stop)
    assert process.wait(60) == 0
    assert_gone(children)


def test_up_finds_its_state_again_and_closes_what_was_open(start: Start, state: Path, tmp_path: Path) -> None:
    for _ in range(2):
        left_open = state / "left by an earlier version"
        left_open.mkdir(parents=True, exist_ok=True)
        (left_open / "secret").write_text("x")
        for path in (left_open, state):
            path.chmod(0o755)
        process = start("up")
        seen = output(tmp_path).count("  BTC-USD ")
        wait_until(
            partial(decided_since, tmp_path, seen),
            what="a decided cycle",
            seconds=120,
            alive=partial(runs, process),
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert (state / "up" / "aws" / "state").is_dir()
    assert open_to_others(state) == []
    assert "!" not in output(tmp_path).replace("[shadow]", "")
