"""Deployments and bundles in memory, keeping the promises of `library.ports` that serving relies on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime

from signalbox.library.deployments import (
    ALL_SYMBOLS,
    DECIDER,
    RUNNING,
    DeploymentState,
    LibraryDeployment,
    SignalCount,
    Slot,
    deployment_name,
    ended,
    is_challenger,
    missed,
    moved,
    require_room,
    taken_over,
)
from signalbox.library.entries import EntityKey, EntityKind, VersionKey
from signalbox.library.errors import (
    BundleMissingError,
    DeploymentConflictError,
    DeploymentRefusedError,
    DeploymentStateError,
    UnknownVersionError,
)
from signalbox.signals.signal import DeploymentStage

AT = datetime(2026, 11, 28, 12, tzinfo=UTC)


@dataclass
class MemoryBundles:
    """Archives by key; `fault` is raised instead of answering."""

    objects: dict[str, bytes] = field(default_factory=dict)
    fault: Exception | None = None
    fetched: list[str] = field(default_factory=list)

    def archive(self, key: str, sha256: str) -> bytes:
        self.fetched.append(key)
        if self.fault is not None:
            raise self.fault
        if key not in self.objects:
            raise BundleMissingError(f"no bundle at {key}")
        content = self.objects[key]
        if (found := hashlib.sha256(content).hexdigest()) != sha256:
            raise BundleMissingError(f"{key}: expected sha256 {sha256}, got {found}")
        return content


@dataclass
class MemoryDeployments:
    """One slot, of versions that are neither rejected nor retired. `counts` is what `count` answers.

    tests/integration/test_slot_book_contract.py holds it to what PostgreSQL does.
    """

    group: str = ALL_SYMBOLS
    rows: dict[str, LibraryDeployment] = field(default_factory=dict)
    counts: dict[str, SignalCount] = field(default_factory=dict)
    seen: set[tuple[str, datetime]] = field(default_factory=set)
    fault: Exception | None = None
    rolled_back: dict[str, str] = field(default_factory=dict)  # deployment by request

    def slot(self, group: str) -> Slot:
        if self.fault is not None:
            raise self.fault
        assert group == self.group
        lead = [one for one in self.rows.values() if not one.challenger]
        current = [one for one in lead if one.state is DeploymentState.HEALTHY]
        incoming = [one for one in lead if one.is_incoming]
        beside = tuple(one for one in self.rows.values() if one.challenger and one.state in RUNNING)
        return Slot(current[-1] if current else None, incoming[-1] if incoming else None, beside)

    def deploy(
        self, model: str, archive: bytes, bundles: MemoryBundles, *, stage: DeploymentStage = DeploymentStage.SHADOW,
        overridden: bool = False, rate: float | None = None, beside: bool = False,
    ) -> LibraryDeployment:  # fmt: skip
        """Put a bundle into the store and ask for its deployment."""
        sha256 = hashlib.sha256(archive).hexdigest()
        key = f"bundles/{model}/{sha256}.zip"
        bundles.objects[key] = archive
        version = VersionKey(EntityKey(EntityKind.MODEL, model), len(self.rows) + 1)
        return self.ask(version, stage, key, sha256, overridden=overridden, rate=rate, beside=beside)

    def ask(
        self, version: VersionKey, stage: DeploymentStage, key: str = "", sha256: str = "", *, at: datetime = AT,
        overridden: bool = False, rate: float | None = None, restores: str | None = None,
        beside: bool = False, most: int = 3,
    ) -> LibraryDeployment:  # fmt: skip
        """Ask for a deployment of a version."""
        slot = self.slot(self.group)
        challenger = restores is None and is_challenger(slot, stage, beside=beside)
        if challenger:
            require_room(slot, version, most)
        elif slot.incoming is not None:
            raise DeploymentConflictError("one is on its way")
        before = sum(one.version == version for one in self.rows.values())
        one = LibraryDeployment(
            deployment_name(version, before), version, "1.0.0", self.group, len(self.rows) + 1, stage, DeploymentState.PENDING,
            at, at, "anna", "try", key, sha256, overridden, rate, restores=restores,
            challenger=challenger,
        )  # fmt: skip
        self.rows[one.name] = one
        return one

    def move(self, name: str, to: DeploymentState, at: datetime, who: str, why: str) -> LibraryDeployment:
        assert who
        one = self._named(name)
        if one.state is not to:
            self.rows[name] = moved(one, to, at, why if to is DeploymentState.FAILED else None)
        return self.rows[name]

    def confirm(self, name: str, at: datetime, why: str) -> LibraryDeployment:
        assert why
        if self._named(name).state is DeploymentState.HEALTHY:
            return self.rows[name]
        slot, confirmed = self.slot(self.group), moved(self.rows[name], DeploymentState.HEALTHY, at)
        before = None if confirmed.challenger else slot.current
        for rival in () if confirmed.challenger else slot.challengers:
            if rival.version == confirmed.version:
                self.rows[rival.name] = taken_over(rival, confirmed, at)
        if before is not None:
            ends = DeploymentState.SUPERSEDED if confirmed.restores is None else DeploymentState.ROLLED_BACK
            self.rows[before.name] = moved(before, ends, at)
        self.rows[name] = confirmed
        return confirmed

    def miss(self, name: str, cycle_at: datetime, why: str) -> LibraryDeployment:
        if (name, cycle_at) not in self.seen and self._named(name).is_incoming:
            self.seen.add((name, cycle_at))
            self.rows[name] = missed(self.rows[name], cycle_at, why)
        return self.rows[name]

    def end(self, name: str, at: datetime, who: str, why: str) -> LibraryDeployment:
        assert who
        one = self._named(name)
        if not one.challenger:
            raise DeploymentStateError(f"{name} is no challenger")
        if one.state in RUNNING:
            self.rows[name] = ended(one, at, why)
        return self.rows[name]

    def withdraw(
        self, version: VersionKey, group: str, *, at: datetime, who: str, why: str, request_id: str
    ) -> LibraryDeployment:
        assert group == self.group
        assert request_id
        own = [one for one in self.rows.values() if one.challenger and one.version == version and one.state in RUNNING]
        if not own:
            raise DeploymentRefusedError("it decides beside nothing")
        return self.end(own[-1].name, at, who, f"withdrawn: {why}")

    def fall_back(self, name: str, at: datetime, who: str, why: str) -> LibraryDeployment | None:
        assert who
        assert why
        one, slot = self._named(name), self.slot(self.group)
        if slot.incoming is not None or slot.current is None or slot.current.name != name:
            return None
        target = self._target(one, None)
        return self.ask(
            target.version, target.stage, target.bundle_key, target.sha256, at=at, overridden=target.overridden,
            rate=target.evaluated_rate, restores=target.name,
        )  # fmt: skip

    def count(self, name: str, since: datetime, until: datetime) -> SignalCount:
        assert since < until
        return self.counts.get(name, SignalCount(0, 0))

    def roll_back(self, group: str, *, to: int | None, at: datetime, who: str, why: str, request_id: str) -> LibraryDeployment:
        assert group == self.group
        assert who
        if request_id in self.rolled_back:
            return self.rows[self.rolled_back[request_id]]
        slot = self.slot(group)
        if slot.incoming is not None and who == DECIDER:
            return slot.incoming
        current, withdrawn = slot.current, None
        if slot.incoming is not None:
            withdrawn = moved(slot.incoming, DeploymentState.FAILED, at, f"withdrawn: {why}")
            if to is None or (current is not None and to == current.ordinal):
                self.rows[withdrawn.name] = withdrawn
                return current or withdrawn
        one = self._target(current, to)  # a refusal leaves what is on its way, as a transaction does
        if withdrawn is not None:
            self.rows[withdrawn.name] = withdrawn
        back = self.ask(
            one.version, one.stage, one.bundle_key, one.sha256, at=at, overridden=one.overridden, rate=one.evaluated_rate,
            restores=one.name,
        )  # fmt: skip
        self.rolled_back[request_id] = back.name
        return back

    def _target(self, current: LibraryDeployment | None, to: int | None) -> LibraryDeployment:
        if to is not None:
            found = next((one for one in self.rows.values() if one.ordinal == to), None)
            if found is None:
                raise UnknownVersionError(f"no deployment {to}")
            if found.state not in {DeploymentState.SUPERSEDED, DeploymentState.ROLLED_BACK}:
                raise DeploymentRefusedError(f"{found.name} did not serve earlier")
            if found.challenger:
                raise DeploymentRefusedError(f"{found.name} was a challenger")
            return found
        unusable = {
            one.restores
            for one in self.rows.values()
            if one.state is DeploymentState.FAILED and not (one.reason or "").startswith("withdrawn")
        }
        earlier = [
            one
            for one in self.rows.values()
            if one.state is DeploymentState.SUPERSEDED
            and not one.challenger
            and one.name not in unusable
            and (current is None or (one.ordinal < current.ordinal and one.version != current.version))
        ]
        if not earlier:
            raise DeploymentRefusedError("there is no earlier healthy deployment of another version to go back to")
        return max(earlier, key=lambda one: one.ordinal)

    def _named(self, name: str) -> LibraryDeployment:
        if name not in self.rows:
            raise UnknownVersionError(f"no deployment {name}")
        return self.rows[name]
