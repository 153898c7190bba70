"""The answers of the API as a schema: every answer and every error validates against these.

Strict: a field more, a field less, a string for a number or a NaN is a fault. Unknown is null.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, create_model

from models.status import Status
from orderbook.windows.field_types import (
    Amount,
    Count,
    Milliseconds,
    Name,
    Positive,
    Ratio,
    WindowStatus,
)
from orderbook.windows.schema import fields as window_fields


class Answer(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Meta(Answer):
    """The quality of an answer; about several instruments, the worst age and status."""

    as_of_ms: Milliseconds
    """When it was answered."""
    venue_ts_ms: Milliseconds | None
    """The venue's timestamp of the book."""
    change_id: int | None
    age_ms: Milliseconds | None
    """Time since the venue was last heard about the instrument."""
    status: Status
    worker: str
    """The worker that answers."""
    partition: Count | None
    simulated: bool
    """Whether the venue is a simulation: then no number is a market's."""


class InstrumentsMeta(Meta):
    """With the window lengths that there are."""

    lengths_ms: list[Milliseconds]
    hopping: list[str]
    """Windows that overlap, as `length` takes them: `10s/1s` are ten seconds, every second."""


class WindowsMeta(Meta):
    """With the span that was asked for: from ≤ start < to."""

    length_ms: Milliseconds
    hop_ms: Milliseconds
    """From the start of one window to that of the next; less than the length if they overlap."""
    from_ms: Milliseconds
    to_ms: Milliseconds
    kept_from_ms: Milliseconds | None
    """Start of the oldest window of this length that is kept; null if none is."""
    kept_whole: bool
    """Whether all of the span is kept: else what is missing before kept_from_ms is not known here,
    and says nothing of what happened then."""
    limit: Count
    has_earlier: bool
    """Whether windows of the span were left off at its beginning, because of the limit."""
    next_cursor: str | None
    """Give it as `cursor` for the windows before these; null if there are none in the span."""


class InstrumentRow(Answer):
    """An instrument that is ingested."""

    instrument: Name
    channel: str
    linear: bool
    """Whether sizes are in the base coin, not in USD."""
    size_unit: str
    status: Status
    age_ms: Milliseconds | None
    simulated: bool
    worker: str
    """The worker that ingests it."""
    partition: Count
    gaps: Count
    refused: Count


class QualityMeta(Meta):
    """With how many instruments have which status."""

    statuses: dict[Status, Count]


class QualityRow(Answer):
    """The quality of an instrument's numbers; the counts are since its state began."""

    instrument: Name
    channel: str
    status: Status
    age_ms: Milliseconds | None
    change_id: int | None
    venue_ts_ms: Milliseconds | None
    clock_ms: Milliseconds | None
    """Event time: up to here everything is included."""
    worker: str
    """The worker that ingests it."""
    partition: Count
    simulated: bool
    window_status: WindowStatus | None
    """Of the last closed window of the shortest length."""
    instrument_state: str | None
    """The venue's word: open, locked, halted, settlement, closed, …; null until it has said one."""
    platform_state: Literal["open", "locked", "maintenance"] | None
    """What the venue has announced of itself in this session; null if nothing."""
    gaps: Count
    """Breaks of the book, of any kind."""
    quotes_agreed: Count
    """Quotes and tickers whose best bid and ask, price and size, were a top of the rebuilt book."""
    quotes_between_updates: Count
    """Those of moments between two messages of the book, which can be compared with nothing."""
    quotes_unmatched: Count
    """Those that contradicted a book for long; it was given up. 0 if it was right every time."""
    audit_failures: Count
    """Books that were given up because the venue's quotes had contradicted them for long."""
    silences: Count
    """Times that nothing came for longer than the instrument's own quiet explains."""
    off_tick: Count
    """Level changes at a price that is no multiple of the tick that the venue has listed."""
    refused: Count
    """Messages about it that were refused."""


class ImbalanceRow(QualityRow):
    """The current state of an instrument: its quality, and its numbers."""

    received_ms: Milliseconds | None
    """When the venue was last heard about it, by the clock of the worker that ingests it."""
    heard_ms: Milliseconds | None
    """The same by the clock of the worker that answers: `as_of_ms` less this is its age."""
    published_ms: Milliseconds | None

    best_bid: Positive | None
    best_bid_size: Positive | None
    best_ask: Positive | None
    best_ask_size: Positive | None
    mid: Positive | None
    weighted_mid: Positive | None
    spread_bp: Amount | None
    linear: bool | None
    """Whether sizes are in the base coin, not in USD."""
    imbalance_1: Ratio | None
    """(bids − asks)/(bids + asks) of the sizes at the best level."""
    imbalance_5: Ratio | None
    imbalance_10: Ratio | None
    imbalance_10bp: Ratio | None
    """The same, of the levels within 10 bp of the mid."""
    imbalance_25bp: Ratio | None
    imbalance_50bp: Ratio | None
    mark_price: float | None
    index_price: float | None
    funding_8h: float | None
    """The funding of the last 8 hours."""
    open_interest_usd: Amount | None
    ticker_ms: Milliseconds | None
    """The venue's timestamp of these four; null if none is of the last 60 s."""
    current_funding: float | None
    """The funding rate of now, as a fraction for 8 hours."""

    window_end_ms: Milliseconds | None
    """End of the last closed window of the shortest length, whose flow follows."""
    window_length_ms: Milliseconds | None
    ofi_usd: float | None
    """Order flow imbalance at the best level."""
    ofi_normalised: float | None
    trade_flow_usd: float | None


class GroupedBook(Answer):
    """The venue's own view of a book: from its channel of grouped levels, for display only."""

    channel: str
    sequence_checked: Literal[False]
    """A message of this channel that was lost cannot be noticed: no measure is made of it."""
    change_id: int
    venue_ts_ms: Milliseconds
    bids: list[tuple[Amount, Amount]]
    asks: list[tuple[Amount, Amount]]


class Book(Answer):
    """The best levels of a book as (price, size), best first; null while there is no book."""

    instrument: Name
    depth: Count
    bids: list[tuple[Positive, Positive]] | None
    asks: list[tuple[Positive, Positive]] | None
    bid_levels: Count | None
    """Levels that the whole side has."""
    ask_levels: Count | None
    grouped: GroupedBook | None
    """Null unless a grouped book is among the channels that are ingested."""


if TYPE_CHECKING:

    class Window(Answer):
        """A closed window."""

else:
    Window = create_model(
        "Window",
        __base__=Answer,
        __doc__="A closed window; each field is defined in docs/measures.md.",
        **{
            name: (
                Annotated[field.type, Field(description=field.value)],
                None if field.is_optional else ...,
            )
            for name, field in window_fields()
        },
    )


Data = TypeVar("Data")
MetaOfData = TypeVar("MetaOfData", bound=Meta)


class Envelope(Answer, Generic[Data, MetaOfData]):
    """Every answer that is no error."""

    ok: Literal[True]
    data: Data
    meta: MetaOfData


InstrumentsAnswer = Envelope[list[InstrumentRow], InstrumentsMeta]
QualityAnswer = Envelope[list[QualityRow], QualityMeta]
ImbalancesAnswer = Envelope[list[ImbalanceRow], Meta]
ImbalanceAnswer = Envelope[ImbalanceRow, Meta]
BookAnswer = Envelope[Book, Meta]
WindowsAnswer = Envelope[list[Window], WindowsMeta]


class StreamEvent(Answer):
    """The part that every event of /v1/stream and /v1/ws has."""

    as_of_ms: Milliseconds
    """When it was made: the rows' ages are of this moment."""
    worker: str
    """The worker that answers."""


class StatesEvent(StreamEvent):
    """Current states that are new to the client."""

    type: Literal["states"]
    whole: bool
    """Whether these are all that there are: what else the client has is void."""
    states: list[ImbalanceRow]
    gone: list[Name]
    """Instruments that are not ingested any more."""


class WindowsEvent(StreamEvent):
    """Windows that have closed."""

    type: Literal["windows"]
    windows: list[Window]


class HeartbeatEvent(StreamEvent):
    """Nothing was sent for a second."""

    type: Literal["heartbeat"]


class EndEvent(StreamEvent):
    """The last event: the server closes the connection."""

    type: Literal["end"]
    reason: str
    detail: str


class Live(Answer):
    """The loop of the worker answers."""

    worker: str
    now_ms: Milliseconds


class Ready(Answer):
    """The worker does its work."""

    worker: str
    status: Literal["ready", "degraded", "recovering"]
    """`degraded`: it does its work, but not with all that is wanted; /startupz only: recovering."""
    reasons: list[str]
    """Why it is not simply ready."""
    details: dict[str, Any]


class LiveAnswer(Answer):
    """200 of /livez."""

    ok: Literal[True]
    data: Live


class ReadyAnswer(Answer):
    """200 of /readyz."""

    ok: Literal[True]
    data: Ready


class Problem(Answer):
    """Every error: RFC 9457, as application/problem+json."""

    type: str = Field(pattern=r"^urn:steelyard:problem:[a-z0-9-]+$")
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    instance: str
    did_you_mean: list[str] | None = None
    """Known names that are like the one that was asked for."""
    reasons: list[str] | None = None
    """Why the worker is not ready."""
    details: dict[str, Any] | None = None
    kept_from_ms: Milliseconds | None = None
    """Start of the oldest window that is kept."""
