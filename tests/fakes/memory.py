"""How much memory something takes: measured in a process of its own, under a limit that ends it before the machine suffers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LIMIT = 6 * 2**30  # bytes of address space: threads and mapped libraries take two of them
PROGRAM = """
import json, resource, sys
sys.path[:0] = [{root!r}, {library!r}]
resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
def measured(run, *given):
    open("/proc/self/clear_refs", "w").write("5")  # the peak begins again where memory stands now
    before = peak()
    try:
        said = repr(run(*given))
    except BaseException as error:
        said = " < ".join(kind.__name__ for kind in type(error).__mro__) + ": " + str(error)[:300]
    return [said, peak() - before]
{code}
print(json.dumps(reported))
"""


def run_measured(code: str, cwd: Path) -> Any:
    """Run code that fills `reported` with the help of `measured(function, *arguments)`: [what it said, MiB it took at most]."""
    program = PROGRAM.format(root=str(ROOT), library=str(ROOT / "layers/core/python"), limit=LIMIT, code=code)
    done = subprocess.run([sys.executable, "-c", program], cwd=cwd, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])
