"""Every command of the catalogue and of the README, with good and with bad words, against one local cloud of its own.

What is walked comes from `local/cli/catalogue.py` and from what each command declares, so a new command or option is walked by
itself; one that says nothing of its good or bad words fails here. Commands run in this process, as a shell would run them.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any, Final

import boto3
import psycopg
import pytest
from hypothesis import settings as searched
from moto import mock_aws

from local.cli.backup.command import Backups
from local.cli.catalogue import EXAMPLES
from local.cli.command import EVERYWHERE, main
from local.cli.data.importing.columns import BINANCE
from local.cli.rollback.release import Release
from local.cloud.local_cloud import LocalCloud
from local.market.feed import CachedFeed
from local.market.simulator import SimulatedSource
from local.settings import REPOSITORY, load_settings
from local.stand_ins.telegram import BOT_TOKEN
from signalbox.contracts import DATABASE_NAME, Function
from signalbox.features import get_schema
from signalbox.market.clock import CYCLE, cycle_of
from tests.unit.library.plans import plan
from tests.unit.local.cli.test_grammar import LEAVES
from tests.unit.local.cli.test_rollback_command import CHANGED, first_release, next_release
from tests.unit.training.synthetic import small_config, walk, write_candles

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
ACCOUNT: Final = "ftmo-2step-100k"
README: Final = REPOSITORY / "README.md"
CYCLES: Final = 2
REVOKED: Final = "ed25519:3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"  # RFC 8032, 7.1, test 2
JOB: Final = "signalbox-test-evaluate-20261115t020000z"
KLINES: Final = "BTCUSDT-1m-2024-01-01.csv"  # as Binance publishes them
MODEL: Final = "s3://models/training/artifacts/x/output/model.tar.gz"

# What never belongs into an error that a trader reads: names of Python, of its values, and of our functions and fields.
PYTHON: Final = re.compile(
    r"Traceback|File \"|<class|<\w+ object|\b\w+(?:Error|Exception)\b|\b(?:None|True|False|NoneType)\b"
    r"|\b(?:Decimal|datetime|PosixPath)\("
    r"|\b[A-Z]\w+\.[A-Z_]{3,}\b|\b\w+\(\w+=|\bpydantic\b|__\w+__|validation error|json_output|\b[a-z]+(?:_[a-z]+)+\b"
)


@dataclass(frozen=True, slots=True)
class Walk:
    """Good words of a command.

    answers: exit codes that are answers here; once: a second time it would say something else; before: what AWS holds before it.
    """

    words: str
    answers: tuple[int, ...] = (0,)
    also: tuple[str, ...] = ()  # further lines
    once: bool = False
    stdin: str = ""
    in_aws: bool = False  # against a simulated AWS account instead of the local cloud
    before: Callable[[], None] | None = None


def second_release() -> None:
    """Two releases of stage dev; the first is written down as the way back."""
    first_release()
    release = Release(boto3.Session(), "dev")
    release.remember()
    next_release(*CHANGED)
    release.succeeded()


STARTER_MODEL: Final = "starter-dir60-v31"
# Where the example of the catalogue needs what this walk has not: another stage, weeks of a market, minutes of time.
WALKS: Final[dict[str, Walk]] = {
    "trace": Walk("trace"),
    "doctor": Walk("doctor --no-aws"),
    "collect": Walk("collect --symbols BTC-USD --start 1d --venue-url {exchange} --out collected"),
    "collect alt": Walk("collect alt --sources okx --source-url {exchange} --calendar releases.csv --out collected"),
    "data export": Walk(
        "data export --data lake --format freqtrade --out out/exported", also=("data export --data lake --out out/exported",)
    ),
    "data sample": Walk("data sample --out out/sample --days 1"),
    "data import": Walk(f"data import {KLINES} --out out/imported"),
    "train": Walk("train --config small.toml --data lake --out out/trained --tracking tracking", once=True),
    "features": Walk("features --data lake --schema v50 --out out/features.parquet --start 2024-02-18"),
    "features rehash": Walk("features rehash former --data lake --out out/rehashed", once=True),
    "features verify": Walk("features verify --day {day}"),
    "evaluate": Walk("evaluate out/bundle --data lake --start 2024-02-17 --out out/evaluation"),
    "backtest": Walk(
        "backtest out/bundle --data lake --start 2024-02-17 --starts 1 --out out/backtest",
        also=("backtest compare out/backtest out/backtest --out out/compared",),
    ),
    "notebook": Walk("notebook --no-open --data lake --out out/notebooks"),
    "jobs package": Walk("jobs package --plan plan.json --out out/code.tar.gz"),
    "jobs train": Walk("jobs train --plan plan.json --config full --dry-run"),
    "jobs evaluate": Walk(f"jobs evaluate {MODEL} --plan plan.json --at 2026-11-15T02:00", once=True, in_aws=True),
    "jobs pipeline": Walk("jobs pipeline --plan plan.json --dry-run"),
    "jobs list": Walk("jobs list --stage test --purpose evaluate", in_aws=True),
    "jobs show": Walk(f"jobs show {JOB}", in_aws=True),
    "jobs register": Walk(f"jobs register {JOB} --plan plan.json --dry-run", in_aws=True),
    "rollback code": Walk("rollback code --stage dev", in_aws=True, before=second_release),
    "library keys new": Walk("library keys new --name anna --key out/new.pem", once=True),
    "library keys revoke": Walk(f"library keys revoke {REVOKED} --why 'the laptop was stolen'"),
    "library export": Walk(
        EXAMPLES["library export"],
        also=(
            "library export training/starter_bundle --format mlflow --out out/mlflow",
            "library export training/starter_bundle --format bentoml --out out/bentoml",
        ),
        once=True,
    ),
    "library import": Walk("library import shared.signalbox --out out/imported-model", also=("library import shared.signalbox",)),
    "library add": Walk("library add catalogue#starter-dir60-v31 --out out/added-model"),
    "backup": Walk("backup --out out/backup", once=True),
    "restore": Walk("restore --from dump --database '{empty_database}' --replace"),
    # what a change of the library answers depends on the changes before; tests/integration/test_manage_library.py has them all
    "library list": Walk("library list", also=("library list --tag starter --stage local",)),
    "library search": Walk("library search starter"),
    "library score": Walk("library score BTC-USD ETH-USD"),
    "library history": Walk("library history", also=(f"library history {STARTER_MODEL}",)),
    "library compare": Walk(
        f"library compare {STARTER_MODEL}@1 {STARTER_MODEL}@1.0.0",
        also=(f"library compare {STARTER_MODEL}@1 {STARTER_MODEL}@1.0.0 --live",),
    ),
    "library register": Walk("library register out/bundle --why walked --tag walked"),
    "library approve": Walk(f"library approve {STARTER_MODEL}@1 --why walked --override", once=True),
    "library reject": Walk(f"library reject {STARTER_MODEL}@1 --why walked", answers=(0, 2), once=True),
    "library retire": Walk(f"library retire {STARTER_MODEL}@2 --why walked", answers=(0, 2), once=True),
    "library deploy": Walk(f"library deploy {STARTER_MODEL}@1 --why walked", once=True),
    "library promote": Walk("library promote --why walked", answers=(0, 2), once=True),
    "library withdraw": Walk(f"library withdraw {STARTER_MODEL}@1 --why walked", answers=(0, 2), once=True),
    "library rollback": Walk("library rollback --why walked", answers=(0, 2), once=True),
    "observe start": Walk(
        "observe start --why walked", also=("observe start --why walked --dry-run",), answers=(0, 2), once=True
    ),
    "observe status": Walk("observe status", answers=(0, 1, 2, 3)),
    "observe report": Walk("observe report --out out/observation", answers=(0, 1, 2, 3)),
    "observe stop": Walk("observe stop --why walked", answers=(0, 1, 2, 3), once=True),
    "secrets set": Walk("secrets set telegram.bot_token --stage local", stdin=f"{BOT_TOKEN}\n"),
    "secrets rotate": Walk("secrets rotate report-key --stage local", once=True),
    "accounts list": Walk("accounts list --stage local"),
    "accounts readiness": Walk(f"accounts readiness {ACCOUNT}", answers=(0, 1)),
    "accounts open": Walk(
        "accounts open walked-live --kind live-spot --capital 1000 --venue coinbase --mode live",
        also=(EXAMPLES["accounts open"],),
    ),
    "accounts confirm": Walk("accounts confirm walked-live live", once=True),
    "accounts adopt": Walk("accounts adopt walked-live --symbol BTC-USD --quantity 0.1 --price 60000 --why bought", once=True),
    "accounts access revoke": Walk(EXAMPLES["accounts access revoke"], once=True),
    "accounts withdraw": Walk(f"accounts withdraw {ACCOUNT} --amount 10 --why payout"),
    "signals show": Walk("signals show BTC-USD {instant}", also=("signals show BTC-USD {instant} --out out/signal",)),
    "telegram invite": Walk("telegram invite --role viewer --stage local"),
    "telegram people": Walk("telegram people --stage local"),
    "telegram setup": Walk("telegram setup --stage local"),
    "telegram group": Walk("telegram group --stage local -- -1001234567890", once=True),
    "telegram remove": Walk("telegram remove 1 --stage local", once=True),
    "telegram simulate": Walk("telegram simulate --role operator", stdin=f"/status\n/halt {ACCOUNT} testing\n2\n"),
    "report": Walk("report --account ftmo-2step-100k --period {month} --out out/reports"),
    "mt5 config": Walk("mt5 config ftmo-1"),
    "mt5 key": Walk("mt5 key ftmo-1 --out signing.key"),
    "mt5 rotate": Walk("mt5 rotate ftmo-1 --out signing.key"),
    "bench features": Walk("bench features --data lake --bars 5000 --repeats 1"),
    "bench swap": Walk("bench swap --bundle out/bundle --scores 8 --swaps 1 --threads 2"),
    "bench simulate": Walk("bench simulate --schedules 4 --workers 1"),
    "bench cold-start": Walk("bench cold-start --function route_events --repeats 1"),
}

# Minutes of time, walked with good words by a test of their own; their bad words are walked here.
BENCH: Final = "tests/integration/test_trading_bench.py"
ELSEWHERE: Final = {
    "features value": "tests/unit/local/cli/test_feature_value.py::test_a_planted_signal_is_found_and_noise_is_not",
    "demo": "tests/e2e/test_commands.py::test_demo_writes_its_summary_report_and_chart",
    "library serve": "tests/unit/local/library/test_scoring_server.py::test_the_command_serves_until_it_is_interrupted",
    "up": "tests/e2e/test_commands.py::test_up_finds_its_state_again_and_closes_what_was_open",
    "cost": "tests/infrastructure/test_cost.py::test_the_readme_has_the_sums_of_both_stages",
    "deploy": "tests/unit/local/cli/test_deploy_command.py::test_a_dry_run_asks_nobody_and_runs_nothing",
    "observe replay": "tests/e2e/test_observe.py::test_planted_fault_ends_in_no_go_and_the_good_model_in_go",
    "bench backtest": "tests/unit/local/bench/test_backtest_bench.py::test_both_engines_trade_the_same_brackets",
    "bench orders": f"{BENCH}::test_short_run_of_orders_is_sound_and_counts_what_was_delivered_again",
    "bench risk": f"{BENCH}::test_risk_bench_measures_every_way_and_finds_them_judging_alike",
    "bench training": "tests/unit/training/fit/test_training_bench.py::test_figures_fit_each_other_and_threads_are_given_back",
}

JSON_LINES: Final = frozenset({"telegram simulate"})  # with --json an object for each line that was typed
FREE: Final = None  # any text is good
INSTANT: Final = ("tomorrow", "2024-13-01", "10 days", "")
FOLDER: Final = ("nowhere", "small.toml", "empty")
COUNT: Final = ("x", "1.5", "-3", "")
AMOUNT: Final = ("x", "-5", "0", "NaN", "Infinity", "1e999", "")
NAME: Final = ("nobody", "no body", "../x", "a/b", "a?b", "x" * 300)
BAD: Final[dict[str, tuple[str, ...] | None]] = {
    "start": INSTANT,
    "end": INSTANT,
    "at": INSTANT,
    "until": INSTANT,
    "cycle": INSTANT,
    "day": ("today", "2024-13-01", "2031-01-01"),
    "data": FOLDER,
    "bundle": FOLDER,
    "recorded": ("nowhere", "empty"),
    "observation": ("nobody", "../x", "x" * 300, ""),
    "observe start rules": ("nowhere", "small.toml", "empty"),
    "last_days": COUNT,
    "plant": ("nonsense", ""),
    "start_at": INSTANT,
    "plan": ("nowhere", "small.toml"),
    "config": ("nowhere", "plan.json"),
    "jobs train config": ("../x", "no such", ""),
    "events": ("nowhere", "small.toml", "empty"),
    "wheels": ("nowhere", "empty"),
    "out": ("/proc/nope/x",),
    "scores": ("/proc/nope", "small.toml"),
    "checkpoints": ("/proc/nope", "small.toml"),
    "paths": ("nowhere", "empty", "small.toml"),
    "source": ("nowhere", "small.toml", "empty", "s3://elsewhere/dumps/x", ""),
    "runs": ("nowhere",),
    "tracking": FREE,
    "train name": FREE,
    "features verify venue": FREE,
    "tracking_uri": FREE,
    "stage": ("Prod", "no stage", "nowhere", ""),
    "database": ("nonsense", "host=/nowhere", "host=x password=y", "port=x", "", "{no_ledger}"),
    "restore database": ("nonsense", "host=/nowhere", "host=x password=y", "port=x", ""),  # it fills an empty one
    "venue_url": ("nowhere", "file:///etc/passwd"),
    "venue": ("nowhere", ""),
    "data import venue": ("no where", "../x", "x" * 300, ""),
    "time_zone": ("Mars/Olympus", "../../etc/passwd", ""),
    "base_volume": ("nothing", ""),
    "quote_volume": ("nothing", ""),
    "columns": ("open", "a,b,c"),
    "form": ("json", ""),
    "collect alt symbols": ("", ",", "nothing at all"),
    "collect alt sources": ("mtgox", "okx,mtgox", ""),
    "collect alt calendar": ("nowhere", "small.toml"),
    "source_url": ("nowhere", "file:///etc/passwd"),
    "alternative": FOLDER,
    "assume_lag": ("x", "-1"),
    "symbols": ("", ",", "nothing at all", "BTC-XXX"),
    "symbol": ("nothing at all", "", "BTC"),
    "account": NAME,
    "name": NAME,
    "accounts open name": NAME[1:],  # "nobody" may be opened
    "notebook account": NAME[1:],  # it looks when it runs
    "notebook database": ("nonsense", "host=x password=y", "port=x", ""),
    "job": NAME,
    "model_uri": ("nowhere", "s3://elsewhere/m.tar.gz", ""),
    "model": ("a/b", ""),
    "why": ("", " "),
    "request_id": ("", "x" * 300),
    "venue_id": ("x" * 500,),
    "amount": AMOUNT,
    "quantity": ("x", "0", "NaN", "1e999", ""),
    "price": AMOUNT,
    "fee": ("x", "NaN"),  # a rebate is negative
    "capital": AMOUNT,
    "currency": ("dollars", ""),
    "kind": ("nonsense", ""),
    "mode": ("nonsense", ""),
    "phase": ("nonsense", ""),
    "policy": ("nonsense", ""),
    "follows": ("no such", ""),
    "what": ("nonsense", ""),
    "method": ("nonsense", ""),
    "level": ("nonsense", "none", ""),
    "role": ("nonsense", ""),
    "principal": ("nobody", "arn:aws:s3:::x", ""),
    "zone": ("Mars/Olympus", "../../etc/passwd", ""),
    "period": ("yesterday", "2026-13", "2026-11-31", "0000", ""),
    "rules": ("nonsense", ""),
    "schema": ("v1", ""),
    "purpose": ("tune", ""),
    "register_when": ("never", ""),
    "families": ("forest", ""),
    "folds": ("x", "3", "-1"),
    "hours": ("x", "-1", "0", "nan", "1e9"),
    "seed": ("x",),
    "port": ("x", "0", "70000"),
    "refresh": ("x", "-1"),
    "minutes": COUNT,
    "days": (*COUNT, "0", "731"),
    "starts": ("x", "-1", "1001"),
    "limit": COUNT,
    "coinbase_taker_bps": ("x", "-1", "nan"),
    "bars": COUNT,
    "function": ("nobody", "../x", ""),
    "workers": COUNT,
    "repeats": COUNT,
    "every": COUNT,
    "rounds": COUNT,
    "postgres_rounds": COUNT,
    "rate": COUNT,
    "seconds": COUNT,
    "accounts": COUNT,
    "schedules": COUNT,
    "bench swap scores": COUNT,
    "swaps": COUNT,
    "steps": COUNT,
    "threads": COUNT,
    "key": ("nonsense", "request_key", ""),
    "library keys new key": ("/proc/nope/x",),
    "library keys new name": ("", "x" * 300),
    "library keys trust name": ("", "x" * 300),
    "library export key": ("nowhere", "small.toml"),
    "library catalogue key": ("nowhere", "small.toml"),
    "trusted": ("small.toml", "empty"),
    "public_key": ("nonsense", "ed25519:00", ""),
    "package": ("nowhere", "small.toml", "empty"),
    "place": ("nowhere", "http://localhost/", "https://localhost/", "file:///etc", ""),
    "models": ("nowhere", "a/b", ""),
    "licence": ("", "x" * 300),
    "user": ("x", "0", "-1", ""),
    "chat": ("x", "5", ""),
    "version": ("No Model", "m@0x", "../x", "x" * 300, ""),
    "other": ("No Model", "m@0x", "../x", "x" * 300, ""),
    "library score symbols": ("nothing at all", "", "BTC"),  # a symbol without candles is refused in the answer
    "library list name": ("No Model", "../x", "x" * 300, ""),
    "words": ("", " "),
    "tag": ("A B", "../x", "x" * 300, ""),
    "as_": ("live", ""),
    "to": COUNT,
    "field": ("telegram", "nonsense.x", "exchange.accounts.x.y", ""),
}
NAMES_OF_OTHERS: Final = (
    "signalbox_reader",
    "bot_token",
    "chat_ids",
    "two_people",
    "nautilus_trader",
    *Function,
    "api_key",
    "api_secret",
    *BINANCE,
)  # of databases, secrets, functions, packages, files
BEGINS: Final = frozenset({"collect", "train"})  # what an exchange or a library knows is asked after a line of progress
FLAGS: Final = frozenset({"json_output", "install_completion", "show_completion"})


class Terminal:
    """Runs commands in a folder where the examples of the catalogue find what they name."""

    def __init__(self, folder: Path, cloud: LocalCloud, at: datetime, capfd: Any = None) -> None:
        self.folder, self.cloud, self.at, self.capfd = folder, cloud, at, capfd
        self._is_new_to_aws = True

    @property
    def no_ledger(self) -> str:
        """The connection string of a database without a table."""
        return self.cloud.postgres.dsn.replace(f"dbname={DATABASE_NAME}", "dbname=postgres")

    def filled(self, words: str) -> list[str]:
        facts = {
            "exchange": self.cloud.exchange.url,
            "day": f"{self.at:%Y-%m-%d}",
            "month": f"{self.at:%Y-%m}",
            "instant": f"{self.at:%Y-%m-%dT%H:%M}",
            "empty_database": self.cloud.postgres.dsn.replace(f"dbname={DATABASE_NAME}", "dbname=restored"),
        }
        for name, value in facts.items():
            words = words.replace(f"{{{name}}}", value)
        return shlex.split(words)

    @contextmanager
    def _aws(self) -> Iterator[None]:
        """A simulated account of AWS, which remembers its jobs from one command to the next."""
        mock = mock_aws()
        mock.start(reset=self._is_new_to_aws)
        self._is_new_to_aws = False
        try:
            with pytest.MonkeyPatch.context() as patch:
                for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
                    patch.setenv(name, "testing")
                for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
                    patch.setenv(name, "eu-central-1")
                yield
        finally:
            mock.stop(remove_data=False)

    def prepare(self, before: Callable[[], None]) -> None:
        """Bring the simulated account of AWS into the state that a command needs."""
        with self._aws():
            before()

    def run(self, words: Sequence[str], stdin: str = "", *, in_aws: bool = False) -> tuple[int, str, str]:
        """Run a command; return its exit code and what it wrote to both streams, native libraries included."""
        with self._aws() if in_aws else nullcontext(), pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["signalbox", *words])
            patch.setattr(sys, "stdin", StringIO(stdin))
            patch.chdir(self.folder)
            self.capfd.readouterr()
            with pytest.raises(SystemExit) as left:
                main()
            out, err = self.capfd.readouterr()
        return int(left.value.code or 0), out, err


@pytest.fixture(scope="module")
def _terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A cloud that decided some cycles of the last hour, as `signalbox up` leaves it, and a folder to work in."""
    usual = load_settings()
    folder = tmp_path_factory.mktemp("walk")
    state = folder / "state"
    state.mkdir()
    (usual.state / "assembly").mkdir(parents=True, exist_ok=True)
    (state / "assembly").symlink_to(usual.state / "assembly", target_is_directory=True)
    last = cycle_of(datetime.now(UTC)) - CYCLE
    with ExitStack() as closing:
        patch = closing.enter_context(pytest.MonkeyPatch.context())
        for name in ("SIGNALBOX_STAGE", "SIGNALBOX_CONFIG", "AWS_PROFILE", "AWS_ENDPOINT_URL", "PGPASSWORD"):
            patch.delenv(name, raising=False)
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_CONFIG_FILE", str(folder / "absent"))
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "absent"))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("SIGNALBOX_STATE", str(state))
        patch.setenv("COLUMNS", "120")
        settings = load_settings()
        first = last - (CYCLES - 1) * CYCLE
        cloud = closing.enter_context(LocalCloud(settings, state / "up", CachedFeed(SimulatedSource(7)), now=first))
        (state / "up" / "ports.json").write_text(json.dumps({"emulator": cloud.emulator.port}))
        collect = cloud.schedule_of(Function.COLLECT_CANDLES)
        for number in range(CYCLES):
            at = first + number * CYCLE
            cloud.exchange.set_time(at)
            assert cloud.clock.fire(collect, at).error is None
            cloud.watch.until_decided(at, seconds=90)
            cloud.watch.until_traded(at, seconds=60)
        cloud.watch.until_quiet(seconds=60)
        _work_folder(folder)
        Backups(settings).dump(folder / "dump", None, None)
        server = cloud.postgres.dsn.replace(f"dbname={DATABASE_NAME}", "dbname=postgres")
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute("CREATE DATABASE restored TEMPLATE template0")
        yield Terminal(folder, cloud, last)


def _work_folder(folder: Path) -> None:
    from tests.unit.training.test_rehash import named  # noqa: PLC0415 - as above
    from training.command import run_train  # noqa: PLC0415 - heavy

    small_config(folder)
    bars = walk(50)
    lake = write_candles(folder / "lake", bars)
    values = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    rows = (f"{at},{','.join(f'{one:.8f}' for one in row)},{at + 59_999},1,1,0.5,0.5,0\n"
            for at, *row in zip(bars.open_time_ms[:1_440].tolist(), *values, strict=False))  # fmt: skip
    (folder / KLINES).write_text("".join(rows))
    (folder / "empty").mkdir()
    (folder / "out").mkdir()
    (folder / "training").symlink_to(REPOSITORY / "training", target_is_directory=True)
    (folder / "releases.csv").write_text("scheduled_at,name,importance\n2026-12-10T13:30:00Z,CPI,3\n")
    (folder / "plan.json").write_text(plan().model_dump_json())
    events = [
        {"type": "open", "time": "2026-03-02T09:00:00Z", "position": "1", "symbol": "BTC-USD", "side": "buy", "quantity": "1",
         "price": "60000", "commission": "0"},
        {"type": "mark", "time": "2026-03-02T10:00:00Z", "symbol": "BTC-USD", "price": "61000"},
        {"type": "close", "time": "2026-03-02T11:00:00Z", "position": "1", "price": "61000", "commission": "0"},
    ]  # fmt: skip
    (folder / "events.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in events))
    _share(folder)
    run_train(lake, folder / "out" / "bundle", config=folder / "small.toml", seed=1, created_at=datetime(2024, 6, 1, tzinfo=UTC))
    named(folder / "out" / "bundle", folder / "former", get_schema("v31").former_hash)


def _share(folder: Path) -> None:
    """The operator's key, a package of the starter, and a catalogue with it."""
    from local.library.catalogue import write_catalogue  # noqa: PLC0415 - heavy
    from local.library.package import open_package  # noqa: PLC0415 - as above
    from local.library.publishers import PublicKey, TrustList, new_key, write_key, write_trust  # noqa: PLC0415 - as above
    from local.library.sharing import make_package, version_of_bundle  # noqa: PLC0415 - as above

    now, key, keys = datetime(2026, 11, 28, tzinfo=UTC), new_key(), folder / "state" / "library"
    trust = TrustList().trusting(key.public, "me", now).trusting(PublicKey(REVOKED), "bert", now)
    write_key(keys / "publisher.pem", key, None)
    write_trust(keys / "trusted.json", trust)
    content = make_package([version_of_bundle(REPOSITORY / "training" / "starter_bundle")], key, now)[1]
    (folder / "shared.signalbox").write_bytes(content)
    write_catalogue([(open_package(content, trust), content)], folder / "catalogue", now)


@pytest.fixture
def terminal(_terminal: Terminal, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    _terminal.capfd = capfd
    return _terminal


def walk_of(path: str) -> Walk:
    return WALKS.get(path, Walk(EXAMPLES[path]))


def takes_json(path: str) -> bool:
    return any("--json" in one.opts for one in LEAVES[path].params)


def python_in(text: str, words: Sequence[str], path: str) -> str | None:
    """Return a name of Python in an error, but for those of the words that were given and of the command's own help."""
    said = " ".join((*words, *(str(getattr(one, "help", "")) for one in LEAVES[path].params), *NAMES_OF_OTHERS))
    found = (one[0] for one in PYTHON.finditer(text))
    return next((one for one in found if one not in said), None)


def shown(words: Sequence[str], out: str, err: str, code: int) -> str:
    return f"signalbox {shlex.join(words)} -> {code}\n  out: {out[:300]!r}\n  err: {err[:600]!r}"


def faults_of_a_good_run(path: str, words: Sequence[str], code: int, out: str, err: str) -> str | None:
    wrong, answers = None, walk_of(path).answers
    if code not in answers:
        wrong = f"expected exit {answers}"
    elif not out.strip():
        wrong = "expected a result on standard output"
    elif "Traceback" in err + out:
        wrong = "a traceback"
    elif "--json" in words:
        try:
            for one in out.splitlines() if path in JSON_LINES else (out,):
                json.loads(one)
        except ValueError as error:
            wrong = f"expected JSON alone ({error})"
    return None if wrong is None else f"{wrong}: {shown(words, out, err, code)}"


def faults_of_a_bad_run(path: str, words: Sequence[str], code: int, out: str, err: str) -> str | None:
    """Return what is wrong with how a command refuses its words: exit 2, one line, plain words; with --json a problem too."""
    wrong = None
    *before, line = err.splitlines() or [""]
    if code != 2:
        wrong = "expected exit 2"
    elif not line.startswith("signalbox: ") or not err.endswith("\n") or (before and path not in BEGINS):
        wrong = "expected one line on standard error"
    elif (name := python_in(line, words, path)) is not None:
        wrong = f"a name of Python: {name}"
    elif "--json" not in words and out:
        wrong = "expected nothing on standard output"
    elif "--json" in words:
        try:
            problem = json.loads(out)
            if not {"type", "title", "detail"} <= set(problem):
                wrong = "expected a problem object"
        except ValueError as error:
            wrong = f"expected a problem alone ({error})"
    return None if wrong is None else f"{wrong}: {shown(words, out, err, code)}"


def bad_words(path: str, good: list[str]) -> Iterator[list[str]]:
    """Yield the good words of a command with one thing wrong: each argument, each option, and what is missing or too much."""
    count = len(path.split())
    yield [*good, "--nonsense"]
    if all(one.nargs != -1 for one in LEAVES[path].params):
        yield [*good, "too", "many", "words", "for", "this"]
    params = [one for one in LEAVES[path].params if one.name not in FLAGS and not getattr(one, "is_flag", False)]
    position = count
    for param in params:
        is_option = param.opts[0].startswith("-")
        values = bad_values(path, str(param.name))
        if is_option:
            option = max(param.opts, key=len)
            rest = without_option(good, option)
            if param.required:
                yield rest
            yield [*rest, option]
            for value in values or ():
                yield [*rest, f"{option}={value}"]
        else:
            given = position < len(good) and not good[position].startswith("--")
            if param.required:
                yield [*good[:position], *(word for word in good[position + 1 :] if word.startswith("--"))][:position]
            for value in values or ():
                yield [*good[:position], value, *good[position + (1 if given else 0) :]]
            position += 1
    if {"start", "end"} <= {str(one.name) for one in params}:
        yield [*without_option(without_option(good, "--start"), "--end"), "--start", "2024-02-02", "--end", "2024-02-01"]


def bad_values(path: str, name: str) -> tuple[str, ...] | None:
    for key in (f"{path} {name}", name):
        if key in BAD:
            return BAD[key]
    raise AssertionError(f"signalbox {path}: say in BAD what would be a wrong {name}")


def without_option(words: Sequence[str], option: str) -> list[str]:
    if option not in words:
        return list(words)
    at = list(words).index(option)
    return [*words[:at], *words[at + 2 :]]


@pytest.mark.parametrize("path", [path for path in LEAVES if path not in ELSEWHERE])
def test_good_words_do_what_they_say_and_json_is_alone(terminal: Terminal, path: str) -> None:
    walked = walk_of(path)
    if walked.before is not None:
        terminal.prepare(walked.before)
    faults = []
    for line in (walked.words, *walked.also):
        words = terminal.filled(line)
        assert words[: len(path.split())] == path.split()
        for given in (words, [*words, "--json"]) if takes_json(path) else (words,):
            if not walked.once or not takes_json(path) or "--json" in given:
                ended = terminal.run(given, walked.stdin, in_aws=walked.in_aws)
                faults.append(faults_of_a_good_run(path, given, *ended))
    assert not [one for one in faults if one]


@pytest.mark.skipif(searched.get_current_profile_name() != "nightly", reason="minutes of bad words: `make nightly` walks them")
@pytest.mark.parametrize("path", LEAVES)
def test_bad_words_are_one_plain_line_and_exit_2(terminal: Terminal, path: str) -> None:
    faults = []
    for number, words in enumerate(bad_words(path, terminal.filled(walk_of(path).words))):
        count = len(path.split())
        words = [word.replace("{no_ledger}", terminal.no_ledger) for word in words]  # noqa: PLW2901 - filled in
        json_too = ["--json"] if number % 2 and takes_json(path) else []  # both for every command, one for each fault
        given = [*words[:count], *json_too, *words[count:]]  # before the others: an option without a value would take it
        faults.append(faults_of_a_bad_run(path, given, *terminal.run(given, walk_of(path).stdin)))
    found = [one for one in faults if one]
    assert not found, "\n".join(found)


def test_what_is_walked_elsewhere_is_walked_there() -> None:
    for path, test in ELSEWHERE.items():
        file, _, name = test.partition("::")
        assert path in LEAVES
        assert f"def {name}(" in (REPOSITORY / file).read_text(), test


def test_the_readme_names_every_command_with_options_that_it_has() -> None:
    named: set[str] = set()
    for code in re.findall(r"`signalbox ([^`]*)`", README.read_text().replace("\\|", "|")):
        paths = {path for line in alternatives(code) if (path := path_of(line.split())) is not None}
        named |= paths
        known = {name for path in paths for one in LEAVES[path].params for name in (*one.opts, *one.secondary_opts)}
        wrong = set(re.findall(r"--[a-z][a-z-]+", code)) - known - {*EVERYWHERE, "--help", "--install-completion"}
        assert not wrong, code
    assert named == set(LEAVES)


def path_of(words: Sequence[str]) -> str | None:
    return next((path for count in (3, 2, 1) if (path := " ".join(words[:count])) in LEAVES), None)


def alternatives(code: str) -> list[str]:
    """Return the lines that `accounts list|show NAME` stands for; each has all the options that one of them may take."""
    words = code.split()
    at = next((i for i, word in enumerate(words[:3]) if "|" in word), None)
    if at is None:
        return [code]
    return [" ".join((*words[:at], one, *words[at + 1 :])) for one in words[at].split("|")]
