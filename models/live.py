"""The current state of instruments: on the topic `live` and in the global table `latest`."""

from __future__ import annotations

import msgspec


class LiveState(msgspec.Struct, kw_only=True):
    """One instrument now. What is not known is None; prices and sizes as the venue quotes them."""

    instrument: str
    channel: str
    status: str
    """A FeedStatus; in `latest` also `recovering`, of what may have changed in a record that was
    missed. A text, because a record may be of a later release. A view adds the age. Of a retired
    instrument, which the venue has closed or delisted, there are no numbers."""
    simulated: bool
    worker: str
    """The worker that ingests it."""
    partition: int
    change_id: int | None
    venue_ts_ms: int | None
    """The venue's timestamp of the book."""
    clock_ms: int | None
    """Event time: up to here everything is included."""
    received_ms: int
    """When the last message was received from the venue, by the ingesting worker's clock."""
    published_ms: int
    """When the processing worker wrote this state."""

    best_bid: float | None = None
    best_bid_size: float | None = None
    best_ask: float | None = None
    best_ask_size: float | None = None
    mid: float | None = None
    weighted_mid: float | None = None
    spread_bp: float | None = None
    linear: bool | None = None
    """Whether the sizes are in the base coin, not in USD; None in a record of an older release."""
    imbalance_1: float | None = None
    imbalance_5: float | None = None
    imbalance_10: float | None = None
    imbalance_10bp: float | None = None
    imbalance_25bp: float | None = None
    imbalance_50bp: float | None = None
    mark_price: float | None = None
    index_price: float | None = None
    funding_8h: float | None = None
    open_interest_usd: float | None = None
    ticker_ms: int | None = None
    """The venue's timestamp of the ticker that these four are of; none is older than 60 s."""
    current_funding: float | None = None
    """The funding rate of now, for 8 hours; `funding_8h` is that of the last 8 hours."""
    instrument_state: str | None = None
    """The venue's word: `open`, `halted`, `closed`, …; None until it has said one."""
    platform_state: str | None = None
    """`open`, `locked`, `maintenance`; None if nothing was announced in this session."""

    window_end_ms: int | None = None
    """End of the last closed window of the shortest length, whose flow follows."""
    window_length_ms: int | None = None
    ofi_usd: float | None = None
    ofi_normalised: float | None = None
    trade_flow_usd: float | None = None
    window_status: str | None = None

    gaps: int = 0
    """Breaks of the book since this state began, of any kind."""
    quotes_agreed: int = 0
    """Quotes and tickers whose best bid and ask were a top of the rebuilt book."""
    quotes_between_updates: int = 0
    """Those of moments between two messages of the book, which can be compared with nothing."""
    quotes_unmatched: int = 0
    """Those that contradicted a book for long; it was given up. 0 if it was right every time."""
    audit_failures: int = 0
    """Books that were given up because the venue's quotes had contradicted them for long."""
    silences: int = 0
    """Times that nothing came for longer than the instrument's own quiet explains."""
    off_tick: int = 0
    """Level changes at a price that is no multiple of the tick that the venue has listed."""
    refused: int = 0
    """Messages about this instrument that were refused."""


class LiveRecord(msgspec.Struct):
    """One record of `live`: the instruments of a partition that changed, or all of them."""

    partition: int
    worker: str
    published_ms: int
    heard_ms: int
    """When the partition's feed last said anything, ticks included, by the writer's clock."""
    whole: bool
    """Whether these are all the instruments of the partition: those not named are gone."""
    states: dict[str, LiveState]
    after_ms: int = 0
    """`published_ms` of this worker's record before; only onto that one may changes be merged."""
    secret: str = ""
    """Random, of the process that wrote this: together with the views' token, if one is set, it
    makes the key by which other workers know this one's answers."""
    url: str = ""
    """Where this process says that its views are reached."""
    appended_ms: int = 0
    """When Kafka appended it to `live`, by Kafka's clock: in the table `latest` only, put there by
    who reads it; 0 where it is not known."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(LiveRecord)


def encode_live(record: LiveRecord) -> bytes:
    """Return the record value: UTF-8 JSON."""
    return _encoder.encode(record)


def decode_live(value: bytes) -> LiveRecord:
    """Return the record of a value; raise ValueError if it is none."""
    try:
        return _decoder.decode(value)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a live record: {error}") from error
