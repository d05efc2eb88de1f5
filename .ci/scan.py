"""Two scanners over what is committed: bandit (unsafe Python) and detect-secrets (keys, passwords).

`.ci/accepted.toml` lists what was looked at: file, rule, how many, why. A finding that is not there fails, and so does an entry
that finds nothing any more. Run by `make check`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
ACCEPTED = REPOSITORY / ".ci" / "accepted.toml"
PYTHON = (
    "agents",
    "cdk",
    "lambdas",
    "layers",
    "local",
    "sagemaker",
    "tools",
    "training",
    ".ci",
)  # tests assert, run programs, hold false keys
# Not looked at for keys: files of hashes and of numbers.
HASHES = (".lock", "requirements.txt", ".onnx", ".npz", "manifest.json", "speed.json", "report.json", "report.html")
Finding = tuple[str, str, str]  # tool, file, rule


def main() -> int:
    """Print what was found and not accepted, or accepted and not found; the exit status says whether there was any."""
    entries = tomllib.loads(ACCEPTED.read_text(encoding="utf-8"))["accepted"]
    if bare := [entry for entry in entries if not str(entry.get("reason", "")).strip()]:
        print(f"{ACCEPTED.name}: expected a reason, got none: {bare[0]}")
        return 1
    accepted = Counter({(entry["tool"], entry["file"], entry["rule"]): entry["count"] for entry in entries})
    files = _committed()
    found: dict[Finding, list[str]] = {}
    for finding, where in (*_bandit(files), *_secrets(files)):
        found.setdefault(finding, []).append(where)
    wrong = 0
    for finding in sorted({*accepted, *found}):
        places, allowed = found.get(finding, []), accepted[finding]
        if len(places) != allowed:
            wrong += 1
            listed = "; ".join(places) or "remove it from the list"
            print(f"{' '.join(finding)}: accepted {allowed}, found {len(places)}: {listed}")
    print(f"bandit and detect-secrets: {sum(map(len, found.values()))} findings in {len(files)} files, {wrong} not as accepted")
    return 1 if wrong else 0


def _committed() -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.splitlines() if (REPOSITORY / name).is_file()]


def _bandit(files: list[str]) -> Iterator[tuple[Finding, str]]:
    python = [name for name in files if name.endswith(".py") and name.partition("/")[0] in PYTHON]
    for result in _json("bandit", "--quiet", "--format", "json", "--exit-zero", *python)["results"]:
        file = str(result["filename"]).removeprefix("./")
        yield ("bandit", file, result["test_id"]), f"line {result['line_number']}, {result['issue_text']}"


def _secrets(files: list[str]) -> Iterator[tuple[Finding, str]]:
    plain = [name for name in files if not name.endswith(HASHES)]
    cores = str(os.cpu_count() or 1)
    reported = _json(
        "detect_secrets", "--cores", cores, "scan", "--no-verify", *plain
    )  # nothing that looks like a key is sent anywhere
    for file, results in reported["results"].items():
        for result in results:
            yield ("detect-secrets", file, result["type"]), f"line {result['line_number']}"


def _json(module: str, *arguments: str) -> dict:
    done = subprocess.run([sys.executable, "-m", module, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{module} failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
