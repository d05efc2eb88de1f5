"""Domain events as they travel on the bus: frozen, past tense, each with an `event_id` made from what happened.

The id is a pure function of the facts, so a redelivered or re-published event carries the same id and every consumer
can ignore what it has seen. `to_detail` / `parse_event` are the only way in and out of JSON.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

from pydantic import AwareDatetime, Field, ValidationError
from typing_extensions import override

from signalbox.contracts import EVENT_SOURCE, EventType
from signalbox.errors import SignalboxError
from signalbox.frozen import FrozenModel
from signalbox.wire import checked, parse_object

SymbolName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Z0-9]{2,12}-[A-Z0-9]{2,12}$")]
Price: TypeAlias = Annotated[Decimal, Field(gt=0, allow_inf_nan=False)]
MAX_AHEAD: Final = timedelta(seconds=30)  # of an instant, before the clock of AWS that it came by: decision 0080
SEAL: Final = "seal"  # beside the facts in the detail of what is signed; signalbox.signing reads it
_BY_TYPE: Final[dict[str, type[BusEvent]]] = {}
_BESIDE_THE_FACTS: Final = frozenset({"event_id", SEAL})


def correlation_id_of(instant: datetime) -> str:
    """Return the id that logs, rows and alerts of a decision share: 2024-03-01T12:00:00+00:00."""
    return instant.astimezone(UTC).isoformat()


class BusEvent(FrozenModel, ABC):
    """What every event on the bus is. A subclass with a `type` is known to `parse_event` once its module is imported.

    Each package declares its own events (orders/messages.py, trading/events.py, library/events.py); those of the cycle are here.
    """

    type: ClassVar[EventType]
    absent_by_default: ClassVar[frozenset[str]] = frozenset()  # fields that consumers of the release before do not know

    @classmethod
    @override
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if "type" in cls.__dict__:
            if cls.type.value in _BY_TYPE:
                raise TypeError(f"{cls.type}: expected one class of this type, was {cls.__name__} too")
            _BY_TYPE[cls.type.value] = cls

    @property
    @abstractmethod
    def event_id(self) -> str:
        """The natural key of what happened."""

    @property
    def caused_at(self) -> datetime | None:
        """The instant of the decision that it goes back to: of a cycle, or of a person's command. None: of no decision."""
        instant: datetime | None = getattr(self, "cycle_at", None) or getattr(self, "decided_at", None)
        return instant

    @property
    def correlation_id(self) -> str | None:
        """`caused_at` in UTC as text: one id from the schedule to the alert (docs/tracing.md)."""
        return None if self.caused_at is None else correlation_id_of(self.caused_at)

    def to_detail(self) -> dict[str, Any]:
        """Return the JSON-ready `detail`, event_id included."""
        fields = type(self).model_fields
        unsaid = {name for name in self.absent_by_default if getattr(self, name) == fields[name].default}
        return {**self.model_dump(mode="json", exclude=unsaid or None), "event_id": self.event_id}


class CollectionProblem(StrEnum):
    """Why a symbol came without (all of) its bars."""

    VENUE_TIMEOUT = "VENUE_TIMEOUT"
    VENUE_RATE_LIMITED = "VENUE_RATE_LIMITED"
    VENUE_UNAVAILABLE = "VENUE_UNAVAILABLE"
    VENUE_REFUSED = "VENUE_REFUSED"
    ANSWER_MALFORMED = "ANSWER_MALFORMED"
    NO_CANDLES = "NO_CANDLES"
    CANDLES_REFUSED = "CANDLES_REFUSED"


class CandleRow(FrozenModel):
    """One closed bar on the wire; decimal text, so that nothing is rounded on the way."""

    t: AwareDatetime  # open_time
    o: Price
    h: Price
    l: Price  # noqa: E741 - the field's usual short name
    c: Price
    v: Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]


class SymbolCandles(FrozenModel):
    """What one collection run brought for one symbol, oldest first, and what went wrong if anything did."""

    symbol: SymbolName
    candles: tuple[CandleRow, ...]
    problem: CollectionProblem | None = None
    refused: int = 0  # rows of the venue's answer that were not usable


class CandlesClosed(BusEvent):
    """One part of what collect_candles brought for a cycle. The cycle is decided when all its parts are recorded.

    waited_seconds: how long after the cycle's instant its bars were complete, because the venue published some of them late.
    """

    type: ClassVar[EventType] = EventType.CANDLES_CLOSED
    absent_by_default: ClassVar[frozenset[str]] = frozenset({"waited_seconds"})
    venue: str
    cycle_at: AwareDatetime
    part: Annotated[int, Field(ge=1)]
    parts: Annotated[int, Field(ge=1)]
    symbols: tuple[SymbolCandles, ...]
    waited_seconds: Annotated[int, Field(ge=0, le=300)] = 0

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.venue}:{self.cycle_at.isoformat()}:{self.part}/{self.parts}"


class SignalGenerated(BusEvent):
    """One decision for one symbol.

    `issued` is false for HOLD and for what the rate limit held back; `late` when a newer cycle was decided before it.
    known_at: when its bars were complete, if that was later than `decided_at`; nobody could have acted on it before.
    """

    type: ClassVar[EventType] = EventType.SIGNAL_GENERATED
    absent_by_default: ClassVar[frozenset[str]] = frozenset({"known_at"})
    symbol: SymbolName
    decided_at: AwareDatetime
    deployment: str
    stage: Literal["shadow", "active"]
    direction: Literal["BUY", "SELL", "HOLD"]
    tier: Literal["HIGH", "MEDIUM", "LOW"]
    issued: bool
    held_back: str | None = None  # why, for a signal over the rate limit
    late: bool
    probability_up: float
    confidence: float
    price: Price
    horizon_minutes: int
    schema_name: str
    schema_hash: str
    known_at: AwareDatetime | None = None

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.symbol}:{self.decided_at.isoformat()}:{self.deployment}"


class CycleDecided(BusEvent):
    """A cycle was decided: its candles and signals are in the ledger. The last event of its transaction."""

    type: ClassVar[EventType] = EventType.CYCLE_DECIDED
    venue: str
    cycle_at: AwareDatetime
    symbols: tuple[SymbolName, ...]  # that were collected for it, decided or refused
    late: bool  # a newer cycle was decided before it

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.venue}:{self.cycle_at.isoformat()}"


class MarketDataStale(BusEvent):
    """A symbol stopped being decidable at this cycle; the next cycles are refused too until it recovers."""

    type: ClassVar[EventType] = EventType.MARKET_DATA_STALE
    symbol: SymbolName
    since: AwareDatetime
    reason: str
    newest_close: AwareDatetime | None

    @property
    @override
    def caused_at(self) -> datetime:
        return self.since

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.symbol}:{self.since.isoformat()}"


class MarketDataRecovered(BusEvent):
    """A symbol is decidable again."""

    type: ClassVar[EventType] = EventType.MARKET_DATA_RECOVERED
    symbol: SymbolName
    at: AwareDatetime
    stale_since: AwareDatetime

    @property
    @override
    def caused_at(self) -> datetime:
        return self.at

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.symbol}:{self.at.isoformat()}"


class ModelRefused(BusEvent):
    """A bundle was not loaded. The one before it, if any, stays in use."""

    type: ClassVar[EventType] = EventType.MODEL_REFUSED
    deployment: str
    cycle_at: AwareDatetime
    reason: str
    kept: str | None

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.deployment}"  # once per deployment, however many cycles meet it


class AlertUndeliverable(BusEvent):
    """An alert the messenger will never accept (a blocked bot, an unknown chat); the text is kept."""

    type: ClassVar[EventType] = EventType.ALERT_UNDELIVERABLE
    alert_id: str
    chat_id: str
    reason: str
    text: str

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.alert_id}:{self.chat_id}"


Event: TypeAlias = BusEvent


class UnreadableEventError(SignalboxError, ValueError):
    """A message that is no event of ours: it will not be one the next time."""


class InstantAheadError(SignalboxError, ValueError):
    """What is said to happen later than it was sent. Time never runs back, so it would end every deadline up to there."""


def require_not_ahead(what: str, instant: datetime, clock: datetime) -> None:
    """Refuse an instant more than MAX_AHEAD after the clock it came by; the past may be as old as it likes.

    clock: of AWS, never of who sent it: the queue's SentTimestamp, or the function's own. Raises InstantAheadError.
    """
    if instant > clock + MAX_AHEAD:
        raise InstantAheadError(f"{what}: expected at most {MAX_AHEAD} after {clock.isoformat()}, was {instant.isoformat()}")


class ScheduledJob(FrozenModel):
    """The input of every schedule (cdk/constructs/schedule.py): the job, and the instant that is its clock. Not on the bus."""

    job: str
    scheduled_at: AwareDatetime

    @classmethod
    def read(cls, event: Mapping[str, object], now: datetime) -> ScheduledJob:
        """Return the job of an invocation at `now`, the function's own clock.

        Whoever may invoke the function names the instant, and what is done for one of the future is not done again when it
        comes. Raises InstantAheadError, pydantic.ValidationError: they fail the call, which alarms.
        """
        found = cls.model_validate(event)
        require_not_ahead("scheduled_at", found.scheduled_at, now)
        return found


def parse_event(detail_type: object, detail: object) -> Event:
    """Return the event of a bus message, whose parts may be anything. Raises UnreadableEventError, and nothing else."""
    kind = _BY_TYPE.get(detail_type) if isinstance(detail_type, str) else None
    if kind is None or not isinstance(detail, dict):
        what = f"{type(detail).__name__} of type {str(detail_type)[:60]!r}"
        raise UnreadableEventError(f"expected the object of a known event, was {what}")
    facts = {key: value for key, value in checked(detail).items() if key not in _BESIDE_THE_FACTS}
    try:
        event = kind.model_validate(facts)
        event.to_detail()  # what cannot be written again, or has no natural key, is no event either
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False)[:5])
        raise UnreadableEventError(f"expected a {kind.type}, was wrong at {wrong[:500]}") from None
    except Exception as error:  # pure code over strange facts: an instant that overflows in UTC, a name that hashes to nothing
        raise UnreadableEventError(f"expected a {kind.type}, was {type(error).__name__}: {str(error)[:200]}") from error
    return event


def read_event(text: str) -> Event:
    """Return the event that a rule of the bus put into a queue. Raises UnreadableEventError or WireError, both ValueErrors.

    It has to be of our source: a rule asks for it, and so does whoever reads what something else than a rule may have put there.
    """
    envelope = parse_object(text)
    if (source := envelope.get("source")) != EVENT_SOURCE:
        raise UnreadableEventError(f"expected an event of {EVENT_SOURCE}, was of {str(source)[:60]!r}")
    return parse_event(envelope.get("detail-type"), envelope.get("detail"))
