"""Known vulnerabilities of what is locked, by pip-audit, where the OSV database can be reached; where not, one line says so."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
DATABASE = "https://api.osv.dev/v1/vulns/PYSEC-2021-1"
SECONDS = 10.0
LOCKS = ("setup", "run", "training", "training-cpu")


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
    for name in LOCKS:
        lock = REPOSITORY / "requirements" / f"{name}.lock"
        command = [sys.executable, "-m", "pip_audit", "--vulnerability-service", "osv", "--disable-pip", "--require-hashes"]
        worst = max(worst, subprocess.run([*command, "-r", str(lock)], check=False).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
