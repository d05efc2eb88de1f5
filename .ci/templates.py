"""checkov over the synthesised templates of dev and prod, from an environment of its own (`make templates`).

`.ci/accepted-templates.toml` lists what was looked at: rule, how many in each stage, why. A finding that is not there fails,
and so does an entry that finds nothing any more. cdk-nag looks at the same stacks while they are synthesised, with other rules.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
ACCEPTED = REPOSITORY / ".ci" / "accepted-templates.toml"
STAGES = ("dev", "prod")
RECIPIENT = "ops@example.com"  # prod does not synthesise without one
WITHOUT_RULES = ("dashboard",)  # stacks in which checkov knows no type of resource
Finding = tuple[str, str]  # rule, stage


def main(checkov: str) -> int:
    """Print what was found and not accepted, or accepted and not found; the exit status says whether there was any."""
    entries = tomllib.loads(ACCEPTED.read_text(encoding="utf-8"))["accepted"]
    with tempfile.TemporaryDirectory() as folder:
        templates = _synthesise(Path(folder))
        found, looked_at = read_report(_report(checkov, templates, folder), templates)
    wrong = not_as_accepted(entries, found)
    print(*wrong, sep="\n", end="\n" if wrong else "")
    print(f"checkov: {looked_at} checks, {sum(map(len, found.values()))} findings, {len(wrong)} not as accepted")
    return 1 if wrong else 0


def not_as_accepted(entries: Sequence[Mapping[str, Any]], found: Mapping[Finding, Iterable[str]]) -> list[str]:
    """Return a line for each rule and stage whose findings differ from the accepted number, and for an entry without a reason."""
    wrong = [f"{entry['rule']}: expected a reason, got none" for entry in entries if not str(entry.get("reason", "")).strip()]
    accepted = {(str(entry["rule"]), stage): int(entry[stage]) for entry in entries for stage in STAGES}
    if len(accepted) != len(entries) * len(STAGES):
        wrong.append("expected one entry for each rule, got a rule twice")
    for rule, stage in sorted({*accepted, *found}):
        places, allowed = sorted(found.get((rule, stage), ())), accepted.get((rule, stage), 0)
        if len(places) != allowed:
            wrong.append(
                f"{rule} {stage}: accepted {allowed}, found {len(places)}: {'; '.join(places) or 'remove it from the list'}"
            )
    return wrong


def read_report(report: Mapping[str, Any], templates: Iterable[str]) -> tuple[dict[Finding, list[str]], int]:
    """Return the failed checks of checkov's report, and how many checks ran. Raises SystemExit if a template was missed."""
    results = report["results"]
    looked_at = {Path(one["file_path"]).name for kind in ("passed_checks", "failed_checks") for one in results[kind]}
    wanted = {Path(one).name for one in templates if not Path(one).name.split(".")[0].endswith(WITHOUT_RULES)}
    if missed := sorted(wanted - looked_at):
        raise SystemExit(f"checkov checked nothing in {', '.join(missed)}; not read: {results['parsing_errors']}")
    found: dict[Finding, list[str]] = defaultdict(list)
    for one in results["failed_checks"]:
        stack = Path(one["file_path"]).name.split(".")[0]
        found[one["check_id"], stack.split("-")[1]].append(f"{stack} {one['resource']}")
    return found, len(results["passed_checks"]) + len(results["failed_checks"])


def _synthesise(folder: Path) -> list[str]:
    from cdk.composition import synthesise  # noqa: PLC0415 - starts Node; only when there is something to look at

    for stage in STAGES:
        synthesise({"stage": stage, "alarm_emails": RECIPIENT}, out=str(folder / stage), templates_only=True)
    return sorted(str(path) for path in folder.glob("*/*.template.json"))


def _report(checkov: str, templates: Sequence[str], folder: str) -> dict[str, Any]:
    options = ["--framework", "cloudformation", "--output", "json", "--compact", "--skip-download", "--soft-fail"]
    # one run for all: most of a small run is checkov's own start
    done = subprocess.run([checkov, *options, "--file", *templates], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"checkov failed: {done.stderr[-2000:]}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY))
    sys.exit(main(sys.argv[1]))
