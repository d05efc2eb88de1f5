"""A deployed function with another environment: the release that its alias points to, as every schedule and queue invokes it."""

from __future__ import annotations

from local.cloud.local_cloud import LocalCloud
from local.settings import STAGE
from signalbox.contracts import LIVE_ALIAS, Env, Function, function_name


def change_environment(cloud: LocalCloud, function: Function, key: Env, value: str) -> None:
    """Set a variable of a function, publish it as a version, and point the alias to it."""
    client, name = cloud.emulator.client("lambda"), function_name(STAGE, function)
    variables = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    client.update_function_configuration(FunctionName=name, Environment={"Variables": variables | {key.value: value}})
    version = client.publish_version(FunctionName=name)["Version"]
    client.update_alias(FunctionName=name, Name=LIVE_ALIAS, FunctionVersion=version)
