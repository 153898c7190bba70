"""Deribit's vocabulary: methods, channel names, error codes and what a reader does about each.

Nothing outside this package needs to spell one of these words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum, IntEnum, StrEnum
from typing import Final, NamedTuple


class Method(StrEnum):
    """The methods that a market-data client calls."""

    HELLO = "public/hello"
    TEST = "public/test"
    AUTH = "public/auth"
    SET_HEARTBEAT = "public/set_heartbeat"
    GET_INSTRUMENTS = "public/get_instruments"
    GET_ORDER_BOOK = "public/get_order_book"
    SUBSCRIBE = "public/subscribe"
    UNSUBSCRIBE = "public/unsubscribe"
    PRIVATE_SUBSCRIBE = "private/subscribe"
    PRIVATE_UNSUBSCRIBE = "private/unsubscribe"


NOTIFICATION: Final = "subscription"
HEARTBEAT: Final = "heartbeat"
TEST_REQUEST: Final = "test_request"
SNAPSHOT: Final = "snapshot"
PERPETUAL: Final = "perpetual"
SIMULATED: Final = "simulated"
"""Part of the version that our simulated exchange gives; the real venue's is digits and dots."""

RAW: Final = "raw"
FALLBACK_INTERVAL: Final = "100ms"
"""The finest interval that is served without credentials."""


class Kind(StrEnum):
    """The first word of a channel's name."""

    BOOK = "book"
    TRADES = "trades"
    TICKER = "ticker"
    QUOTE = "quote"
    PERPETUAL = "perpetual"


INSTRUMENT_STATE: Final = "instrument.state"
"""The life of instruments, by kind and currency: `instrument.state.future.any`."""
PLATFORM_STATE: Final = "platform_state"
"""Maintenance of the venue, and the locks of its price indices."""
GONE_STATES: Final = frozenset({"closed", "delivered", "terminated", "archivized"})
"""States of an instrument that has ended; a halted or locked one goes on."""
LISTED_KIND_AND_CURRENCY: Final = "future.any"
"""What instruments' lives are followed of: perpetuals are futures without an end."""
UNSERVED_STATES: Final = GONE_STATES | {"created", "started", "inactive"}
"""States of an instrument that has no book, or not yet."""

_KNOWN_KINDS: Final = frozenset(Kind) | {
    "instrument",
    "platform_state",
    "incremental_ticker",
    "deribit_price_index",
}


class Channel(NamedTuple):
    """A channel's name in its parts."""

    kind: str
    instrument: str
    """Empty where the channel is not about one instrument."""
    interval: str
    """Empty where the channel has none."""

    @property
    def is_incremental_book(self) -> bool:
        """Return whether it is `book.INSTRUMENT.INTERVAL`, whose changes form a chain."""
        return self.kind == Kind.BOOK and bool(self.instrument) and bool(self.interval)


def parse_channel(name: str) -> Channel | None:
    """Return the parts of a channel's name; None if it is of no kind that is known here."""
    kind, *rest = name.split(".")
    if kind not in _KNOWN_KINDS or not all(rest):
        return None
    match kind, rest:
        case Kind.QUOTE, [instrument]:
            return Channel(kind, instrument, "")
        case ((Kind.BOOK | Kind.TRADES | Kind.TICKER | Kind.PERPETUAL), [instrument, interval]):
            return Channel(kind, instrument, interval)
        case Kind.BOOK, [instrument, _, _, _]:  # grouped: a window of levels, and no chain
            return Channel(kind, instrument, "")
        case ((Kind.QUOTE | Kind.TICKER | Kind.PERPETUAL), _):
            return None
    # `trades.KIND.CURRENCY.…` and states: known, and about many instruments.
    return Channel(kind, "", "")


_GROUPED_BOOK: Final = re.compile(r"book\.(none|1|2|5|10|25|100|250)\.(1|10|20)")


def is_channel_kind(text: str) -> bool:
    """Return whether a text names a kind of channel: `trades`, `platform_state`, `book.none.10`."""
    known = {*Kind, INSTRUMENT_STATE, PLATFORM_STATE}
    return text in known or _GROUPED_BOOK.fullmatch(text) is not None


def venue_channel(kind: str) -> str | None:
    """Return the channel of a kind that is about many instruments; None if it is about one."""
    if kind == INSTRUMENT_STATE:
        return f"{INSTRUMENT_STATE}.{LISTED_KIND_AND_CURRENCY}"
    return PLATFORM_STATE if kind == PLATFORM_STATE else None


def channel_name(kind: str, instrument: str, interval: str) -> str:
    """Return the name of an instrument's channel; `quote` has no interval.

    Of a grouped book, `book.none.10`, the instrument stands in the middle, and there is no raw.
    """
    if kind == Kind.QUOTE:
        return f"{kind}.{instrument}"
    if kind not in tuple(Kind):
        book, _, group = kind.partition(".")
        interval = FALLBACK_INTERVAL if interval == RAW else interval
        return f"{book}.{instrument}.{group}.{interval}"
    return f"{kind}.{instrument}.{interval}"


def without_raw(channel: str) -> str:
    """Return the channel to follow where `raw` is refused: `book.X.raw` → `book.X.100ms`."""
    head, _, interval = channel.rpartition(".")
    return f"{head}.{FALLBACK_INTERVAL}" if interval == RAW else channel


class ErrorCode(IntEnum):
    """The codes of error replies that a reader meets."""

    AUTHORIZATION_REQUIRED = 10000
    TOO_MANY_REQUESTS = 10028
    RETRY = 10040
    SETTLEMENT_IN_PROGRESS = 10041
    MATCHING_ENGINE_QUEUE_FULL = 10047
    TOO_MANY_CONCURRENT_REQUESTS = 10066
    BAD_REQUEST = 11050
    SYSTEM_MAINTENANCE = 11051
    SUBSCRIBE_ERROR_UNSUBSCRIBED = 11052
    UNAUTHENTICATED_DISABLED = 11056
    INTERNAL_SERVER_ERROR = 11094
    INVALID_CREDENTIALS = 13004
    UNAUTHORIZED = 13009
    ORDERBOOK_CLOSED = 13019
    NOT_FOUND = 13020
    TEMPORARILY_UNAVAILABLE = 13028
    RAW_NEEDS_AUTHORIZATION = 13778
    TIMED_OUT = 13888
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602


class Reaction(Enum):
    """The ways in which a reader reacts to an error reply."""

    REPORT = "report"
    """Say it; whatever was asked for is not available."""
    RETRY = "retry"
    """Ask again after a wait."""
    RESUBSCRIBE = "resubscribe"
    """The venue dropped the subscription: the book is unknown until its next snapshot."""
    FALL_BACK = "fall_back"
    """Follow the 100ms channels instead of raw."""
    LOG_IN = "log_in"
    """The venue does not know us any more: authenticate, then ask again."""
    RECONNECT = "reconnect"
    """The session is of no use any more."""
    STOP = "stop"
    """No later attempt can succeed without a person."""


_REACTIONS: Final[Mapping[int, Reaction]] = {
    ErrorCode.RETRY: Reaction.RETRY,
    ErrorCode.SETTLEMENT_IN_PROGRESS: Reaction.RETRY,
    ErrorCode.MATCHING_ENGINE_QUEUE_FULL: Reaction.RETRY,
    ErrorCode.TOO_MANY_CONCURRENT_REQUESTS: Reaction.RETRY,
    ErrorCode.INTERNAL_SERVER_ERROR: Reaction.RETRY,
    ErrorCode.TEMPORARILY_UNAVAILABLE: Reaction.RETRY,
    ErrorCode.TIMED_OUT: Reaction.RETRY,
    ErrorCode.SUBSCRIBE_ERROR_UNSUBSCRIBED: Reaction.RESUBSCRIBE,
    ErrorCode.RAW_NEEDS_AUTHORIZATION: Reaction.FALL_BACK,
    ErrorCode.AUTHORIZATION_REQUIRED: Reaction.LOG_IN,
    ErrorCode.UNAUTHORIZED: Reaction.LOG_IN,
    ErrorCode.UNAUTHENTICATED_DISABLED: Reaction.RECONNECT,
    ErrorCode.TOO_MANY_REQUESTS: Reaction.RECONNECT,
    ErrorCode.SYSTEM_MAINTENANCE: Reaction.RECONNECT,
    ErrorCode.INVALID_CREDENTIALS: Reaction.STOP,
}

_LEAST_WAIT_S: Final[Mapping[int, float]] = {
    # The venue's pools refill in 3–5 s; sooner than that the next session ends the same way.
    ErrorCode.TOO_MANY_REQUESTS: 5.0,
    ErrorCode.SYSTEM_MAINTENANCE: 30.0,
    ErrorCode.UNAUTHENTICATED_DISABLED: 30.0,
}


def reaction_to(code: int) -> Reaction:
    """Return what to do about an error code; one that is not known here is reported."""
    return _REACTIONS.get(code, Reaction.REPORT)


def least_wait_s(code: int) -> float:
    """Return the time to stay away for after a session that ended with this code."""
    return _LEAST_WAIT_S.get(code, 0.0)


class Ending(StrEnum):
    """Why a session ended or did not come about, unless the venue's error code says it."""

    NOT_CONNECTED = "not_connected"
    CLOSED = "closed"
    RESET = "reset"
    TOO_SLOW = "connection_too_slow"
    """The venue's own word, in its close frame, for who does not read as fast as it sends."""
    UNANSWERED = "unanswered"
    UNREADABLE_ANSWER = "unreadable_answer"
    UNWRITABLE = "unwritable"
    STOPPED = "stopped"
    """We ended the session."""


OTHER_ERROR: Final = "other_error"


def error_name(code: int) -> str:
    """Return a short name for an error code, fit for a label of a metric."""
    try:
        return ErrorCode(code).name.lower()
    except ValueError:
        return OTHER_ERROR


REASONS: Final = (*Ending, *(error_name(code) for code in ErrorCode), OTHER_ERROR)
"""All reasons of a Reconnect."""
