"""What the library answers without changing anything. A page says where the next one begins; manage_library.py asks who may."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar, assert_never

from signalbox.application.live_answers import LiveAnswers
from signalbox.library.catalogue import PagePlace, VersionRecord, VersionReference, VersionSummary
from signalbox.library.commands import (
    AnyLibraryQuestion,
    AskDeployment,
    AskDeployments,
    AskDifference,
    AskEntities,
    AskEntity,
    AskEvaluations,
    AskHistory,
    AskLineage,
    AskLiveDifference,
    AskMayChange,
    AskSearch,
    AskVersion,
    AskVersions,
)
from signalbox.library.deployments import ALL_SYMBOLS, Slot
from signalbox.library.documents import (
    DeploymentsDocument,
    EntitiesDocument,
    HistoryDocument,
    LineageDocument,
    LiveRecordDocument,
    VersionsDocument,
)
from signalbox.library.entries import EntityKey, EntityKind, VersionKey
from signalbox.library.paging import cursor_of, position_of
from signalbox.library.ports import DeploymentBook, EntityBook, RegistryReader, RequestBook
from signalbox.library.views import (
    compared_view,
    deployment_view,
    edge_view,
    entity_view,
    entry_view,
    evaluations_view,
    key_text,
    record_view,
    slot_view,
    steps_view,
    summary_view,
)

_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class LibraryQuestions:
    """Answers questions from the ledger."""

    registry: RegistryReader
    entities: EntityBook
    book: DeploymentBook
    requests: RequestBook
    live: LiveAnswers

    def answer(self, asked: AnyLibraryQuestion, at: datetime) -> Any:  # noqa: C901, PLR0911, PLR0912 - a question a line
        """Return the answer in JSON's types. Raises LibraryError, LedgerError."""
        match asked:
            case AskEntities():
                return self._entities(asked)
            case AskEntity():
                return entity_view(self.entities.entity(EntityKey(asked.kind, asked.name)))
            case AskVersions():
                return self._versions(asked)
            case AskSearch():
                place, limit = self._place(asked), asked.limit + 1
                return self._lines(asked, self.registry.search(asked.words, limit, place))
            case AskVersion():
                record = self.record(asked.version, asked.kind)
                return {**record_view(record), "live": self.live.of(record, at)}
            case AskEvaluations():
                return evaluations_view(self.record(asked.version, asked.kind))
            case AskLineage():
                return self.lineage(self.record(asked.version, asked.kind).version)
            case AskHistory():
                return self._history(asked, at)
            case AskDeployments():
                return self._deployments(asked)
            case AskDeployment():
                return steps_view(*self.book.deployment(asked.deployment))
            case AskLiveDifference():
                one, other = (self.record(text, EntityKind.MODEL) for text in (asked.version, asked.other))
                return self.live.compared(one, other, at)
            case AskMayChange():
                return {"may": True}  # manage_library.py asked for the role before
            case AskDifference():
                return compared_view(*(self.record(text, asked.kind) for text in (asked.version, asked.other)))
            case _:
                assert_never(asked)

    def record(self, text: str, kind: EntityKind) -> VersionRecord:
        """Return everything of a version. Raises UnknownVersionError."""
        return self.registry.record(VersionReference.parse(text), kind)

    def lineage(self, version: VersionKey) -> LineageDocument:
        """Return what a version was made from, and what was made from it."""
        return {"version": key_text(version), "lineage": [edge_view(one) for one in self.registry.lineage(version)]}

    def _entities(self, asked: AskEntities) -> EntitiesDocument:
        after = None if (found := self._position(asked)) is None else EntityKey(EntityKind(found[0]), found[1])
        rows = self.entities.entities(asked.kind, archived=asked.archived, limit=asked.limit + 1, after=after)
        shown, end = self._page(asked, rows, lambda one: (one.key.kind.value, one.key.name))
        return {"entities": [entity_view(one) for one in shown], "next": end}

    def _versions(self, asked: AskVersions) -> VersionsDocument:
        rows = self.registry.versions(asked.kind, asked.name, asked.tag, asked.limit + 1, self._place(asked))
        if not rows and asked.name is not None:
            self.entities.entity(
                EntityKey(asked.kind, asked.name)
            )  # none of what is not there is an error, and not an empty list
        return self._lines(asked, rows)

    def _lines(self, asked: AskVersions | AskSearch, rows: Sequence[VersionSummary]) -> VersionsDocument:
        def place(one: VersionSummary) -> tuple[Any, ...]:
            key = one.version
            return one.created_at.isoformat(), key.entity.kind.value, key.entity.name, key.number

        shown, end = self._page(asked, rows, place)
        return {"versions": [summary_view(one) for one in shown], "next": end}

    def _history(self, asked: AskHistory, at: datetime) -> HistoryDocument:
        version = None if asked.version is None else self.record(asked.version, asked.kind).version
        deployed = [] if version is not None else self.book.deployments(ALL_SYMBOLS, asked.limit)
        slot = self.book.slot(ALL_SYMBOLS)
        return {
            "history": [entry_view(one) for one in self.registry.history(version, asked.limit)],
            "slot": slot_view(slot),
            "deployments": [deployment_view(one) for one in deployed],
            "live": self._live_now(slot, at) if version is None else [],
        }

    def _live_now(self, slot: Slot, at: datetime) -> list[LiveRecordDocument]:
        """Return the live records of what decides now."""
        running = [one for one in (slot.current, *slot.challengers) if one is not None]
        names = {one.name for one in running}
        versions = dict.fromkeys(one.version for one in running)
        found = [one for version in versions for one in self.live.of(self.record(version.reference, EntityKind.MODEL), at)]
        return [one for one in found if one["deployment"] in names]

    def _deployments(self, asked: AskDeployments) -> DeploymentsDocument:
        before = None if (found := self._position(asked)) is None else int(found[0])
        rows = self.book.deployments(ALL_SYMBOLS, asked.limit, before)
        more = bool(rows) and rows[-1].ordinal > 1  # not by the count: a row that cannot be read is left out
        end = cursor_of((rows[-1].ordinal,), _question(asked), self.requests.page_key()) if more else None
        slot = slot_view(self.book.slot(ALL_SYMBOLS))
        return {"slot": slot, "deployments": [deployment_view(one) for one in rows], "next": end}

    def _place(self, asked: AskVersions | AskSearch) -> PagePlace | None:
        found = self._position(asked)
        if found is None:
            return None
        at, kind, name, number = found
        return PagePlace(datetime.fromisoformat(at), VersionKey(EntityKey(EntityKind(kind), name), number))

    def _position(self, asked: AskEntities | AskVersions | AskSearch | AskDeployments) -> tuple[Any, ...] | None:
        if asked.cursor is None:
            return None
        return position_of(asked.cursor, _question(asked), self.requests.page_key())

    def _page(
        self,
        asked: AskEntities | AskVersions | AskSearch,
        rows: Sequence[_Row],
        place: Callable[[_Row], tuple[Any, ...]],
    ) -> tuple[Sequence[_Row], str | None]:
        """Return what a page shows, and the next one's cursor. rows: one more than the page holds, if there is one."""
        shown = rows[: asked.limit]
        if len(rows) == len(shown):
            return shown, None
        return shown, cursor_of(place(shown[-1]), _question(asked), self.requests.page_key())


def _question(asked: AnyLibraryQuestion) -> dict[str, Any]:
    return asked.model_dump(mode="json", exclude={"cursor", "limit"})
