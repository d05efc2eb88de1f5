"""Every command of `signalbox`: its group in the help, its one-line help, its source, and an example.

A command is imported only when it runs or shows its own help, so `signalbox --help` and completion answer at once. To add
a command, add a line to COMMANDS, and to EXAMPLES an example for it and each of its sub-commands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """A command or a group of commands. source: `module:name` of a function, or of a typer.Typer with sub-commands."""

    name: str
    group: str
    help: str
    source: str


_c = CommandEntry
COMMANDS: Final = (
    _c("demo", "Try it", "Replay history through the local cloud and report what it did.", "local.cli.demo:demo"),
    _c("up", "Try it", "Run the local cloud on the real five-minute clock until Ctrl-C.", "local.cli.up:up"),
    _c("trace", "Try it", "Show one cycle end to end: logs of all functions and ledger rows.", "local.cli.trace:trace"),
    _c("doctor", "Try it", "Check this machine and say what is missing and what to do.", "local.cli.doctor:doctor"),
    _c("config", "Try it", "Show the settings and where each one comes from.", "local.cli.config:config_app"),
    _c("collect", "Data", "Fill a lake with candles of an exchange, or alternative data.", "local.cli.data.app:collect_app"),
    _c("data", "Data", "Import, export and check candles.", "local.cli.data.app:data_app"),
    _c("features", "Data", "Compute features of candles, and verify stored features.", "local.cli.features.app:features_app"),
    _c("train", "Models", "Train a model on recorded candles and write a bundle.", "local.cli.train:train"),
    _c("evaluate", "Models", "Score a bundle on any period and judge it by the gates.", "local.cli.evaluate:evaluate"),
    _c("backtest", "Models", "Trade a bundle's signals as the deployed functions would.", "local.cli.backtest:backtest"),
    _c("notebook", "Models", "Write three worked notebooks of data, a model and an account.", "local.cli.notebook.app:notebook"),
    _c("jobs", "Models", "Train in your AWS account: jobs and the pipeline on SageMaker.", "local.cli.jobs.app:jobs_app"),
    _c("library", "Models", "Register, approve, deploy, roll back, share and serve models.", "local.cli.library.app:library_app"),
    _c("accounts", "Trading", "Open, inspect, halt and resume accounts.", "local.cli.accounts.app:accounts_app"),
    _c("signals", "Trading", "List signals, and see how they turned out.", "local.cli.signals.app:signals_app"),
    _c("observe", "Trading", "Watch what serves under fixed rules: GO or NO-GO.", "local.cli.observe.app:observe_app"),
    _c("telegram", "Trading", "Talk to the bot, set it up, and say who may use it.", "local.cli.telegram.app:telegram_app"),
    _c("report", "Trading", "Write reports of an account as CSV and HTML.", "local.cli.report.app:report"),
    _c("ftmo", "Trading", "Replay an account under a prop firm's rules.", "local.cli.ftmo.app:ftmo_app"),
    _c("mt5", "Trading", "Configure the agent of a MetaTrader 5 account.", "local.cli.mt5.app:mt5_app"),
    _c("deploy", "Operations", "Deploy a stage to your AWS account.", "local.cli.deploy.app:deploy"),
    _c("rollback", "Operations", "Switch every function back to the previous release.", "local.cli.rollback.app:rollback_app"),
    _c("secrets", "Operations", "Set a stage's credentials, and replace its signing keys.", "local.cli.secrets.app:secrets_app"),
    _c("cost", "Operations", "Estimate the monthly cost of a stage at list prices.", "local.cli.cost.app:cost"),
    _c("backup", "Operations", "Dump a complete ledger as of one instant.", "local.cli.backup.app:backup"),
    _c("restore", "Operations", "Restore a dump into an empty ledger.", "local.cli.backup.app:restore"),
    _c("bench", "Development", "Measure speed on this machine, compared with other code.", "local.cli.bench:bench_app"),
)  # fmt: skip

_ACCOUNT: Final = "ftmo-2step-100k"
_KEY: Final = "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
EXAMPLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "demo": "demo --hours 24 --start 2024-03-01T00:00 --out out/march",
        "up": "up",
        "trace": "trace 2024-03-01T12:05 --recorded out/demo",
        "doctor": "doctor",
        "config show": "config show",
        "collect": "collect --symbols BTC-USD,ETH-USD --start 60d --out lake",
        "collect alt": "collect alt --sources okx,alternativeme --calendar releases.csv --out lake",
        "features value": "features value --data lake --alternative lake",
        "data report": "data report --data lake --out out/data",
        "data export": "data export --data lake --format freqtrade --out user_data/data/binance",
        "data sample": "data sample --out lake-sample --days 60",
        "data import": "data import BTCUSDT-1m-2024-03.zip user_data/data/binance --out lake",
        "features": "features --data lake --schema v50 --out out/features.parquet",
        "features rehash": "features rehash out/bundle --data lake --out out/bundle-2",
        "features verify": "features verify --day 2026-11-20",
        "train": "train --quick --data lake --out out/bundle",
        "evaluate": "evaluate out/bundle --data lake --start 2024-01-01 --out out/evaluation",
        "backtest": "backtest training/starter_bundle --data lake --start 2023-12-06 --out out/backtest",
        "notebook": "notebook --out notebooks --no-open",
        "jobs package": "jobs package --stage dev",
        "jobs train": "jobs train --stage dev --config full --dry-run",
        "jobs evaluate": "jobs evaluate s3://BUCKET/model.tar.gz --stage dev",
        "jobs pipeline": "jobs pipeline --stage dev --execute",
        "jobs list": "jobs list --stage dev --purpose train",
        "jobs show": "jobs show signalbox-dev-train-20261115-020000",
        "jobs register": "jobs register signalbox-dev-train-20261115-020000 --stage dev",
        "library keys new": "library keys new --name anna",
        "library keys list": "library keys list",
        "library keys trust": f"library keys trust {_KEY} --name anna",
        "library keys revoke": f"library keys revoke {_KEY} --why 'the laptop was stolen'",
        "library export": "library export training/starter_bundle --out out/starter.signalbox --licence Apache-2.0",
        "library import": "library import out/starter.signalbox --out out/starter",
        "library catalogue": "library catalogue training/starter_bundle --out out/catalogue",
        "library add": "library add https://models.example.com/#starter-dir60-v31 --out out/starter",
        "library score": "library score BTC-USD ETH-USD SOL-USD",
        "library serve": "library serve --bundle training/starter_bundle --port 8360",
        "library list": "library list --tag starter",
        "library search": "library search 'quick bundle'",
        "library show": "library show starter-dir60-v31",
        "library lineage": "library lineage starter-dir60-v31",
        "library history": "library history",
        "library compare": "library compare starter-dir60-v31@1 starter-dir60-v31@2",
        "library register": "library register out/bundle --why 'two more years of candles'",
        "library approve": "library approve starter-dir60-v31@2 --why 'all gates pass'",
        "library reject": "library reject starter-dir60-v31@2 --why 'trained on the wrong days'",
        "library retire": "library retire starter-dir60-v31@1 --why 'replaced by 2'",
        "library deploy": "library deploy starter-dir60-v31@2 --why 'watch it beside the market'",
        "library promote": "library promote --why 'a week of signals as evaluated'",
        "library withdraw": "library withdraw starter-dir60-v31@2 --why 'seen enough of it'",
        "library rollback": "library rollback --why 'too many signals'",
        "deploy": "deploy --stage dev --dry-run",
        "secrets set": "secrets set telegram.bot_token --stage dev",
        "secrets rotate": "secrets rotate request-key --stage dev",
        "cost": "cost --stage dev --json",
        "rollback code": "rollback code --stage dev",
        "backup": "backup --out out/backup",
        "restore": "restore --from s3://BUCKET/dumps/20261128T023000Z --stage dev --replace",
        "accounts list": "accounts list --stage dev",
        "accounts show": f"accounts show {_ACCOUNT}",
        "accounts trades": f"accounts trades {_ACCOUNT} --start 7d",
        "accounts orders": f"accounts orders {_ACCOUNT} --start 7d",
        "accounts equity": f"accounts equity {_ACCOUNT} --start 1d",
        "accounts history": f"accounts history {_ACCOUNT} --start 30d",
        "accounts lots": f"accounts lots {_ACCOUNT}",
        "accounts readiness": "accounts readiness mt5-challenge --stage prod",
        "accounts open": "accounts open swing --kind paper --capital 25000",
        "accounts confirm": f"accounts confirm {_ACCOUNT} live --stage prod",
        "accounts lots-method": f"accounts lots-method {_ACCOUNT} HIFO",
        "accounts adopt": f"accounts adopt {_ACCOUNT} --symbol BTC-USD --quantity 0.1 --price 60000 --why 'bought by hand'",
        "accounts deposit": f"accounts deposit {_ACCOUNT} --amount 1000 --why 'more capital'",
        "accounts withdraw": f"accounts withdraw {_ACCOUNT} --amount 1000 --why 'payout'",
        "accounts halt": f"accounts halt {_ACCOUNT} --why 'news at 14:00' --level FLATTEN",
        "accounts resume": f"accounts resume {_ACCOUNT} --why 'news is over'",
        "accounts access list": f"accounts access list {_ACCOUNT}",
        "accounts access grant": f"accounts access grant {_ACCOUNT} arn:aws:iam::123456789012:user/anna operator",
        "accounts access revoke": f"accounts access revoke {_ACCOUNT} arn:aws:iam::123456789012:user/anna",
        "signals list": "signals list --start 1d --symbol BTC-USD",
        "signals show": "signals show BTC-USD 2026-11-20T12:05",
        "signals outcome": "signals outcome --start 7d",
        "observe start": "observe start --why 'five days before the first lot'",
        "observe list": "observe list",
        "observe status": "observe status",
        "observe report": "observe report --out out/observation",
        "observe stop": "observe stop --why 'the five days are over'",
        "observe replay": "observe replay --days 5 --plant good-model",
        "telegram simulate": "telegram simulate --role viewer",
        "telegram setup": "telegram setup --stage dev",
        "telegram invite": "telegram invite --role operator --stage dev",
        "telegram people": "telegram people --stage dev",
        "telegram remove": "telegram remove 123456789 --stage dev",
        "telegram group": "telegram group --stage dev -- -1001234567890",
        "report": f"report --account {_ACCOUNT} --period 2026-11 --out out/reports",
        "ftmo simulate": "ftmo simulate --rules ftmo-2step --capital 200000 --events events.jsonl",
        "mt5 config": "mt5 config mt5-challenge --stage prod",
        "mt5 key": "mt5 key mt5-challenge --stage prod --out signing.key",
        "mt5 rotate": "mt5 rotate mt5-challenge --stage prod",
        "bench features": "bench features --schema v50",
        "bench backtest": "bench backtest --days 91",
        "bench training": "bench training --steps 10",
        "bench risk": "bench risk",
        "bench orders": "bench orders --rate 1000 --seconds 60",
        "bench swap": "bench swap --scores 10000 --swaps 50",
        "bench simulate": "bench simulate --schedules 20000",
        "bench cold-start": "bench cold-start --function manage_orders",
    }
)
