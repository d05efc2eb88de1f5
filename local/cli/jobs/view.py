"""Shows jobs to the operator: their facts as JSON for --json, and as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from signalbox.adapters.aws.training_jobs import JobSummary
from signalbox.contracts import PRODUCT
from signalbox.library.parameters import TOOL_PREFIX
from signalbox.library.training_jobs import CODE_CHANNEL


def listed_job(job: JobSummary, stage: str) -> dict[str, Any]:
    """Return one job of a list as a JSON-ready object."""
    return {
        "job": job.name,
        "purpose": _purpose(job.name, stage),
        "status": job.status,
        "created_at": _instant(job.created_at),
        "minutes": None if job.ended_at is None else round((job.ended_at - job.created_at).total_seconds() / 60, 1),
    }


def show_jobs(jobs: Sequence[JobSummary], stage: str) -> None:
    """Print a table of jobs, or that there are none."""
    if not jobs:
        print(f"no jobs of stage {stage}; jobs of a pipeline are listed only in SageMaker")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("job", no_wrap=True)  # other commands take this name
    for name in ("purpose", "status", "created", "minutes"):
        table.add_column(name)
    for one in jobs:
        facts = listed_job(one, stage)
        minutes = "" if facts["minutes"] is None else f"{facts['minutes']:.1f}"
        table.add_row(one.name, facts["purpose"], one.status, f"{one.created_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC", minutes)
    Console().print(table)


def job_facts(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a job's description that differ from job to job."""
    parameters = {key: value for key, value in described.get("HyperParameters", {}).items() if not key.startswith(TOOL_PREFIX)}
    channels = {one["ChannelName"]: one["DataSource"]["S3DataSource"]["S3Uri"] for one in described.get("InputDataConfig", ())}
    output = described.get("OutputDataConfig", {}).get("S3OutputPath")
    ended = described.get("TrainingEndTime")
    return {
        "job": described["TrainingJobName"],
        "status": described["TrainingJobStatus"],
        "step": described.get("SecondaryStatus"),
        "reason": described.get("FailureReason"),
        "created_at": _instant(described["CreationTime"]),
        "ended_at": None if ended is None else _instant(ended),
        "billed_seconds": described.get("BillableTimeInSeconds"),
        "parameters": parameters,
        "inputs": {name: uri for name, uri in channels.items() if name != CODE_CHANNEL},
        "output": None if output is None else f"{output}/{described['TrainingJobName']}/output/",
        "figures": {one["MetricName"]: one["Value"] for one in described.get("FinalMetricDataList", ())},
    }


def show_job(facts: Mapping[str, Any]) -> None:
    """Print what is known of a job, one fact per line."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in facts.items():
        if isinstance(value, Mapping):
            for key, one in value.items():
                table.add_row(f"{name} {key}", f"{one:g}" if isinstance(one, float) else str(one))
        elif value is not None:
            table.add_row(name, str(value))
    Console().print(table)


def _purpose(name: str, stage: str) -> str:
    return name.removeprefix(f"{PRODUCT}-{stage}-").partition("-")[0]


def _instant(value: datetime) -> str:
    return value.astimezone(UTC).isoformat()
