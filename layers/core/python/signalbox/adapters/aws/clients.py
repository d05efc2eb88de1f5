"""How long a function waits for AWS: well under its own timeout, so that it reports what failed instead of being killed.

botocore waits 60 s for a connection and 60 s for each answer, and tries up to five times: longer than any function here has, and
than a message is hidden. Two tries of QUICK take 16 s at most, a pause included.
"""

from __future__ import annotations

from typing import Final

from botocore.config import Config

QUICK: Final = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 2, "mode": "standard"})
# of a key or a password, which most often was read before and goes on: giving up early costs nothing
IMPATIENT: Final = Config(connect_timeout=1, read_timeout=4, retries={"total_max_attempts": 1})
