"""Known vulnerabilities of what is locked, by pip-audit, where the OSV database can be reached; where not, one line says so.

pip-audit looks at what a lock installs here. A lock is for other machines too (the agent's is for Windows), so each is audited
without its markers; a package that then stands there in several versions goes through in as many files.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
DATABASE = "https://api.osv.dev/v1/vulns/PYSEC-2021-1"
SECONDS = 10.0
NAMES = ("setup", "run", "training", "training-cpu", "nautilus", "serving")
LOCKS = (*(f"requirements/{name}.lock" for name in NAMES), "agents/mt5/requirements.lock")
_PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?P<extras>\[[^\]]*\])?==(?P<version>[^ ;\\]+)")


def unconditional(lock: str) -> list[str]:
    """Return a lock as one or more without markers, in none of which a package stands twice. Raises ValueError."""
    files: list[dict[str, str]] = [{}]
    for block in re.split(r"\n(?=[^\s#])", lock.strip()):
        found = _PINNED.match(block)
        if found is None:
            if block.lstrip().startswith(("#", "--")) or not block.strip():
                continue
            raise ValueError(f"expected name==version, got {block.splitlines()[0]!r}")
        hashes = re.findall(r"--hash=sha256:[0-9a-f]{64}", block)
        if not hashes:
            raise ValueError(f"expected hashes for {found['name']}, were none")
        text = " \\\n    ".join((f"{found['name']}=={found['version']}", *hashes))
        place = next((one for one in files if found["name"] not in one), None)
        if place is None:
            files.append(place := {})
        place[found["name"]] = text
    return ["\n".join(one.values()) + "\n" for one in files]


def main() -> int:
    """Audit each lock file; the exit status is that of the worst, and 0 where nothing could be asked."""
    try:
        urllib.request.urlopen(DATABASE, timeout=SECONDS).close()
    except urllib.error.HTTPError:
        pass  # it answers
    except OSError as error:
        print(f"pip-audit was NOT run: no database of vulnerabilities can be reached from here ({error})")
        return 0
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in LOCKS:
            for number, text in enumerate(unconditional((REPOSITORY / name).read_text(encoding="utf-8"))):
                lock = Path(folder) / f"{name.replace('/', '-')}.{number}.txt"
                lock.write_text(text, encoding="utf-8")
                command = [
                    sys.executable,
                    "-m",
                    "pip_audit",
                    "--vulnerability-service",
                    "osv",
                    "--disable-pip",
                    "--require-hashes",
                ]
                worst = max(worst, subprocess.run([*command, "-r", str(lock)], check=False).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
