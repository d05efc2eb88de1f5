"""How many examples a slow property test tries.

A number written into a test would hold in the nightly search too, which is there to look further.
"""

from __future__ import annotations

from typing import Final

from hypothesis import settings

IN_CI: Final = 75


def examples(in_ci: int) -> int:
    """Return `in_ci` examples in CI and as many more or fewer as the profile in use has."""
    return max(1, round(in_ci * settings().max_examples / IN_CI))
