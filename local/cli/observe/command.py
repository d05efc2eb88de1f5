"""`signalbox observe`: starts and ends observations through the library's API, and judges them from the ledger's rows."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from local.cli.accounts.ledger import ledger
from local.cli.features.verification import stage_bars
from local.cli.library.command import LibraryClient, library_client
from local.cli.observe.gathering import ObservedLedger, gather
from local.cli.observe.page import observation_json, observation_text, write_observation
from local.cli.rows import print_rows
from local.cli.stage import announce, stage_of
from local.errors import DataError, WorkbenchError
from local.settings import VENUE, Settings
from signalbox.adapters.aws.bundles import S3Bundles
from signalbox.adapters.postgres.observations import PostgresObservations
from signalbox.adapters.postgres.reading import LedgerReader
from signalbox.adapters.postgres.trading_reading import TradingReader
from signalbox.contracts import SYMBOLS
from signalbox.inference import Ensemble, load_bundle
from signalbox.inference.archive import bundle_sha256, unpack_bundle
from signalbox.labels import PromisedEvent, SignalContract
from signalbox.library.errors import BundleMissingError
from signalbox.market.clock import CYCLE, cycle_of
from signalbox.observation.errors import ObservationRulesError
from signalbox.observation.judgement import ObservationJudgement, judge
from signalbox.observation.ports import ObservationState, ObservationStep, RecordedObservation
from signalbox.observation.rules import ObservationRules, ObservedModel, parse_rules, preset
from signalbox.observation.verdicts import ObservationVerdict
from signalbox.wire import in_one_line

HORIZON_MINUTES: Final = 60  # of the label dir60, the only one so far (docs/labels.md)
EXIT_CODES: Final = {ObservationVerdict.GO: 0, ObservationVerdict.NO_GO: 1, ObservationVerdict.EXTEND: 3}


@dataclass(frozen=True, slots=True)
class ObserveOptions:
    """Where to read. data: independent bars; bundle: a folder, for the parity of its graphs; None: that of the stage."""

    observation: str | None
    data: str | None
    bundle: Path | None
    stage: str | None
    database: str | None
    json_output: bool


@dataclass(frozen=True, slots=True)
class WantedRules:
    """Rules in a file, or what the preset leaves open. start: None for the cycle after next."""

    path: Path | None
    start: datetime | None
    days: int
    last_days: int


def run_start(
    wanted: WantedRules, why: str, request_id: str, *,
    now: datetime, stage: str | None, dry_run: bool, json_output: bool, settings: Settings,
) -> None:  # fmt: skip
    """Fix the rules and begin. Raises DataError, AccountsError, ObservationRulesError."""
    named = stage_of(stage, settings)
    client = library_client(named, settings)
    found = _rules(client, wanted, now)
    if dry_run:
        sys.stdout.write(json.dumps(found.model_dump(mode="json"), indent=2) + "\n")
        return
    announce(named, client.api.session)
    answer = client.ask("observe", {"request_id": request_id, "why": why, "rules": found.text})
    if json_output:
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")
        return
    print(
        f"observation {answer['observation']} of {found.model.deployment} begins at {found.starts_at:%Y-%m-%d %H:%M} UTC and"
        f" takes {found.days} days\n  its rules are fixed: sha256 {answer['rules_sha256']}\n  `signalbox observe status` shows it"
    )


def run_list(options: ObserveOptions, settings: Settings) -> None:
    """Print the observations, newest first."""
    with ledger(options.stage, options.database, settings) as source:
        found = PostgresObservations(source).observations(100)
    print_rows("observations", [_row(one) for one in found], {"stage": options.stage}, as_json=options.json_output)


def run_report(options: ObserveOptions, out: Path | None, settings: Settings, now: datetime) -> int:
    """Judge an observation, print it, write its report if a folder is given, and return the exit code."""
    found, ended = _judged(options, settings, now)
    written = [] if out is None else write_observation(found, out, ended)
    _print(found, written, ended, as_json=options.json_output)
    return exit_code(found.verdict, ended)


def exit_code(verdict: ObservationVerdict, ended: ObservationStep | None) -> int:
    """Return the exit code of a judgement. A verdict that was recorded otherwise is never turned into GO by judging again."""
    if verdict is ObservationVerdict.GO and ended is not None and ended.verdict is not None:
        return EXIT_CODES[ended.verdict]
    return EXIT_CODES[verdict]


def run_stop(options: ObserveOptions, why: str, request_id: str, settings: Settings, now: datetime) -> int:
    """Judge an observation for the last time, record the verdict and its reasons, and return the exit code."""
    named = stage_of(options.stage, settings)
    client = library_client(named, settings)
    found, ended = _judged(options, settings, now)
    if ended is not None and ended.request_id == request_id:  # its answer was lost; judged again the figures may be others
        _print(found, [], ended, as_json=options.json_output)
        return exit_code(found.verdict, ended)
    announce(named, client.api.session)
    facts = {
        "request_id": request_id,
        "why": why,
        "observation": found.rules.observation,
        "verdict": found.verdict.value,
        "reasons": [one[:500] for one in found.reasons],
    }
    client.ask("end-observation", facts)
    _print(found, [], None, as_json=options.json_output)
    return EXIT_CODES[found.verdict]


def print_judgement(found: ObservationJudgement, out: Path, *, as_json: bool) -> int:
    """Write and print a judgement, and return the exit code."""
    _print(found, write_observation(found, out), None, as_json=as_json)
    return EXIT_CODES[found.verdict]


def _print(found: ObservationJudgement, written: list[str], ended: ObservationStep | None, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps({**observation_json(found, ended), "written": written}, indent=2) + "\n")
        return
    sys.stdout.write(observation_text(found, ended))
    if written:
        print(f"  written {', '.join(written)}")


def _judged(options: ObserveOptions, settings: Settings, now: datetime) -> tuple[ObservationJudgement, ObservationStep | None]:
    """Return the judgement of an observation, and the step that ended it, with the verdict that was recorded then."""
    with ledger(options.stage, options.database, settings) as source:
        book = PostgresObservations(source)
        recorded = book.observation(options.observation)
        with _scorer(options, recorded, settings) as scorer:
            observed = ObservedLedger(
                reader=LedgerReader(source),
                trading=TradingReader(source),
                venue=VENUE,
                find=stage_bars(options.data, options.database, VENUE, settings),
                own_bars=options.data is None,
                scorer=scorer,
            )
            findings = gather(recorded.rules, judged_until(recorded, now), observed, earlier=book.earlier(recorded.rules))
    return judge(recorded.rules, findings), recorded.steps[-1] if recorded.state is ObservationState.ENDED else None


def judged_until(recorded: RecordedObservation, now: datetime) -> datetime:
    """Return the newest cycle that is over, at `now` or when the observation ended.

    The cycle that has just begun is still being decided: its slots are not lost, and its closing bars are not missing.
    """
    last = recorded.steps[-1]
    return cycle_of(min(now, last.at) if recorded.state is ObservationState.ENDED else now) - CYCLE


@contextmanager
def _scorer(options: ObserveOptions, recorded: RecordedObservation, settings: Settings) -> Iterator[Ensemble | None]:
    """Yield the bundle of the rules, or None if neither a folder nor the stage has it. Another bundle is an error."""
    if options.bundle is not None:
        yield _loaded(options.bundle, recorded.rules)
        return
    with tempfile.TemporaryDirectory(prefix="observe-") as folder:
        try:
            found: Ensemble | None = _loaded(_fetched(options, recorded.rules, Path(folder), settings), recorded.rules)
        except (WorkbenchError, BundleMissingError, BotoCoreError, ClientError) as error:
            print(f"no bundle, so its parity is not checked: {error}", file=sys.stderr)
            found = None
        yield found


def _fetched(options: ObserveOptions, rules: ObservationRules, folder: Path, settings: Settings) -> Path:
    """Fetch the bundle of the rules from the stage's bucket. Raises AccountsError, BundleMissingError, botocore's errors."""
    client = library_client(stage_of(options.stage, settings), settings)
    deployment = next(
        (one for one in client.ask("history", {"limit": 500})["deployments"] if one["deployment"] == rules.model.deployment), None
    )
    if deployment is None:
        raise BundleMissingError(f"the stage has no deployment {rules.model.deployment}")
    version = client.ask("show", {"version": deployment["version"]})
    s3 = client.api.session.client("s3", endpoint_url=client.api.via)
    content = S3Bundles(s3, bucket=client.bucket).archive(version["bundle_key"] or "", rules.model.bundle_sha256)
    return unpack_bundle(content, folder / "bundle")


def _loaded(folder: Path, rules: ObservationRules) -> Ensemble:
    found = bundle_sha256(folder)
    if found != rules.model.bundle_sha256:
        raise DataError(f"{folder}: expected the bundle {rules.model.bundle_sha256} of the rules, got {found}")
    scorer = load_bundle(folder)
    require_settled_by_close(scorer.contract, rules)
    return scorer


def require_settled_by_close(contract: SignalContract, rules: ObservationRules) -> None:
    """Raise ObservationRulesError unless the outcome that is judged here is the event that the bundle promises."""
    promised = f"{contract.name}@{contract.version}"
    if contract.event is not PromisedEvent.UP:
        raise ObservationRulesError(
            f"{rules.model.deployment} promises {promised}, whose signals end at a target or a stop; an observation"
            " judges the close one horizon later, so it cannot observe this model yet"
        )
    if contract.horizon_minutes != rules.model.horizon_minutes:
        raise ObservationRulesError(
            f"model.horizon_minutes: expected {contract.horizon_minutes} of {promised}, got {rules.model.horizon_minutes}"
        )


def _rules(client: LibraryClient, wanted: WantedRules, now: datetime) -> ObservationRules:
    """Return the rules in a file, or the preset for what serves. Raises DataError, ObservationRulesError."""
    if wanted.path is not None:
        try:
            return parse_rules(wanted.path.read_bytes())
        except OSError as error:
            raise DataError(f"--rules {wanted.path}: cannot be read ({error.strerror})") from error
    current = client.ask("history", {"limit": 1})["slot"]["current"]
    if current is None:
        raise DataError("nothing serves yet, so there is nothing to observe; `signalbox library deploy` deploys a version")
    if current["evaluated_rate"] is None:
        raise DataError(f"{current['deployment']} states no evaluated share of signals, so its rate cannot be observed")
    version = client.ask("show", {"version": current["version"]})
    model = ObservedModel(
        deployment=current["deployment"],
        bundle_sha256=version["sha256"],
        symbols=tuple(SYMBOLS),
        horizon_minutes=HORIZON_MINUTES,
        evaluated_share=current["evaluated_rate"],
    )
    return preset(model, wanted.start or cycle_of(now) + 2 * CYCLE, days=wanted.days, last_days=wanted.last_days)


def _row(one: RecordedObservation) -> dict[str, Any]:
    last, rules = one.steps[-1], one.rules
    return {
        "observation": rules.observation,
        "deployment": rules.model.deployment,
        "starts_at": rules.starts_at,
        "days": rules.days,
        "state": one.state.value,
        "verdict": None if last.verdict is None else last.verdict.value,
        "changed_at": last.at,
        "who": last.who,
        "why": in_one_line(last.why),
    }
