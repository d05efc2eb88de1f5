"""The way in over HTTP: signed, named, logged, throttled."""

from __future__ import annotations

import json

import pytest

from cdk.stacks.chat import BURST, REQUESTS_PER_SECOND, WEBHOOK_ROUTE
from cdk.stacks.library import SCORING_ROUTES
from cdk.stacks.trading import HALT_ROUTE, ROUTES
from local.cli.cost.estimate import load
from signalbox.library.routes import LIBRARY_ROUTES
from tests.infrastructure.assembly import Assembly
from tools.api_docs import ROUTES as DESCRIBED

pytestmark = pytest.mark.infra


def test_every_route_asks_for_an_iam_identity_and_there_is_no_other(assembly: Assembly) -> None:
    routes = [r for r in assembly.resources("AWS::ApiGatewayV2::Route") if r.stack == "trading"]
    assert sorted(r.properties["RouteKey"] for r in routes) == sorted(ROUTES)
    assert {r.properties["AuthorizationType"] for r in routes} == {"AWS_IAM"}


def test_api_is_logged_without_its_bodies_and_throttled(assembly: Assembly) -> None:
    (stage,) = (s for s in assembly.resources("AWS::ApiGatewayV2::Stage") if s.stack == "trading")
    assert stage.properties["StageName"] == "$default"
    fields = json.loads(stage.properties["AccessLogSettings"]["Format"]).values()
    assert "$context.identity.userArn" in fields
    assert all(field.startswith("$context.") for field in fields)
    limits = stage.properties["DefaultRouteSettings"]
    assert 0 < limits["ThrottlingRateLimit"] <= limits["ThrottlingBurstLimit"] <= 100


def test_halts_are_throttled_apart_from_all_other_routes(assembly: Assembly) -> None:
    (stage,) = (s for s in assembly.resources("AWS::ApiGatewayV2::Stage") if s.stack == "trading")
    own = stage.properties["RouteSettings"]
    assert set(own) == {HALT_ROUTE} <= set(ROUTES)
    assert own[HALT_ROUTE] == stage.properties["DefaultRouteSettings"]


def test_only_the_api_may_invoke_its_function(assembly: Assembly) -> None:
    permissions = [p for p in assembly.resources("AWS::Lambda::Permission") if p.stack == "trading"]
    assert len(permissions) == len(ROUTES)
    for permission in permissions:
        assert permission.properties["Principal"] == "apigateway.amazonaws.com"
        assert "OrdersApi" in json.dumps(permission.properties["SourceArn"])


def test_every_deployed_route_is_in_the_openapi_document() -> None:
    assert {f"{method.upper()} {path}" for method, path in (route.split(" ") for route in DESCRIBED)} == set(ROUTES)


def test_each_route_of_library_and_scoring_is_signed_and_throttled_and_no_other_is(assembly: Assembly) -> None:
    routes = [r for r in assembly.resources("AWS::ApiGatewayV2::Route") if r.stack == "library"]
    by_api: dict[str, set[str]] = {}
    for route in routes:
        by_api.setdefault(route.properties["ApiId"]["Ref"], set()).add(route.properties["RouteKey"])
    assert sorted(by_api.values(), key=len) == [set(SCORING_ROUTES), {route.key for route in LIBRARY_ROUTES}]
    assert {r.properties["AuthorizationType"] for r in routes} == {"AWS_IAM"}
    stages = [s for s in assembly.resources("AWS::ApiGatewayV2::Stage") if s.stack == "library"]
    assert {s.properties["ApiId"]["Ref"] for s in stages} == set(by_api)
    for stage in stages:
        assert 0 < stage.properties["DefaultRouteSettings"]["ThrottlingRateLimit"] <= 100
        fields = json.loads(stage.properties["AccessLogSettings"]["Format"]).values()
        assert all(field.startswith("$context.") for field in fields)


def test_the_webhook_is_one_throttled_route_that_logs_no_body(assembly: Assembly) -> None:
    (route,) = (r for r in assembly.resources("AWS::ApiGatewayV2::Route") if r.stack == "chat")
    assert (route.properties["RouteKey"], route.properties["AuthorizationType"]) == (WEBHOOK_ROUTE, "NONE")
    (stage,) = (s for s in assembly.resources("AWS::ApiGatewayV2::Stage") if s.stack == "chat")
    limits = stage.properties["DefaultRouteSettings"]
    assert (limits["ThrottlingRateLimit"], limits["ThrottlingBurstLimit"]) == (REQUESTS_PER_SECOND, BURST)
    fields = json.loads(stage.properties["AccessLogSettings"]["Format"]).values()
    assert all(field.startswith("$context.") for field in fields)


def test_a_stranger_a_thousand_times_a_second_costs_a_bounded_sum() -> None:
    """What the throttle lets through in a month, at list price: the API's requests, and 20 ms of 512 MB each."""
    prices = load("prices.toml")
    calls = REQUESTS_PER_SECOND * 86_400 * 30
    each = (prices["million"]["http_request"] + prices["million"]["lambda_request"]) / 1e6
    seconds = 0.02 * 512 / 1024 * prices["other"]["lambda_gigabyte_second"]
    logs = 1e-6 * prices["other"]["log_gigabyte"]  # a line of one kilobyte
    assert calls * (each + seconds + logs) < 60
