"""Recordings: text files, one message a line, `recv_ns SPACE message`; plain, .gz or .zst.

`recv_ns` is the receive time in ns since the epoch. A line whose message is `null` is a disconnect.
"""

import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from math import gcd
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import cramjam
import msgspec

from exchange.channels import parse_channel
from exchange.instruments import LISTED_MS, PERPETUAL_EXPIRATION_MS, describe, known_instrument
from exchange.venue import Fields

DISCONNECT = b"null"
SAMPLED_MESSAGES = (
    20  # so many book messages of an instrument tell its tick and its smallest amount
)


class RecordingError(Exception):
    """The file is not a recording; the text says where."""


class Line(NamedTuple):
    number: int
    recv_ns: int
    message: bytes


class Level(msgspec.Struct, array_like=True):
    """A level of an incremental channel: action, price, new amount."""

    action: str
    price: float
    amount: float


class BookData(msgspec.Struct):
    """Data of an incremental book channel, of any year: before 2021 it had no type."""

    timestamp: int
    change_id: int
    bids: list[Level]
    asks: list[Level]
    prev_change_id: int | None = None
    type: str | None = None

    @property
    def is_snapshot(self) -> bool:
        return self.type == "snapshot" or not self.prev_change_id


class Notice(msgspec.Struct):
    """The parameters of a notification; its data stays text."""

    channel: str
    data: msgspec.Raw


class Envelope(msgspec.Struct):
    method: str | None = None
    params: msgspec.Raw = msgspec.Raw(b"null")


_envelopes = msgspec.json.Decoder(Envelope)
_notices = msgspec.json.Decoder(Notice)
_books = msgspec.json.Decoder(BookData)


def read(path: Path) -> Iterator[Line]:
    """The lines of a recording, the framing checked; blank lines are passed over."""
    number = 0
    try:
        with _open(path) as file:
            for number, raw in enumerate(file, 1):
                line = raw.rstrip(b"\r\n")
                if line:
                    time_text, space, message = line.partition(b" ")
                    if not space or not time_text.isdigit() or not message:
                        raise RecordingError(
                            f"{path}:{number}: not `recv_ns SPACE message`: {line[:60]!r}"
                        )
                    yield Line(number, int(time_text), message)
    except (gzip.BadGzipFile, EOFError, zlib.error, cramjam.DecompressionError) as error:
        raise RecordingError(f"{path}: damaged after line {number}: {error}") from error
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror or error}") from error


def notice(path: Path, line: Line) -> Notice | None:
    """The line's notification; None for any other message."""
    try:
        envelope = _envelopes.decode(line.message)
    except msgspec.ValidationError:
        return None  # JSON, but not an object
    except msgspec.DecodeError as error:
        raise RecordingError(f"{path}:{line.number}: the message is not JSON: {error}") from error
    if envelope.method != "subscription":
        return None
    try:
        return _notices.decode(envelope.params)
    except msgspec.ValidationError:
        return None


def book_data(data: bytes) -> BookData | None:
    """The data of an incremental book message; None when it has not that shape."""
    try:
        return _books.decode(data)
    except msgspec.ValidationError:
        return None


@dataclass(slots=True)
class Contents:
    """The contents of a recording, found by reading it once."""

    channels: set[str] = field(default_factory=set)
    instruments: dict[str, "Sample"] = field(default_factory=dict)
    first_ms: int = 0


@dataclass(slots=True)
class Sample:
    """Prices and amounts of an instrument, as far as looked at."""

    messages: int = 0
    prices: set[Decimal] = field(default_factory=set)
    amounts: set[Decimal] = field(default_factory=set)

    def add(self, data: BookData) -> None:
        self.messages += 1
        for level in (*data.bids, *data.asks):
            self.prices.add(Decimal(repr(level.price)))
            if level.amount > 0:
                self.amounts.add(Decimal(repr(level.amount)))


def scan(path: Path) -> Contents:
    """Read the whole recording once; a malformed line is an error here and not while playing."""
    contents = Contents()
    for line in read(path):
        if line.message == DISCONNECT or (found := notice(path, line)) is None:
            continue
        if not contents.channels:
            contents.first_ms = line.recv_ns // 1_000_000
        contents.channels.add(found.channel)
        channel = parse_channel(found.channel)
        if not channel.instrument:
            continue
        sample = contents.instruments.setdefault(channel.instrument, Sample())
        if channel.topic == "book" and sample.messages < SAMPLED_MESSAGES:
            data = book_data(found.data)
            if data is not None:
                sample.add(data)
    if not contents.channels:
        raise RecordingError(f"{path}: holds no notification; is it a recording?")
    return contents


def metadata(name: str, sample: Sample, number: int) -> Fields:
    """Return what can be said of an instrument that was met in a recording."""
    known = known_instrument(name)
    fields = describe(known, "open") if known else _inferred(name, number)
    tick, lot = _common_step(sample.prices), _common_step(sample.amounts)
    if tick is not None:
        fields |= {"tick_size": tick, "tick_size_steps": []}
    if lot is not None and known is None:
        fields |= {"min_trade_amount": lot, "contract_size": lot}
    return fields


def _inferred(name: str, number: int) -> Fields:
    """Metadata from the name alone: BASE[_QUOTE][-EXPIRY[-STRIKE-C|P] | -COMBINATION-…]."""
    pair, _, rest = name.partition("-")
    base, _, quote = pair.partition("_")
    kind, inverse = _kind(rest), not quote
    # An option that is settled in its coin is priced in it, too, and its amounts are coins.
    quote = quote or (base if kind == "option" else "USD")
    fields: Fields = {
        "settlement_period": "perpetual" if rest == "PERPETUAL" else "month",
        "settlement_currency": base if inverse else quote,
        "quote_currency": quote,
        "kind": kind,
        "is_active": True,
        "state": "open",
        "instrument_name": name,
        "instrument_id": number,
        "instrument_type": "reversed" if inverse else "linear",
        "creation_timestamp": LISTED_MS,
        "counter_currency": quote,
        "base_currency": base,
        "simulated": True,
    }
    if rest == "PERPETUAL":
        fields["expiration_timestamp"] = PERPETUAL_EXPIRATION_MS
    if kind == "future":
        fields["future_type"] = fields["instrument_type"]
    return fields


def _kind(rest: str) -> str:
    """The venue's word for an instrument with this behind its pair of currencies."""
    first, _, more = rest.partition("-")
    if not rest:
        return "spot"
    if rest.endswith(("-C", "-P")):
        return "option"
    if not more:
        return "future"
    return "future_combo" if first == "FS" else "option_combo"


def _common_step(values: set[Decimal]) -> float | None:
    """The largest step of which all values are multiples."""
    if not values:
        return None
    decimals = max(0, *(-cast(int, value.as_tuple().exponent) for value in values))
    units = gcd(*(int(value.scaleb(decimals)) for value in values))
    return units / 10**decimals if units else None


def _open(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    if path.suffix == ".zst":
        # Unpacked as a whole: there is no streaming reader among the dependencies.
        return io.BytesIO(bytes(cramjam.zstd.decompress(path.read_bytes())))
    return path.open("rb")
