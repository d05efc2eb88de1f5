"""`signalbox library`: a person's requests to the library API of a stage, signed with their own AWS identity.

The gateway verifies the signature, so the name in the record is the caller's real identity, as with `signalbox accounts`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from local.cli.accounts.command import AccountsError, OrdersApi, session_of, show
from local.cli.rows import print_rows
from local.cli.stage_outputs import required_outputs
from local.errors import DataError
from local.settings import Settings
from signalbox.contracts import StackOutput, upload_key
from signalbox.inference.archive import pack_bundle
from signalbox.library.routes import addressed
from signalbox.limits import MAX_BUNDLE_BYTES
from signalbox.wire import in_one_line

_SHOWN: Final = 60  # characters of a compared value
_LISTED: Final = ("version", "semantic", "lifecycle", "overridden", "deployed", "tags", "created_at", "reason")


@dataclass(frozen=True, slots=True)
class LibraryClient:
    """The library API of a stage, and the bucket that uploads go to."""

    api: OrdersApi
    bucket: str

    def ask(self, verb: str, facts: Mapping[str, Any]) -> Any:
        """Return the library's answer. Raises AccountsError with what it says is wrong."""
        request = addressed(verb, facts)
        return self.api.call(request.method, request.path, request.body, headers=request.headers)

    def upload(self, archive: bytes) -> str:
        """Put a bundle where the library looks for it, and return its sha256. Raises AccountsError."""
        sha256 = hashlib.sha256(archive).hexdigest()
        key = upload_key(sha256)
        try:
            client = self.api.session.client("s3", endpoint_url=self.api.via)
            client.put_object(Bucket=self.bucket, Key=key, Body=archive, ContentType="application/zip")
        except (BotoCoreError, ClientError) as error:
            raise AccountsError(f"the bundle could not be uploaded to s3://{self.bucket}/{key}: {error}") from error
        return sha256


def library_client(stage: str, settings: Settings) -> LibraryClient:
    """Return the library of a deployed stage, or of the running local cloud. Raises AccountsError."""
    session, via = session_of(stage, settings)
    url, bucket = required_outputs(session, stage, (StackOutput.LIBRARY_API_URL, StackOutput.MODELS_BUCKET), endpoint=via)
    return LibraryClient(OrdersApi(url.rstrip("/"), session, session.region_name, via), bucket)


def packed(folder: Path) -> bytes:
    """Return the archive of a bundle folder. Raises DataError, BundleError."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give the folder of a bundle, as `signalbox train --out` writes it")
    if sum(path.stat().st_size for path in folder.iterdir() if path.is_file()) > MAX_BUNDLE_BYTES:
        raise DataError(f"{folder}: expected a bundle of at most {MAX_BUNDLE_BYTES} bytes")
    return pack_bundle(folder)


def print_answer(verb: str, found: Mapping[str, Any], *, as_json: bool) -> None:
    """Print an answer: JSON, or tables and lines for people."""
    if as_json:
        show(found, lambda _: "", as_json=True)
    elif verb in {"list", "search"}:
        print_rows("versions", [_listed(one) for one in found["versions"]], {}, as_json=False)
        if found["next"] is not None:
            print(f"there are more than these {len(found['versions'])}: raise --limit, or ask for less")
    elif verb == "history":
        _print_history(found)
    elif verb == "lineage":
        rows = [{"depth": one["depth"], "version": one["version"], "made from": one["needs"]} for one in found["lineage"]]
        print_rows("lineage", rows, {"version": found["version"]}, as_json=False)
    elif verb == "compare-live":
        show(found, _live_comparison_text, as_json=False)
    elif verb == "compare":
        one, other = found["versions"]
        rows = [
            {"what": row["what"], one: _value(row["values"][0]), other: _value(row["values"][1])} for row in found["differences"]
        ]
        print_rows("differences", rows, {"versions": f"{one} and {other}"}, as_json=False)
    elif "deployment" in found:
        show(found, _deployment_text, as_json=False)
    else:
        show(found, _version_text, as_json=False)


def _listed(one: Mapping[str, Any]) -> dict[str, Any]:
    row = {key: one[key] for key in _LISTED}
    row["overridden"] = "override" if one["overridden"] else None
    row["lifecycle"] = one["lifecycle"] or one["made"]
    row["tags"] = ", ".join(one["tags"]) or None
    row["created_at"] = one["created_at"][:19]
    row["reason"] = None if one["reason"] is None else in_one_line(one["reason"])[:_SHOWN]
    return row


def _print_history(found: Mapping[str, Any]) -> None:
    slot = found["slot"]
    for name in ("current", "incoming"):
        if slot[name] is not None:
            print(f"{name}: {_on_one_line(slot[name])}")
    for one in slot["challengers"]:
        print(f"beside: {_on_one_line(one)}")
    for record in found["live"]:
        print(in_one_line(_record_text(record)))
    if slot["current"] is None and slot["incoming"] is None:
        print("nothing is deployed")
    deployments = [
        {
            "number": one["ordinal"],
            "deployment": one["deployment"],
            "as": "beside" if one["challenger"] else one["stage"],
            "state": one["state"],
            "override": "override" if one["overridden"] else None,
            "changed_at": one["changed_at"][:19],
            "reason": None if one["reason"] is None else in_one_line(one["reason"]),
        }
        for one in found["deployments"]
    ]
    if deployments:
        print_rows("deployments", deployments, {}, as_json=False)
    rows = [
        {"at": one["at"][:19], "what": one["what"], "state": one["state"], "who": one["who"], "why": in_one_line(one["why"])}
        for one in found["history"]
    ]
    print_rows("changes", rows, {}, as_json=False)


def _on_one_line(one: Mapping[str, Any]) -> str:
    mark = " BY OVERRIDE" if one["overridden"] else ""
    return in_one_line(
        f"{one['deployment']} ({one['version']}, {one['semantic']}) as {one['stage']}{mark}: {one['state']}"
        f" since {one['changed_at'][:19]}, by {one['who']}: {one['why']}"
    )


def _deployment_text(one: Mapping[str, Any]) -> str:
    lines = [f"deployment {one['ordinal']}: {_on_one_line(one)}"]
    if one["reason"]:
        lines.append(f"  {one['reason']}")
    if one["state"] == "pending":
        lines.append("  the next cycle verifies it and decides with it; `signalbox library history` shows what became of it")
    return "\n".join(lines)


def _version_text(one: Mapping[str, Any]) -> str:
    lines = [f"{one['version']}  {one['semantic'] or ''}  {one['lifecycle'] or one['made']}  {', '.join(one['tags'])}".rstrip()]
    if one["overridden"]:
        lines.append("  APPROVED BY OVERRIDE: its gates did not pass")
    lines += [f"  {name} {one[name]}" for name in ("description", "reason", "origin", "sha256") if one[name]]
    for judged in one["evaluations"]:
        gates = "  ".join(f"{gate} {verdict}" for gate, verdict in judged["gates"].items())
        lines += [f"  {judged['source']} of {judged['evaluated_at'][:19]}: {judged['headline']}", f"    {gates}"]
    lines += [f"  {step['at'][:19]} {step['state']} by {step['who']}: {step['why']}" for step in one["decisions"]]
    lines += [f"  live: {_record_text(record)}" for record in one.get("live", ())]
    if one["lifecycle"] == "candidate":
        lines.append(_lacks(one["shortfalls"]))
    return "\n".join(lines)


def _record_text(one: Mapping[str, Any]) -> str:
    parts = [f"{one['deployment']}: {one['settled']} of {one['decisions']} decisions settled on {one['days']} days"]
    parts.append(f"{one['signals']} signals")
    if one["precision"] is not None:
        parts.append(f"precision {_figure(one['precision'], '.3f')}")
    if one["calibration_error"] is not None:
        parts.append(f"calibration error {one['calibration_error']:.3f}")
    if one["net_bps"] is not None:
        parts.append(f"{_figure(one['net_bps'], '+.2f')} bps a signal after costs of {one['costs_bps']:g}")
    return ", ".join(parts)


def _live_comparison_text(found: Mapping[str, Any]) -> str:
    (one, other), live = found["versions"], found["live"]
    lines = [f"{one} and {other}: {live['pairs']} decisions of both settled on {live['days']} days since {found['since'][:10]}"]
    if live["squared_error"] is not None:
        lines.append(f"  squared error of {one} less that of {other}: {_figure(live['squared_error'], '+.5f')}")
    if live["net_bps"] is not None:
        lines.append(f"  earned a decision after costs, {one} less {other}: {_figure(live['net_bps'], '+.3f')} bps")
    for name, value in ((one, live["for_first"]), (other, live["for_second"])):
        lines.append(f"  evidence that {name} is the better one: e-value {value:.3g} of {live['bets']} bets; 20 or more counts")
    return "\n".join(lines)


def _figure(one: Mapping[str, Any], form: str) -> str:
    if one["low"] is None:
        return f"{one['value']:{form}} (no interval: fewer than 5 days)"
    return f"{one['value']:{form}} ({one['low']:{form}} to {one['high']:{form}})"


def _lacks(shortfalls: Sequence[str]) -> str:
    return "  its gates approve it" if not shortfalls else f"  an approval lacks: {'; '.join(shortfalls)}"


def _value(value: Any) -> str:
    return in_one_line(str(value))[:_SHOWN]
