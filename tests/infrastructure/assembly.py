"""A cloud assembly as the tests read it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import override


@dataclass(frozen=True)
class Resource:
    stack: str  # the concern: network, data, …
    logical_id: str
    type: str
    body: dict[str, Any]

    @property
    def properties(self) -> dict[str, Any]:
        found: dict[str, Any] = self.body.get("Properties", {})
        return found

    @override
    def __str__(self) -> str:
        return f"{self.stack}/{self.logical_id}"


@dataclass(frozen=True)
class Assembly:
    """The cloud assembly of one stage."""

    stage: str
    folder: Path

    @property
    def manifest(self) -> dict[str, Any]:
        artifacts: dict[str, Any] = json.loads((self.folder / "manifest.json").read_text())["artifacts"]
        return {key: value for key, value in artifacts.items() if value["type"] == "aws:cloudformation:stack"}

    def templates(self) -> dict[str, dict[str, Any]]:
        prefix = f"signalbox-{self.stage}-"
        return {
            path.name.removeprefix(prefix).removesuffix(".template.json"): json.loads(path.read_text())
            for path in sorted(self.folder.glob("*.template.json"))
        }

    def resources(self, *types: str) -> list[Resource]:
        return [
            Resource(stack, logical_id, body["Type"], body)
            for stack, template in self.templates().items()
            for logical_id, body in template["Resources"].items()
            if not types or body["Type"] in types
        ]

    def function(self, name: str) -> Resource:
        (found,) = (r for r in self.functions() if r.properties["FunctionName"].endswith(f"-{name}"))
        return found

    def functions(self) -> list[Resource]:
        """Ours: the CDK's own, which empties buckets, has no name."""
        return [r for r in self.resources("AWS::Lambda::Function") if "FunctionName" in r.properties]

    def outputs(self) -> dict[str, Any]:
        return {key: value for t in self.templates().values() for key, value in t.get("Outputs", {}).items()}


def is_dead_letter_queue(queue: Resource) -> bool:
    return any(name in queue.logical_id for name in ("DeadLetters", "LostRuns", "UndeliveredEvents"))
