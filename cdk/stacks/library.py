"""The operator's door to the library: versions, approvals, deployments, rollback."""

from __future__ import annotations

from typing import Final

from aws_cdk import aws_s3_assets
from constructs import Construct

from cdk.constructs.function import SignalboxFunction
from cdk.constructs.http_api import SignedHttpApi
from cdk.constructs.layers import LayerName
from cdk.stacks.function_stack import FunctionStack, Platform
from signalbox.contracts import BUNDLES_PREFIX, PRODUCT, TRAINING_PREFIX, Env, Function, StackOutput

LIBRARY_ROUTES: Final = ("POST /library/{verb}",)


class LibraryStack(FunctionStack):
    """library_api with its API."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        super().__init__(scope, platform, "library", description="versions and deployments of models")
        context, data = platform.context, platform.data
        starter = aws_s3_assets.Asset(self, "StarterBundle", path=str(context.sources.starter_bundle))
        library = SignalboxFunction(
            self,
            "LibraryApi",
            name=Function.LIBRARY_API,
            context=context,
            layers=(LayerName.CORE, LayerName.INFERENCE),  # a bundle is verified before it is recorded
            outgoing=data.outgoing,
            environment={
                Env.MODELS_BUCKET: data.models.bucket_name,
                Env.STARTER_BUNDLE_BUCKET: starter.s3_bucket_name,
                Env.STARTER_BUNDLE_KEY: starter.s3_object_key,
                Env.OWNERS: ",".join(self.config.owners),
                Env.VENUE: self.config.venues[0],
                Env.CHALLENGERS: str(self.config.challengers),
            },
            timeout_seconds=30,
            memory_megabytes=1769,  # one full vCPU
            ledger=data.ledger,
        )
        # without ListBucket an absent object looks like a forbidden one
        library.allow(["s3:ListBucket"], data.models.bucket_arn)
        library.allow(["s3:GetObject"], starter.bucket.arn_for_objects(starter.s3_object_key))
        reason = "An upload and a bundle are named by their content."
        self.allow_objects(library, ["s3:GetObject"], data.models, f"{TRAINING_PREFIX}/uploads", reason=reason)
        self.allow_objects(library, ["s3:PutObject"], data.models, BUNDLES_PREFIX, reason=reason)
        self.api = SignedHttpApi(
            self,
            "Library",
            stage=self.config,
            name=f"{PRODUCT}-{self.config.name}-library",
            function=library,
            routes=LIBRARY_ROUTES,
        )
        self.output(StackOutput.LIBRARY_API_URL, self.api.url)
