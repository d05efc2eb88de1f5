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
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
ACCEPTED = REPOSITORY / ".ci" / "accepted-templates.toml"
STAGES = ("dev", "prod")
RECIPIENT = "ops@example.com"  # prod does not synthesise without one


def main(checkov: str) -> int:
    """Print what was found and not accepted, or accepted and not found; the exit status says whether there was any."""
    entries = tomllib.loads(ACCEPTED.read_text(encoding="utf-8"))["accepted"]
    if bare := [entry for entry in entries if not str(entry.get("reason", "")).strip()]:
        print(f"{ACCEPTED.name}: expected a reason, got none: {bare[0]}")
        return 1
    accepted = {(entry["rule"], stage): entry.get(stage, 0) for entry in entries for stage in STAGES}
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    looked_at = 0
    for stage in STAGES:
        with tempfile.TemporaryDirectory() as folder:
            _synthesise(stage, folder)
            checks, passed = _findings(checkov, folder)
        looked_at += passed + len(checks)
        for rule, place in checks:
            found[rule, stage].append(place)
    wrong = 0
    for rule, stage in sorted({*accepted, *found}):
        places, allowed = found.get((rule, stage), []), accepted.get((rule, stage), 0)
        if len(places) != allowed:
            wrong += 1
            listed = "; ".join(sorted(places)) or "remove it from the list"
            print(f"{rule} {stage}: accepted {allowed}, found {len(places)}: {listed}")
    print(f"checkov: {looked_at} checks, {sum(map(len, found.values()))} findings, {wrong} not as accepted")
    return 1 if wrong else 0


def _synthesise(stage: str, folder: str) -> None:
    from cdk.composition import synthesise  # noqa: PLC0415 - starts Node; only when there is something to look at

    synthesise({"stage": stage, "alarm_emails": RECIPIENT}, out=folder, templates_only=True)


def _findings(checkov: str, folder: str) -> tuple[list[tuple[str, str]], int]:
    """Return rule and place of each failed check, and how many passed."""
    templates = [str(path) for path in sorted(Path(folder).glob("*.template.json"))]
    command = [
        checkov,
        "--framework",
        "cloudformation",
        "--output",
        "json",
        "--quiet",
        "--compact",
        "--skip-download",
        "--soft-fail",
    ]
    done = subprocess.run([*command, "--file", *templates], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"checkov failed: {done.stderr[-2000:]}")
    report = json.loads(done.stdout)
    if report["summary"]["parsing_errors"]:
        raise SystemExit(f"checkov could not read {report['results']['parsing_errors']}")
    failed = report["results"]["failed_checks"]
    found = [(one["check_id"], f"{Path(one['file_path']).name.split('.')[0]} {one['resource']}") for one in failed]
    return found, int(report["summary"]["passed"])


if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY))
    sys.exit(main(sys.argv[1]))
