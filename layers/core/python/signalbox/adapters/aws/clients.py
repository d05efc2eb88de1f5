"""Timeouts of AWS clients: well below a function's own timeout, so that it can report an error instead of being killed.

By default botocore waits 60 s for a connection and 60 s for each answer, and tries up to five times: longer than any function's
timeout, and than a message's visibility timeout. Two tries with QUICK take at most 16 s, including a pause.
"""

from __future__ import annotations

from typing import Final

from botocore.config import Config

QUICK: Final = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 2, "mode": "standard"})
# for keys and passwords: most were read before and can still be used, so giving up early costs nothing
IMPATIENT: Final = Config(connect_timeout=1, read_timeout=4, retries={"total_max_attempts": 1})
