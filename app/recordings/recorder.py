"""The recorder: what the venue sends on the chosen channels, byte for byte, with its breaks.

What it writes is what ingest would put into the feed: notifications, disconnects, and marks of what
else happened (app/recordings/marks.py); each break of a book is followed by its next snapshot.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from app.recordings.channel_selection import ChannelSelection
from app.recordings.manifest import Manifest
from app.recordings.marks import (
    ConnectedMark,
    GapMark,
    InstrumentMark,
    SubscribedMark,
    TickMark,
    encode_mark,
)
from app.recordings.reader import DISCONNECT
from app.recordings.segments import Line, Segments
from deribit import events
from deribit.client import Client, Stamped
from deribit.decode_books_trades import instrument_of, is_incremental_book
from deribit.served_instruments import NotServed, sizes_as_listed
from deribit.vocabulary import Kind, parse_channel

LINGER_S: Final = 0.02
"""What arrives within this time is written together."""
IDLE_S: Final = 1.0
"""After this time without an event, what was written is flushed, and the hour may be over."""

Say = Callable[[str], None]


class VenueRefused(Exception):
    """The venue will not serve us until a person changes something."""


class DiskRefused(Exception):
    """The disk takes no more; `manifest` is of the last segment, if it could still be written."""

    def __init__(self, error: OSError, manifest: Manifest | None) -> None:
        super().__init__(str(error))
        self.error = error
        self.manifest = manifest


@dataclass(slots=True)
class RecorderCounts:
    """Counts what the recorder has seen since it started."""

    messages: int = 0
    bytes: int = 0
    gaps: int = 0
    disconnects: int = 0
    unreadable: int = 0
    """Messages that the client did not understand; they are not written."""
    unwritable: int = 0
    """Messages with a line break inside, which the format cannot hold."""
    rejected: dict[str, str] = field(default_factory=dict)
    """Channels that the venue does not serve, and why."""


class Recorder:
    """Moves what one client hears into segments, until the client is closed."""

    def __init__(
        self, client: Client, choice: ChannelSelection, segments: Segments, say: Say
    ) -> None:
        self.client = client
        self.counts = RecorderCounts()
        self.channels: tuple[str, ...] = ()
        self.is_connected = False
        self._choice = choice
        self._segments = segments
        self._say = say
        self._listed: dict[str, None] = {}
        self._described: dict[str, InstrumentMark] = {}
        """What this session's lines have told of each instrument."""
        self._trouble: str | None = None

    async def run(self) -> None:
        """Record until the client is closed; the segment is ended, whatever happens.

        Raises VenueRefused, or DiskRefused.
        """
        self._choose()
        running = asyncio.create_task(self.client.run())
        try:
            await self._consume()
            await running
        except OSError as error:
            raise DiskRefused(error, self._segments.fail()) from error
        finally:
            await self.client.close()
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            try:
                self._segments.close()
            except OSError as error:
                raise DiskRefused(error, self._segments.fail()) from error

    async def _consume(self) -> None:
        # The disk is written to in a thread, so that the socket is read while it is slow; what
        # piles up meanwhile is bounded by the client's queue, which drops and marks.
        segments = self._segments
        while True:
            try:
                async with asyncio.timeout(IDLE_S):
                    batch = await self.client.receive()
            except TimeoutError:
                await asyncio.to_thread(segments.flush, self.client.time_ns())
                continue
            if not batch:
                return
            lines = self.lines_of(batch)
            await asyncio.sleep(LINGER_S)
            lines += self.lines_of(self.client.take())
            await asyncio.to_thread(segments.append, lines)

    def lines_of(self, batch: list[Stamped]) -> list[Line]:
        """Return what to write for what the client heard."""
        lines: list[Line] = []
        for received_ns, event in batch:
            message = self._message_of(event)
            if message is not None:
                lines.append((received_ns, message))
            elif type(event) is events.Instruments:
                lines += ((received_ns, mark) for mark in self._listing(event))
        return lines

    def _message_of(self, event: events.Event) -> bytes | None:
        """Return what to write for an event, if anything."""
        counts = self.counts
        match event:
            case events.Notification(channel=channel, raw=raw):
                if b"\n" in raw or b"\r" in raw:
                    counts.unwritable += 1
                    self._say(f"a message of {channel} holds a line break: it is left out")
                    if is_incremental_book(channel):
                        self.client.resync(channel)  # its own mark follows
                        return None
                    return encode_mark(GapMark(channel, None, None))
                counts.messages += 1
                counts.bytes += len(raw)
                return raw
            case events.GapFound(channel, instrument, expected, found):
                counts.gaps += 1
                self._say(f"gap on {channel}: expected {expected}, found {found}")
                self._resync_books(instrument, channel)
                return encode_mark(GapMark(channel, expected, found))
            case events.Disconnected(reason, detail):
                return self._disconnected(reason, detail)
            case events.Tick(venue_ms, quiet_ms):
                return encode_mark(TickMark(venue_ms, quiet_ms))
            case events.Subscribed(channels):
                if told := [name for name in channels if _is_told(name)]:
                    return encode_mark(SubscribedMark(told))
            case events.Connected(simulated, session):
                self._connected(simulated, session)
                return encode_mark(ConnectedMark(simulated, event.venue))
            case events.Rejected(channels, reason):
                counts.rejected |= dict.fromkeys(channels, reason)
                self._say(f"{len(channels)} channels rejected, {channels[0]}: {reason}")
            case events.FellBack(channels):
                self._say(f"raw needs credentials: {len(channels)} channels at 100ms instead")
            case events.Unreadable(_, reason):
                counts.unreadable += 1
                self._say(f"a message that is not understood is left out: {reason}")
            case events.Failed(method, code, text):
                self._say(f"the venue answered {method} with error {code} {text}")
            case events.Fatal(detail):
                raise VenueRefused(f"{detail}. Check the client id and secret in the settings.")
        return None

    def _listing(self, listing: events.Instruments) -> Iterator[bytes]:
        """Take the venue's list; yield what is new of the instruments that are recorded."""
        # Only more: what is delisted falls silent by itself.
        perpetuals = (each for each in listing.instruments if each.is_perpetual)
        self._listed |= dict.fromkeys(each.instrument_name for each in perpetuals)
        self._choose()
        recorded = {instrument_of(channel) for channel in self.channels}
        for each in listing.instruments:
            name = each.instrument_name
            if name not in recorded:
                continue
            try:
                linear = sizes_as_listed(each).linear
            except NotServed:  # it is recorded all the same; who reads it refuses it by its name
                continue
            mark = InstrumentMark(name, linear, each.tick_sizes, each.price_index or "")
            if self._described.get(name) != mark:
                self._described[name] = mark
                yield encode_mark(mark)

    def _connected(self, simulated: bool, session: str) -> None:
        self._described.clear()
        self.is_connected, self._trouble = True, None
        self._segments.simulated = bool(self._segments.simulated) or simulated
        self._say(f"connected to the {'SIMULATED ' * simulated}venue, session {session}")

    def _disconnected(self, reason: str, detail: str) -> bytes | None:
        was_connected, self.is_connected = self.is_connected, False
        if reason != "stopped" and self._trouble != reason:  # once, however often it fails
            self._say(f"not connected to the venue ({reason}): {detail}")
            self._trouble = reason
        if not was_connected:
            return None  # another attempt has failed: nothing has ended
        self.counts.disconnects += 1
        return DISCONNECT

    def _choose(self) -> None:
        channels = self._choice.channels(self._listed)
        if channels != self.channels:
            self.channels = channels
            self.client.want(channels)

    def _resync_books(self, instrument: str, broken: str) -> None:
        """Ask for the books of an instrument anew: readers take a mark as a break of them all."""
        parts = parse_channel(broken)
        if not instrument or (parts is not None and parts.is_incremental_book):
            return
        for channel in self.channels:
            other = parse_channel(channel)
            if other is not None and other.is_incremental_book and other.instrument == instrument:
                self.client.resync(channel)


def _is_told(channel: str) -> bool:
    """Return whether readers have to know since when a channel was heard."""
    return is_incremental_book(channel) or channel.startswith(f"{Kind.TRADES}.")
