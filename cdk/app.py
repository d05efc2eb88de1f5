"""The CDK app: `python cdk/app.py -c stage=dev --out cdk.out`, or `npx aws-cdk@2.1148.1 deploy --all -c stage=dev`.

Run by the CDK's command, it gets context and output folder through CDK_CONTEXT_JSON and CDK_OUTDIR; both ways give the same
assembly.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # started as a file: its folder would hide the package `constructs` behind cdk/constructs
    sys.path[0] = str(Path(__file__).resolve().parent.parent)


def _pairs(values: Sequence[str]) -> dict[str, str]:
    for value in values:
        if "=" not in value:
            raise SystemExit(f"expected -c key=value, got {value!r}")
    return {key: value for key, _, value in (v.partition("=") for v in values)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Synthesise one stage."""
    parser = argparse.ArgumentParser(prog="cdk/app.py", description="Synthesise Signalbox's cloud assembly (offline).")
    parser.add_argument("-c", "--context", action="append", default=[], metavar="KEY=VALUE", help="stage=local|dev|prod, …")
    parser.add_argument("--out", default=None, help="folder of the assembly; default CDK_OUTDIR, else a new one")
    parser.add_argument("--templates-only", action="store_true", help="for reading: the layers lack their dependencies")
    found = parser.parse_args(arguments)

    from cdk.node import use_bundled_node  # noqa: PLC0415 - after the path is right

    use_bundled_node()
    from cdk.bytecode import missing_compiler  # noqa: PLC0415
    from cdk.composition import OPERATOR_ERRORS, synthesise  # noqa: PLC0415 - imports aws_cdk, which starts node

    try:
        stage, _ = synthesise(_pairs(found.context), out=found.out, templates_only=found.templates_only)
    except OPERATOR_ERRORS as error:
        raise SystemExit(f"cdk/app.py: {error}") from None
    if stage.bundle_dependencies and (warning := missing_compiler()):
        sys.stderr.write(f"cdk/app.py: {warning}\n")


if __name__ == "__main__":
    main()
