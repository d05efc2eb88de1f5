"""The layers of one stack: the library with its runtime, inference, exchange access, charts, and Parquet.

A stack has its own layer versions, made of assets that are built and uploaded once: a version handed from one stack to
another would be an export that no deployment could change. Decision: docs/decisions/0011-layers-are-built-without-docker.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import jsii
from aws_cdk import AssetHashType, BundlingOptions, DockerImage, ILocalBundling, Stack, aws_lambda
from constructs import Construct

from cdk.bytecode import find_compiler, own_compiler
from cdk.layer_build import BuiltLayer, build_layer
from cdk.sources import SourceTree
from cdk.stage import StageConfig

RUNTIME: Final = aws_lambda.Runtime.PYTHON_3_14  # stage.PYTHON_VERSION, which a test compares


class LayerName(StrEnum):
    """The folders of `layers/`."""

    CORE = "core"
    INFERENCE = "inference"
    EXCHANGE = "exchange"
    CHARTS = "charts"
    CHAT = "chat"
    DATA = "data"  # never beside inference: together they are over Lambda's limit


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer version and what it adds to a function."""

    name: LayerName
    version: aws_lambda.ILayerVersion
    unzipped_bytes: int


@jsii.implements(ILocalBundling)
class _BuiltBundling:
    """Gives the CDK the output of layer_build; Docker is never used."""

    def __init__(self, built: BuiltLayer) -> None:
        self._built = built

    def try_bundle(self, output_dir: str, *_options: Any, **_named: Any) -> bool:
        self._built.copy_to(Path(output_dir))
        return True


class Layers(Construct):
    """The layer versions of one stack, each created on first use."""

    def __init__(self, scope: Construct, construct_id: str, *, stage: StageConfig, sources: SourceTree) -> None:
        super().__init__(scope, construct_id)
        self._stage = stage
        self._sources = sources
        self._made: dict[LayerName, Layer] = {}

    @classmethod
    def of_stack(cls, stack: Stack, *, stage: StageConfig, sources: SourceTree) -> Layers:
        """Return the `Layers` of a stack, which its first function creates."""
        made = stack.node.try_find_child("Layers")
        return made if isinstance(made, cls) else cls(stack, "Layers", stage=stage, sources=sources)

    def of(self, *names: LayerName) -> tuple[Layer, ...]:
        """Return the given layers. All functions of a stack share one version of each."""
        for name in names:
            if name not in self._made:
                self._made[name] = self._layer(name)
        return tuple(self._made[name] for name in names)

    def _layer(self, name: LayerName) -> Layer:
        bundled, local = self._stage.bundle_dependencies, self._stage.endpoints is not None
        compiler = find_compiler() if bundled else own_compiler() if local else None
        built = build_layer(name, self._sources, with_dependencies=bundled, compiler=compiler)
        version = aws_lambda.LayerVersion(
            self,
            name.capitalize(),
            code=aws_lambda.Code.from_asset(
                str(self._sources.lock(name).parent),
                asset_hash=built.digest,
                asset_hash_type=AssetHashType.CUSTOM,
                bundling=BundlingOptions(image=DockerImage.from_registry("never-used"), local=_BuiltBundling(built)),
            ),
            compatible_runtimes=[RUNTIME],
            compatible_architectures=[aws_lambda.Architecture.X86_64],
            description=f"signalbox {name}",
        )
        return Layer(name, version, built.unzipped_bytes)
