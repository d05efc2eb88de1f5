"""What the functions stand on: the ledger's network, state, secrets and what carries events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from constructs import Construct

from cdk.constructs.function import FunctionContext, SignalboxFunction
from cdk.constructs.layers import Layer
from cdk.stacks.data import DataStack
from cdk.stacks.messaging import MessagingStack
from cdk.stacks.network import NetworkStack
from cdk.stacks.secrets import SecretsStack
from signalbox.contracts import Env, Function


@dataclass(frozen=True, slots=True)
class Platform:
    """The stacks below every stack that has a function."""

    network: NetworkStack
    data: DataStack
    secrets: SecretsStack
    messaging: MessagingStack

    def ledger_function(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: Function,
        context: FunctionContext,
        layers: Sequence[Layer],
        environment: Mapping[Env, str],
        timeout_seconds: int,
        memory_megabytes: int,
    ) -> SignalboxFunction:
        """Return a function in the ledger's network that logs in to the database as its own user."""
        function = SignalboxFunction(
            scope,
            construct_id,
            name=name,
            context=context,
            layers=layers,
            environment=environment,
            timeout_seconds=timeout_seconds,
            memory_megabytes=memory_megabytes,
            network=self.network.ledger,
        )
        self.data.let_connect(function, name)
        return function
