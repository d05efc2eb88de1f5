"""The base of all stacks: name, tags, protection, no look-ups."""

from __future__ import annotations

from aws_cdk import CfnOutput, DefaultStackSynthesizer, RemovalPolicy, Stack, Tags
from constructs import Construct

from cdk.stage import StageConfig
from signalbox.contracts import PRODUCT, StackOutput


class SignalboxStack(Stack):
    """One concern of one stage. The template is the same for every account and region."""

    def __init__(self, scope: Construct, stage: StageConfig, concern: str, *, description: str, stateful: bool = False) -> None:
        super().__init__(
            scope,
            stage.stack_name(concern),
            stack_name=stage.stack_name(concern),
            description=f"Signalbox {stage.name}: {description}",
            termination_protection=stage.termination_protection and stateful,
            synthesizer=DefaultStackSynthesizer(generate_bootstrap_version_rule=stage.bootstrap_rule),
            analytics_reporting=False,
        )
        self.config = stage
        Tags.of(self).add("product", PRODUCT)
        Tags.of(self).add("stage", stage.name)

    @property
    def state_removal(self) -> RemovalPolicy:
        """The removal policy of stateful resources that are no longer in the template."""
        return RemovalPolicy.RETAIN if self.config.retain_state else RemovalPolicy.DESTROY

    def output(self, key: StackOutput, value: str) -> None:
        """Publish a stack output for the operator's tools."""
        CfnOutput(self, key.value, value=value)
