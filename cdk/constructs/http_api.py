"""An HTTP API in front of one function: signed requests only, logged, throttled, each route named."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from aws_cdk import Aws, RemovalPolicy, aws_apigatewayv2, aws_iam, aws_logs
from aws_cdk.aws_apigatewayv2 import HttpNoneAuthorizer
from aws_cdk.aws_apigatewayv2_authorizers import HttpIamAuthorizer
from aws_cdk.aws_apigatewayv2_integrations import HttpLambdaIntegration
from constructs import Construct

from cdk.constructs.function import SignalboxFunction, retention
from cdk.stage import StageConfig

_LOGGED = {  # one JSON line per request, with the caller but never the content
    "at": "$context.requestTime",
    "request": "$context.requestId",
    "route": "$context.routeKey",
    "status": "$context.status",
    "who": "$context.identity.userArn",
    "from": "$context.identity.sourceIp",
    "error": "$context.error.message",
    "milliseconds": "$context.responseLatency",
}


class SignedHttpApi(Construct):
    """Routes (`POST /orders`) of one function, for callers with an IAM identity that may invoke them.

    is_signed: false for a service that cannot sign; then the function itself judges who calls.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: StageConfig,
        name: str,
        function: SignalboxFunction,
        routes: Sequence[str],
        apart: Sequence[str] = (),
        requests_per_second: int = 20,
        burst: int = 40,
        is_signed: bool = True,
    ) -> None:
        """apart: routes with a throttle of their own, each as large as that of all other routes together."""
        super().__init__(scope, construct_id)
        self.api = aws_apigatewayv2.HttpApi(self, "Api", api_name=name, create_default_stage=False)
        integration = HttpLambdaIntegration("Function", function.live)
        authorizer = HttpIamAuthorizer() if is_signed else HttpNoneAuthorizer()
        made: list[aws_apigatewayv2.HttpRoute] = []  # those apart
        for route in routes:
            method, path = route.split(" ")
            found = self.api.add_routes(
                path=path, methods=[aws_apigatewayv2.HttpMethod[method]], integration=integration, authorizer=authorizer
            )
            made += found if route in apart else []
        logs = aws_logs.LogGroup(self, "AccessLogs", retention=retention(stage), removal_policy=RemovalPolicy.DESTROY)
        logs.grant_write(aws_iam.ServicePrincipal("apigateway.amazonaws.com"))
        self.stage = aws_apigatewayv2.CfnStage(
            self,
            "Stage",
            api_id=self.api.api_id,
            stage_name="$default",
            auto_deploy=True,
            access_log_settings=aws_apigatewayv2.CfnStage.AccessLogSettingsProperty(
                destination_arn=logs.log_group_arn, format=json.dumps(_LOGGED)
            ),
            default_route_settings=aws_apigatewayv2.CfnStage.RouteSettingsProperty(
                throttling_rate_limit=requests_per_second, throttling_burst_limit=burst
            ),
            route_settings={  # no construct: CloudFormation's names
                route: {"ThrottlingRateLimit": requests_per_second, "ThrottlingBurstLimit": burst} for route in apart
            }
            or None,
        )
        self.stage.node.add_dependency(*made)  # a setting of a route that is not there yet is refused

    def arn_of(self, route: str) -> str:
        """Return the ARN of a route for execute-api:Invoke; a parameter of its path is any value."""
        method, path = route.split(" ")
        named = re.sub(r"\{\w+\}", "*", path)
        return f"arn:{Aws.PARTITION}:execute-api:{Aws.REGION}:{Aws.ACCOUNT_ID}:{self.api.api_id}/$default/{method}{named}"

    @property
    def url(self) -> str:
        """The URL of the API."""
        return self.api.api_endpoint
