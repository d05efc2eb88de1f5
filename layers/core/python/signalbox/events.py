"""Domain events as they travel on the bus: frozen, in the past tense, each with an `event_id` derived from its facts.

The id is a pure function of the facts, so an event that is delivered or published again carries the same id and every consumer
can ignore it. `to_detail` and `parse_event` are the only ways in and out of JSON.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

from pydantic import AwareDatetime, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer
from typing_extensions import override

from signalbox.contracts import EVENT_SOURCE, EventType
from signalbox.errors import SignalboxError
from signalbox.frozen import FrozenModel
from signalbox.wire import checked, parse_object

SymbolName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Z0-9]{2,12}-[A-Z0-9]{2,12}$")]
MarketName: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9]{1,40}$")]  # a venue whose bars are used
Price: TypeAlias = Annotated[Decimal, Field(gt=0, allow_inf_nan=False)]
MAX_AHEAD: Final = timedelta(seconds=30)  # how far an event's time may lie after the AWS clock that received it: decision 0080
SEAL: Final = "seal"  # key of the seal in the detail of a signed event; signalbox.signing reads it
_BY_TYPE: Final[dict[str, type[BusEvent]]] = {}
_BESIDE_THE_FACTS: Final = frozenset({"event_id", SEAL})


def correlation_id_of(instant: datetime) -> str:
    """Return the id that the logs, rows and alerts of one decision share, such as 2024-03-01T12:00:00+00:00."""
    return instant.astimezone(UTC).isoformat()


class BusEvent(FrozenModel, ABC):
    """Base class of all events on the bus. `parse_event` knows each subclass with a `type` once its module is imported.

    Each package declares its own events (orders/messages.py, trading/events.py, library/events.py). This module has the cycle's.
    """

    type: ClassVar[EventType]
    absent_by_default: ClassVar[frozenset[str]] = frozenset()  # fields that consumers of the release before do not know

    @classmethod
    @override
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if "type" in cls.__dict__:
            if cls.type.value in _BY_TYPE:
                raise TypeError(f"{cls.type}: expected one class with this event type, but {cls.__name__} declares it too")
            _BY_TYPE[cls.type.value] = cls

    @property
    @abstractmethod
    def event_id(self) -> str:
        """The natural key of what happened."""

    @property
    def caused_at(self) -> datetime | None:
        """The time of the cycle or of the person's command that led to this event; None if neither did."""
        instant: datetime | None = getattr(self, "cycle_at", None) or getattr(self, "decided_at", None)
        return instant

    @property
    def correlation_id(self) -> str | None:
        """`caused_at` as UTC text: the one id from the schedule to the alert (docs/tracing.md)."""
        return None if self.caused_at is None else correlation_id_of(self.caused_at)

    def to_detail(self) -> dict[str, Any]:
        """Return the JSON-ready `detail`, including the event_id."""
        fields = type(self).model_fields
        unsaid = {name for name in self.absent_by_default if getattr(self, name) == fields[name].default}
        return {**self.model_dump(mode="json", exclude=unsaid or None), "event_id": self.event_id}


class CollectionProblem(StrEnum):
    """Why a collection run returned no bars, or not all bars, of a symbol."""

    VENUE_TIMEOUT = "VENUE_TIMEOUT"
    VENUE_RATE_LIMITED = "VENUE_RATE_LIMITED"
    VENUE_UNAVAILABLE = "VENUE_UNAVAILABLE"
    VENUE_REFUSED = "VENUE_REFUSED"
    ANSWER_MALFORMED = "ANSWER_MALFORMED"
    NO_CANDLES = "NO_CANDLES"
    CANDLES_REFUSED = "CANDLES_REFUSED"


class CandleRow(FrozenModel):
    """One closed bar on the wire. Numbers are decimal text, so nothing is rounded on the way."""

    t: AwareDatetime  # open_time
    o: Price
    h: Price
    l: Price  # noqa: E741 - the field's usual short name
    c: Price
    v: Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]


class SymbolCandles(FrozenModel):
    """The bars that one collection run fetched for one symbol, oldest first, and the problem if there was one.

    market: the venue of these bars where it is not the event's: the fallback of a venue that is down.
    """

    symbol: SymbolName
    candles: tuple[CandleRow, ...]
    problem: CollectionProblem | None = None
    refused: int = 0  # how many rows of the venue's answer were unusable
    market: MarketName | None = None

    @model_serializer(mode="wrap")
    def _without_unsaid(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out an absent market, which consumers of the release before do not know."""
        found: dict[str, Any] = write(self)
        if self.market is None:
            found.pop("market", None)
        return found


class CandlesClosed(BusEvent):
    """One part of the bars that collect_candles fetched for a cycle. The cycle is decided once all parts are recorded.

    waited_seconds: how long after the cycle's instant its bars were complete, because the venue published some of them late.
    others: bars of other venues, which are recorded but not decided on. Each names its market, or is of the event's venue.
    """

    type: ClassVar[EventType] = EventType.CANDLES_CLOSED
    absent_by_default: ClassVar[frozenset[str]] = frozenset({"waited_seconds", "others"})
    venue: str
    cycle_at: AwareDatetime
    part: Annotated[int, Field(ge=1)]
    parts: Annotated[int, Field(ge=1)]
    symbols: tuple[SymbolCandles, ...]
    waited_seconds: Annotated[int, Field(ge=0, le=300)] = 0
    others: tuple[SymbolCandles, ...] = ()

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.venue}:{self.cycle_at.isoformat()}:{self.part}/{self.parts}"


_Shown: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class RecentCandles(FrozenModel):
    """The one-minute bars before a signal, for the chart and the levels of its alert. No order is computed from them.

    rows: minutes after `first` (open time of the oldest bar), open, high, low, close; oldest first, missing minutes absent.
    """

    first: AwareDatetime
    rows: Annotated[tuple[tuple[Annotated[int, Field(ge=0)], _Shown, _Shown, _Shown, _Shown], ...], Field(max_length=1000)]


class SignalGenerated(BusEvent):
    """One decision for one symbol.

    `issued` is false for HOLD and for a signal over the rate limit. `late` is true if a newer cycle was decided first.
    known_at: when its bars were complete, if that was later than `decided_at`; nobody could have acted on it before.
    recent: with issued signals; None otherwise and from a release before.
    market: the fallback venue whose bars it was decided on; None if they are the stage's venue's.
    """

    type: ClassVar[EventType] = EventType.SIGNAL_GENERATED
    absent_by_default: ClassVar[frozenset[str]] = frozenset({"known_at", "recent", "market", "overridden", "challenger"})
    symbol: SymbolName
    decided_at: AwareDatetime
    deployment: str
    stage: Literal["shadow", "active"]
    direction: Literal["BUY", "SELL", "HOLD"]
    tier: Literal["HIGH", "MEDIUM", "LOW"]
    issued: bool
    held_back: str | None = None  # why a signal over the rate limit was not issued
    late: bool
    probability_up: float
    confidence: float
    price: Price
    horizon_minutes: int
    schema_name: str
    schema_hash: str
    known_at: AwareDatetime | None = None
    recent: RecentCandles | None = None
    market: MarketName | None = None
    overridden: bool = False  # a person approved the model although gates did not pass
    challenger: bool = False  # decided beside the model that serves

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.symbol}:{self.decided_at.isoformat()}:{self.deployment}"


class SignalResolved(BusEvent):
    """The horizon of an issued signal has passed: the price moved its way or did not. Trades and fees play no part."""

    type: ClassVar[EventType] = EventType.SIGNAL_RESOLVED
    absent_by_default: ClassVar[frozenset[str]] = frozenset({"challenger"})
    symbol: SymbolName
    decided_at: AwareDatetime
    deployment: str
    stage: Literal["shadow", "active"]
    direction: Literal["BUY", "SELL"]
    tier: Literal["HIGH", "MEDIUM"]
    horizon_minutes: Annotated[int, Field(ge=1)]
    price: Price  # at the decision
    close: Price  # at the end of the horizon
    right: bool
    challenger: bool = False  # as of SignalGenerated

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.symbol}:{self.decided_at.isoformat()}:{self.deployment}"


class CycleDecided(BusEvent):
    """A cycle was decided and its candles and signals are in the ledger. It is the last event of its transaction."""

    type: ClassVar[EventType] = EventType.CYCLE_DECIDED
    venue: str
    cycle_at: AwareDatetime
    symbols: tuple[SymbolName, ...]  # all symbols collected for the cycle, whether decided or refused
    late: bool  # a newer cycle was decided before it

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.venue}:{self.cycle_at.isoformat()}"


class MarketDataStale(BusEvent):
    """A symbol's market data is unusable for decisions from this cycle on, until MarketDataRecovered is announced."""

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
    """A symbol can be decided again."""

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
    """A bundle could not be loaded. The bundle that was in use, if any, stays in use."""

    type: ClassVar[EventType] = EventType.MODEL_REFUSED
    deployment: str
    cycle_at: AwareDatetime
    reason: str
    kept: str | None

    @property
    @override
    def event_id(self) -> str:
        return f"{self.type}:{self.deployment}"  # one event per deployment, however many cycles try to load it


class AlertUndeliverable(BusEvent):
    """An alert that the messenger will never accept (the bot is blocked, the chat is unknown). The text is kept."""

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
    """A message is not an event of Signalbox. Delivering it again does not help."""


class InstantAheadError(SignalboxError, ValueError):
    """An event's time is after its sending.

    Accounts never go back in time, so accepting it would end every deadline before that time.
    """


def require_not_ahead(what: str, instant: datetime, clock: datetime) -> None:
    """Raise InstantAheadError if an instant is more than MAX_AHEAD after the clock that received it. Any age is allowed.

    clock: an AWS clock, never the sender's: the queue's SentTimestamp or the function's own.
    """
    if instant > clock + MAX_AHEAD:
        raise InstantAheadError(
            f"{what}: expected at most {MAX_AHEAD} after {clock.isoformat()}, got {instant.isoformat()}; check the sender's clock"
        )


class ScheduledJob(FrozenModel):
    """The input of every schedule (cdk/constructs/schedule.py): the job and the instant it runs for. It is not on the bus."""

    job: str
    scheduled_at: AwareDatetime

    @classmethod
    def read(cls, event: Mapping[str, object], now: datetime) -> ScheduledJob:
        """Return the job of an invocation. now: the function's own clock.

        Whoever may invoke the function chooses the instant. Work done early for a future instant would not be done again when
        that instant comes, so it is refused. Raises InstantAheadError or pydantic.ValidationError: the call fails and alarms.
        """
        found = cls.model_validate(event)
        require_not_ahead("scheduled_at", found.scheduled_at, now)
        return found


def parse_event(detail_type: object, detail: object) -> Event:
    """Return the event of a bus message. For a message of any other content it raises UnreadableEventError and nothing else."""
    kind = _BY_TYPE.get(detail_type) if isinstance(detail_type, str) else None
    if kind is None or not isinstance(detail, dict):
        what = f"{type(detail).__name__} of type {str(detail_type)[:60]!r}"
        raise UnreadableEventError(f"expected an object as the detail of a known event type, got {what}")
    facts = {key: value for key, value in checked(detail).items() if key not in _BESIDE_THE_FACTS}
    try:
        event = kind.model_validate(facts)
        event.to_detail()  # an event that cannot be written again, or that has no natural key, is refused too
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False)[:5])
        raise UnreadableEventError(f"{kind.type}: invalid fields: {wrong[:500]}") from None
    except Exception as error:  # pure code met strange facts, such as an instant that overflows in UTC
        raise UnreadableEventError(f"{kind.type} cannot be read: {type(error).__name__}: {str(error)[:200]}") from error
    return event


def read_event(text: str) -> Event:
    """Return the event that a rule of the bus put into a queue. Raises UnreadableEventError or WireError, both ValueErrors.

    The source must be EVENT_SOURCE: a rule checks that, but something other than a rule may have written into the queue.
    """
    envelope = parse_object(text)
    if (source := envelope.get("source")) != EVENT_SOURCE:
        raise UnreadableEventError(f"expected an event with source {EVENT_SOURCE}, got {str(source)[:60]!r}")
    return parse_event(envelope.get("detail-type"), envelope.get("detail"))
