"""The recorded venue: plays a recording byte-exact, and keeps the books for those who come late.

The clock is the exchange's timestamp of the message played last, moving on at the playing speed.
A recorded disconnect cuts all clients and forgets the books: what was missed is not known.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from math import isinf

import msgspec

from exchange.channels import Channel, notification, parse_channel
from exchange.config import Config
from exchange.errors import BAD_REQUEST, RpcError
from exchange.hub import Hub
from exchange.numbers import encode
from exchange.platform import Platform
from exchange.recording import (
    DISCONNECT,
    BookData,
    Contents,
    Notice,
    book_data,
    metadata,
    notice,
    scan,
)
from exchange.recording import read as read_recording
from exchange.truth import Truth
from exchange.venue import Fields

BURST = 64  # messages played without letting the sockets work
TRUTH_TOPICS = ("book", "trades")


class RecordedBook:
    """The levels of one incremental channel, as played so far."""

    def __init__(self) -> None:
        self.bids: dict[float, float] = {}
        self.asks: dict[float, float] = {}
        self.change_id = 0
        self.timestamp_ms = 0

    def apply(self, data: BookData) -> None:
        if data.is_snapshot:
            self.bids.clear()
            self.asks.clear()
        for levels, changes in ((self.bids, data.bids), (self.asks, data.asks)):
            for change in changes:
                if change.action == "delete" or change.amount == 0:
                    levels.pop(change.price, None)
                else:
                    levels[change.price] = change.amount
        self.change_id = data.change_id
        self.timestamp_ms = data.timestamp

    def top(self, depth: int | None = None) -> tuple[list[list[float]], list[list[float]]]:
        """Bids and asks, best first."""
        bids = sorted(self.bids.items(), reverse=True)[:depth]
        asks = sorted(self.asks.items())[:depth]
        return [list(level) for level in bids], [list(level) for level in asks]


class _Stamp(msgspec.Struct):
    timestamp: int | None = None


_stamps = msgspec.json.Decoder(_Stamp | list[_Stamp])


class Player:
    """A venue (venue.py) whose market is a recording."""

    def __init__(self, config: Config, hub: Hub, truth: Truth) -> None:
        assert config.recording is not None
        self._path = config.recording
        self._hold = config.hold
        self._speed = config.speed
        self._hub = hub
        self._truth = truth
        self.platform = Platform(hub)
        self._contents: Contents = scan(self._path)
        self._states = dict.fromkeys(self._contents.instruments, "open")
        self._books: dict[str, RecordedBook] = {}
        self._last: dict[str, bytes] = {}  # the last message of each channel of state
        self._clock_us = self._contents.first_ms * 1_000
        self._clock_at = time.monotonic()
        self._clock_speed = 0.0  # stands still until something is played
        self.played = self.skipped = self.disconnects = 0

    def now_us(self) -> int:
        passed_us = (time.monotonic() - self._clock_at) * 1_000_000
        return self._clock_us + int(passed_us * self._clock_speed)

    def instruments(self) -> Sequence[Fields]:
        found = enumerate(self._contents.instruments.items())
        return [
            {**metadata(name, sample, number), "state": self._states[name]}
            for number, (name, sample) in found
        ]

    def state(self, instrument: str) -> str | None:
        return self._states.get(instrument)

    def set_state(self, instrument: str, state: str) -> None:
        self._states[instrument] = state

    def delisted(self) -> Sequence[Fields]:
        return []

    def list_next(self) -> str:
        raise _fixed("list an instrument")

    def delist(self, instrument: str) -> None:
        raise _fixed("delist an instrument")

    def restart_ids(self) -> None:
        raise _fixed("restart its ids")

    def order_book(self, instrument: str, depth: int) -> Fields:
        book = self._book_of(instrument)
        bids, asks = book.top(depth)
        return {
            "timestamp": book.timestamp_ms,
            "state": self._states[instrument],
            "instrument_name": instrument,
            "change_id": book.change_id,
            "best_bid_price": bids[0][0] if bids else 0.0,
            "best_bid_amount": bids[0][1] if bids else 0.0,
            "best_ask_price": asks[0][0] if asks else 0.0,
            "best_ask_amount": asks[0][1] if asks else 0.0,
            "bids": bids,
            "asks": asks,
        }

    def offers(self, channel: Channel) -> bool:
        return channel.name in self._contents.channels

    def opening(self, channel: Channel) -> str | None:
        """The book as played so far, or the last message of a channel of state, if any."""
        if channel.topic != "book":
            last = self._last.get(channel.name)
            return last.decode() if last else None
        book = self._books.get(channel.name)
        if book is None:
            return None
        bids, asks = book.top()
        data = {
            "timestamp": book.timestamp_ms,
            "type": "snapshot",
            "change_id": book.change_id,
            "instrument_name": channel.instrument,
            "bids": [["new", *level] for level in bids],
            "asks": [["new", *level] for level in asks],
        }
        return notification(channel.name, encode(data))

    async def run(self) -> None:
        await self._await_followers()
        await self._play()
        self._clock_at, self._clock_us = time.monotonic(), self.now_us()
        self._clock_speed = 1.0
        self._truth.flush()
        print(
            f"exchange: {self._path.name} is over: {self.played} notifications played, "
            f"{self.skipped} other lines skipped, {self.disconnects} disconnects",
            file=sys.stderr,
            flush=True,
        )
        await asyncio.Event().wait()  # the sockets stay open

    async def _play(self) -> None:
        begin_at, begin_ns, latest_ns = time.monotonic(), 0, 0
        for line in read_recording(self._path):
            # Receive times may step back a little; the player never does.
            latest_ns = max(latest_ns, line.recv_ns)
            begin_ns = begin_ns or latest_ns
            due_at = begin_at + (latest_ns - begin_ns) / 1e9 / self._speed
            wait_s = due_at - time.monotonic()
            if wait_s > 0 and not isinf(self._speed):
                self._truth.flush()
                await asyncio.sleep(wait_s)
            elif self.played % BURST == 0:
                await self._give_way()
            if line.message == DISCONNECT:
                await self._disconnect()
                begin_at, begin_ns = time.monotonic(), latest_ns
            elif (found := notice(self._path, line)) is None:
                self.skipped += 1
            else:
                self._publish(found, line.message, line.recv_ns)

    def _publish(self, found: Notice, message: bytes, recv_ns: int) -> None:
        self.played += 1
        channel = parse_channel(found.channel)
        if channel.topic == "book":
            data = book_data(found.data)
            if data is not None:
                self._keep(channel.name, data)
        else:
            self._move_clock(_timestamp_ms(found.data))
            if channel.topic not in ("trades", "trades of kind"):
                self._last[channel.name] = message
        if channel.topic in TRUTH_TOPICS:
            self._truth.write_bytes(recv_ns, message)
        self._hub.publish_bytes(channel.name, message)

    def _keep(self, channel: str, data: BookData) -> None:
        self._move_clock(data.timestamp)
        book = self._books.get(channel)
        if book is None:
            if not data.is_snapshot:
                return  # a change of an unknown book: the state stays unknown
            book = self._books[channel] = RecordedBook()
        book.apply(data)

    def _move_clock(self, timestamp_ms: int | None) -> None:
        if timestamp_ms is None:
            return
        first = self._clock_speed == 0.0 and self.played == 1
        # Stamps of different channels are not in order; a clock does not step back.
        self._clock_us = (
            timestamp_ms * 1_000 if first else max(self._clock_us, timestamp_ms * 1_000)
        )
        self._clock_at = time.monotonic()
        self._clock_speed = 0.0 if isinf(self._speed) else self._speed

    async def _disconnect(self) -> None:
        self.disconnects += 1
        await self._hub.drained()
        self._hub.cut_all()
        self._books.clear()
        self._last.clear()
        await self._await_followers()

    async def _await_followers(self) -> None:
        """With hold, wait until a book (or everything that was recorded) is followed."""
        while not self._followed():
            self._hub.subscribed.clear()
            await self._hub.subscribed.wait()

    def _followed(self) -> bool:
        match self._hold:
            case "first":
                return any(parse_channel(name).topic == "book" for name in self._hub.live)
            case "all":
                return self._contents.channels <= self._hub.live.keys()
        return True

    async def _give_way(self) -> None:
        """Let the sockets work; as fast as it goes means as fast as the readers read."""
        self._truth.flush()
        if isinf(self._speed):
            await self._hub.drained()
        await asyncio.sleep(0)

    def _book_of(self, instrument: str) -> RecordedBook:
        """The instrument's book from its finest channel."""
        for interval in ("raw", "100ms", "agg2"):
            book = self._books.get(f"book.{instrument}.{interval}")
            if book is not None:
                return book
        return RecordedBook()


def _fixed(what: str) -> RpcError:
    return RpcError(BAD_REQUEST, data=f"a recording cannot {what}; the model can")


def _timestamp_ms(data: bytes) -> int | None:
    try:
        stamp = _stamps.decode(data)
    except msgspec.ValidationError:
        return None  # a channel whose data has no time
    last = stamp[-1] if isinstance(stamp, list) and stamp else stamp
    return last.timestamp if isinstance(last, _Stamp) else None
