"""The small parts: guarded processes, waiting, settings, the command line, the views."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import psutil
import pytest
import typer
from rich.console import Console

from local.cli.instants import parse_instant
from local.cloud.processes import Service, free_port, port_is_free, wait_until
from local.errors import DataError, ServiceError
from local.replay.demo import DemoOptions, run_demo
from local.replay.view import CycleFacts, LiveView, PlainView
from local.settings import load_settings
from local.stand_ins.telegram import TelegramStandIn
from signalbox.market.candles import Symbol
from signalbox.signals.ports import SymbolRefusal
from signalbox.signals.signal import DeploymentStage, Direction, Signal, Tier

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
STUBBORN = (
    "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); print('ready', flush=True); time.sleep(600)"
)


def service(tmp_path: Path, code: str, **options: object) -> Service:
    return Service("s", [sys.executable, "-c", code], env=load_settings().base_env, log=tmp_path / "log", cwd=tmp_path, **options)  # type: ignore[arg-type]


def started(one: Service) -> list[psutil.Process]:
    wait_until(lambda: "ready" in one.log_tail() or None, what="the service", seconds=20)
    return psutil.Process(one.guard_pid).children(recursive=True)


def test_service_that_ignores_its_stop_signal_ends_with_all_its_children(tmp_path: Path) -> None:
    one = service(tmp_path, STUBBORN, grace=0.2)
    family = started(one)
    assert len(family) == 2
    one.stop()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    one.stop()


def test_service_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from local.cloud.processes import Service; from local.settings import load_settings\n"
        f"command = [sys.executable, '-c', {STUBBORN!r}]\n"
        "s = Service('s', command, env=load_settings().base_env, log=Path('log'), cwd=Path(), grace=0.2)\n"
        "print(s.guard_pid, flush=True); sys.stdin.read()"
    )
    env = {**load_settings().base_env, "PYTHONPATH": str(load_settings().repository)}
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        guard = psutil.Process(int(owner.stdout.readline()))
        wait_until(lambda: "ready" in (tmp_path / "log").read_text() or None, what="the service", seconds=20)
        family = [guard, *guard.children(recursive=True)]
        owner.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(family, timeout=15)
    assert len(family) == 3
    assert alive == []


def test_waiting_ends_at_once_when_nobody_is_left_to_answer() -> None:
    with pytest.raises(ServiceError, match="ended before it was ready"):
        wait_until(lambda: None, what="x", seconds=60, alive=lambda: False)


def test_waiting_names_what_did_not_come() -> None:
    with pytest.raises(ServiceError, match="the thing: expected within 0 s"):
        wait_until(lambda: None, what="the thing", seconds=0)


def test_port_in_use_is_not_free() -> None:
    server = TelegramStandIn()
    assert not port_is_free(server.port)
    server.close()
    server.close()
    assert port_is_free(free_port())


def test_children_get_nothing_of_the_callers_credentials() -> None:
    settings = load_settings(
        {"PATH": "/bin", "AWS_PROFILE": "mine", "AWS_SECRET_ACCESS_KEY": "x", "HTTPS_PROXY": "y", "CI": "true"}
    )
    assert set(settings.base_env) == {"PATH", "PYTHONUNBUFFERED"}
    assert settings.ci
    assert settings.data is None


def test_instants_are_utc_unless_they_say_otherwise() -> None:
    assert parse_instant("2026-01-05T12:00") == NOW
    assert parse_instant("2026-01-05T13:00+01:00") == NOW
    assert parse_instant(None) is None
    with pytest.raises(typer.BadParameter):
        parse_instant("yesterday")


@pytest.mark.parametrize(
    ("start", "hours", "output"),
    [(None, 0.0, "--hours"), (None, 1e6, "--hours"), (NOW.replace(minute=3), 1.0, "five-minute boundary")],
)
def test_demo_refuses_a_window_that_makes_no_sense(tmp_path: Path, start: datetime | None, hours: float, output: str) -> None:
    options = DemoOptions(tmp_path, start, hours, tmp_path / "out", None, json_output=False)
    with pytest.raises(DataError, match=output):
        run_demo(options, load_settings({}))
    assert not (tmp_path / "out").exists()


def test_help_answers_without_loading_the_heavy_packages() -> None:
    code = (
        "import sys; sys.argv=['signalbox','demo','--help']\n"
        "from local.cli.command import main\n"
        "try: main()\n"
        "except SystemExit as e: assert not e.code\n"
        "heavy = {'boto3', 'ccxt', 'numpy', 'matplotlib', 'pyarrow', 'onnxruntime'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=load_settings().repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--hours" in done.stdout


def facts(number: int) -> CycleFacts:
    row = Signal(
        symbol=Symbol("BTC-USD"),
        decided_at=NOW,
        deployment="d",
        stage=DeploymentStage.SHADOW,
        direction=Direction.BUY,
        tier=Tier.HIGH,
        probability_up=0.61,
        price=Decimal("101.5"),
        late=False,
        schema_name="v31",
        schema_hash="ab",
        features=(),
    )
    refusal = SymbolRefusal(Symbol("ETH-USD"), NOW, "STALE_DATA", "gone")
    return CycleFacts(number, 24, NOW, 85.0, [row], [refusal], 3)


def test_plain_view_says_every_twelfth_cycle_and_every_warning(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainView() as view:
        view.begin("title", 24)
        for number in range(1, 25):
            view.cycle(facts(number))
        view.warn("careful")
    output = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in output if line.startswith("cycle")] == ["1/24", "12/24", "24/24"]
    assert output[-1] == "! careful"


def test_live_view_shows_price_signal_refusal_shadow_and_warnings() -> None:
    console = Console(record=True, width=120, force_terminal=True)
    with LiveView([Symbol("BTC-USD"), Symbol("ETH-USD")], console) as view:
        view.phase("starting")
        view.begin("title", 24)
        view.cycle(facts(1))
        view.warn("careful")
    shown = console.export_text()
    for part in ("101.50", "BUY", "61.0%", "refused", "STALE_DATA", "SHADOW", "careful", "1/24", "alerts sent: 3"):
        assert part in shown
