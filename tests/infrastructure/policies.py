"""What the roles of an assembly may do: their statements, resolved across stacks, and evaluated with their conditions.

The subset of IAM that the templates use, as AWS documents it; what is not of it raises, so that a new condition is not passed
over. A key's values in a request are a tuple: an absent key is an empty one, or is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from tests.infrastructure.assembly import Assembly, Resource

Context = Mapping[str, Sequence[str]]
SET_OPERATORS: Final = ("ForAllValues:", "ForAnyValue:")


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@dataclass(frozen=True)
class Statement:
    """One statement; resources are `stack/logical-id` where they are of the templates, else text."""

    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    condition: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    principal: Any = None

    def concerns(self, action: str, resource: str, context: Context) -> bool:
        return (
            any(fnmatchcase(action.lower(), pattern.lower()) for pattern in self.actions)
            and any(fnmatchcase(resource, pattern) for pattern in self.resources)
            and all(_holds(operator, keys, context) for operator, keys in self.condition.items())
        )


def allows(statements: Sequence[Statement], action: str, resource: str, context: Context | None = None) -> bool:
    """Whether a request is allowed and not denied."""
    effects = {s.effect for s in statements if s.concerns(action, resource, context or {})}
    assert effects <= {"Allow", "Deny"}
    return "Allow" in effects and "Deny" not in effects


def _holds(operator: str, keys: Mapping[str, Any], context: Context) -> bool:
    return all(_key_holds(operator, listed(expected), tuple(context.get(key, ()))) for key, expected in keys.items())


def _key_holds(operator: str, expected: list[Any], values: tuple[str, ...]) -> bool:
    if operator == "Null":
        (absent,) = expected
        return (not values) == (str(absent).lower() == "true")
    prefix = next((p for p in SET_OPERATORS if operator.startswith(p)), "")
    compare: Callable[[str], bool] = {
        "StringEquals": lambda value: value in expected,
        "StringLike": lambda value: any(fnmatchcase(value, pattern) for pattern in expected),
    }[operator.removeprefix(prefix)]
    if prefix == "ForAllValues:":
        return all(compare(value) for value in values)  # true of an absent key
    if prefix == "ForAnyValue:":
        return any(compare(value) for value in values)
    assert len(values) < 2, f"{operator} of a key with several values: use a set operator"
    return bool(values) and compare(values[0])


class Policies:
    """The statements of every role of an assembly."""

    def __init__(self, assembly: Assembly) -> None:
        self._assembly = assembly
        self._exports: dict[str, str] = {}
        for stack, template in assembly.templates().items():
            for output in template.get("Outputs", {}).values():
                if "Export" in output:
                    self._exports[output["Export"]["Name"]] = self._resolved(stack, output["Value"])

    def roles(self) -> list[Resource]:
        return self._assembly.resources("AWS::IAM::Role")

    def of_role(self, stack: str, logical_id: str) -> list[Statement]:
        """The statements of the policies attached to a role of a stack."""
        found: list[Statement] = []
        for policy in self._assembly.resources("AWS::IAM::Policy"):
            if policy.stack == stack and {"Ref": logical_id} in policy.properties["Roles"]:
                found += self.of_document(stack, policy.properties["PolicyDocument"])
        for role in self.roles():
            if (role.stack, role.logical_id) == (stack, logical_id):
                for inline in role.properties.get("Policies", ()):
                    found += self.of_document(stack, inline["PolicyDocument"])
        return found

    def of_document(self, stack: str, document: Mapping[str, Any]) -> Iterator[Statement]:
        for s in document["Statement"]:
            assert "NotAction" not in s
            assert "NotResource" not in s
            yield Statement(
                s["Effect"],
                tuple(listed(s["Action"])),
                tuple(self._resolved(stack, one) for one in listed(s.get("Resource", []))),
                s.get("Condition", {}),
                s.get("Principal"),
            )

    def _resolved(self, stack: str, value: Any) -> str:
        match value:
            case str():
                return value
            case {"Fn::GetAtt": [logical_id, "Arn"]} | {"Ref": logical_id}:
                return f"{stack}/{logical_id}"
            case {"Fn::ImportValue": name}:
                return str(self._exports[name])
            case {"Fn::Join": [joint, parts]}:
                return str(joint.join(self._resolved(stack, part) for part in parts))
            case _:
                return str(value)
