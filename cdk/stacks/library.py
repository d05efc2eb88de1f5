"""The library: versions, approvals, deployments and rollback for people, and scores of what serves for programs."""

from __future__ import annotations

from typing import Final

from aws_cdk import aws_s3_assets
from constructs import Construct

from cdk.constructs.function import WHOLE_VCPU, SignalboxFunction
from cdk.constructs.http_api import SignedHttpApi
from cdk.constructs.layers import LayerName
from cdk.stacks.function_stack import FunctionStack, Platform
from signalbox.contracts import BUNDLES_PREFIX, PRODUCT, TRAINING_PREFIX, Env, Function, SealKey, StackOutput
from signalbox.library.routes import LIBRARY_ROUTES

SCORING_ROUTES: Final = ("POST /score", "GET /health", "GET /openapi.json")


class LibraryStack(FunctionStack):
    """library_api and score_signals, each with its API."""

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
                Env.SIGNING_KEYS_TABLE: platform.secrets.keys.table_name,
                Env.VENUE: self.config.venues[0],
                Env.CHALLENGERS: str(self.config.challengers),
            },
            timeout_seconds=30,
            memory_megabytes=WHOLE_VCPU,
            ledger=data.ledger,
        )
        library.allow_items(["dynamodb:GetItem"], platform.secrets.keys, [SealKey.PEOPLE])
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
            routes=[route.key for route in LIBRARY_ROUTES],
        )
        self.output(StackOutput.LIBRARY_API_URL, self.api.url)
        scoring = SignalboxFunction(
            self,
            "ScoreSignals",
            name=Function.SCORE_SIGNALS,
            context=context,
            layers=(LayerName.CORE, LayerName.INFERENCE),
            environment={Env.MODELS_BUCKET: data.models.bucket_name, Env.VENUE: self.config.venues[0]},
            timeout_seconds=30,
            memory_megabytes=WHOLE_VCPU,
            ledger=data.ledger,
        )
        scoring.allow(["s3:ListBucket"], data.models.bucket_arn)
        self.allow_objects(scoring, ["s3:GetObject"], data.models, BUNDLES_PREFIX, reason=reason)
        # an API of its own: a program that may ask for scores needs no right to any route of the library
        self.scoring_api = SignedHttpApi(
            self,
            "Scoring",
            stage=self.config,
            name=f"{PRODUCT}-{self.config.name}-scoring",
            function=scoring,
            routes=SCORING_ROUTES,
        )
        self.output(StackOutput.SCORING_API_URL, self.scoring_api.url)
