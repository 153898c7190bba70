"""Ingest reads the venue for the partitions that this worker owns, and publishes frames.

What is subscribed follows from three things: which instruments are wanted, what the subscriptions
table says of single ones, and which partitions are owned. When Kafka is slow, publishing waits, the
client's bounded queue drops, marks and restarts books; memory does not grow and nothing is hidden.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from mode import Service

from app.framer import Framer
from app.wanted import FINEST_PUBLIC_INTERVAL, Wanted
from deribit import events
from deribit.backoff import TokenBucket
from deribit.client import Client, Stamped
from deribit.protocol import Credentials
from deribit.words import Kind, without_raw
from models import frame
from models.refused import refused_record

if TYPE_CHECKING:
    from app.settings import Settings

MAX_FRAMES_IN_FLIGHT: Final = 500
MAX_BYTES_IN_FLIGHT: Final = 16 * 1024 * 1024
MAX_REFUSED_PER_S: Final = 20.0
"""More than this of what is not understood is only counted, so that garbage cannot fill Kafka."""
REFUSED_BURST: Final = 100
NO_PARTITION: Final = -1
"""Said of a message that was refused before it reached Kafka."""
STOP_TIMEOUT_S: Final = 3.0

Publish = Callable[[bytes, bytes, int | None], Awaitable["asyncio.Future[Any] | None"]]
"""Append a record: key, value, partition. Awaiting it keeps the order of records; the future that
it answers, if any, is done when Kafka has acknowledged, and fails if Kafka has not."""
PublishRefused = Callable[[bytes, bytes], Awaitable[object]]
"""Append a record to `refused`: key, value."""

log = logging.getLogger("steelyard.ingest")


class VenueRefused(Exception):
    """The venue will not serve us until a person changes something."""


@dataclass(slots=True)
class IngestCounts:
    """What ingest has seen since it started, beside the counts of the client and the framer."""

    gaps: int = 0
    duplicates: int = 0
    sessions: int = 0
    rejected: int = 0
    unreadable: int = 0
    refused_unpublished: int = 0
    given_up: int = 0
    """Notifications of instruments that had been given up when their turn came."""
    errors: Counter[int] = field(default_factory=Counter)
    """Error replies of the venue, by code."""


class Ingest(Service):  # type: ignore[misc]  # mode has no types here
    """The long-running part of ingest: one client, and the frames of what it hears."""

    def __init__(
        self,
        client: Client,
        *,
        worker: str,
        publish: Publish,
        publish_refused: PublishRefused,
        partition_of: Callable[[str], int],
        instruments: Iterable[str] = (),
        kinds: Sequence[str] = (Kind.BOOK, Kind.TRADES, Kind.TICKER),
        book_interval: str = FINEST_PUBLIC_INTERVAL,
        linger_ms: int = 2,
        **service_options: Any,
    ) -> None:
        super().__init__(**service_options)
        self.client = client
        self.counts = IngestCounts()
        self.framer = Framer(worker, partition_of)
        self.session: str | None = None
        """Name of the session while there is one."""
        self.simulated: bool | None = None
        """Whether the venue says that it is simulated; None before it was heard."""
        self.instruments: dict[str, events.Instrument] = {}
        """All open perpetuals of the venue, as it described them last."""
        self.rejected: dict[str, str] = {}
        """Channels that the venue does not serve in this session, and why."""
        self.wanted = Wanted(partition_of, instruments, kinds, book_interval)
        self._publish = publish
        self._publish_refused = publish_refused
        self._linger_s = linger_ms / 1000
        self._followed: dict[str, str] = {}
        """The channels that the venue is to send, each with the book of its instrument."""
        self._subscribed: Set[str] = frozenset()
        self._has_fallen_back = False
        self._trouble: str | None = None
        self._refused: deque[bytes] = deque()
        self._refused_bucket = TokenBucket(MAX_REFUSED_PER_S, REFUSED_BURST)
        self._publishing = asyncio.Lock()
        self._in_flight: deque[tuple[asyncio.Future[Any], int]] = deque()
        self._bytes_in_flight = 0
        self._consuming: asyncio.Future[Any] | None = None

    @classmethod
    def from_settings(
        cls,
        configured: Settings,
        *,
        publish: Publish,
        publish_refused: PublishRefused,
        partition_of: Callable[[str], int],
    ) -> Self:
        """Return the ingest that the settings describe."""
        credentials = None
        if configured.client_id is not None and configured.client_secret is not None:
            secret = configured.client_secret.get_secret_value()
            credentials = Credentials(configured.client_id, secret)
        return cls(
            Client(configured.venue_url, configured.worker_name, credentials=credentials),
            worker=configured.worker_name,
            publish=publish,
            publish_refused=publish_refused,
            partition_of=partition_of,
            instruments=configured.instruments,
            kinds=configured.channels,
            book_interval=configured.book_interval,
            linger_ms=configured.linger_ms,
        )

    # What the application does

    def assign(self, partitions: Iterable[int]) -> asyncio.Future[Any]:
        """Own these partitions: subscribe what is in them, give up the rest.

        The future is done when the marks of what is given up are appended to the feed; who can
        wait for them, should, but not for long.
        """
        self.wanted.partitions = frozenset(partitions)
        self._choose("moved")
        flushing: asyncio.Future[Any] = self.add_future(self._flush())
        return flushing

    def override(
        self,
        instrument: str,
        enabled: bool | None,
        kinds: Sequence[str] | None = None,
        book_interval: str | None = None,
    ) -> None:
        """Ingest an instrument, or do not, or (None) as the settings say; with what channels."""
        self.wanted.override(instrument, enabled, kinds, book_interval)
        self._choose("unsubscribed")

    def resync(self, instrument: str, session: str) -> bool:
        """Ask for a new snapshot of a book; False if the request is of another session."""
        channel = self.framer.channel_of(instrument)
        if channel is None or session != self.framer.session_of(instrument):
            return False
        self.client.resync(channel)
        return True

    # The service

    async def on_start(self) -> None:
        """Start to connect, and to consume what comes."""
        self.add_future(self.client.run())
        self._consuming = self.add_future(self._consume())

    async def on_stop(self) -> None:
        """Close the session; return when its last marks are in Kafka, or after a bounded time."""
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self.client.close()
                if self._consuming is not None:
                    await asyncio.wait({self._consuming})
        except TimeoutError:
            log.error("stopped before the last frames were published: Kafka is slow or gone")

    async def _consume(self) -> None:
        while batch := await self.client.receive():
            self._handle(batch)
            if self._linger_s:
                await asyncio.sleep(self._linger_s)
                self._handle(self.client.take())
            await self._flush()
        while self._in_flight:
            await self._settle_one()

    def _handle(self, batch: list[Stamped]) -> None:
        followed, framer = self._followed, self.framer
        for received_ns, event in batch:
            if type(event) is not events.Notification:
                self._handle_rare(received_ns, event)
                followed = self._followed
                continue
            book = followed.get(event.channel)
            if book is None:
                self.counts.given_up += 1
                continue
            self.counts.duplicates += event.is_duplicate
            item = frame.Notification(received_ns, event.raw)
            framer.add(event.instrument, book, item, received_ns, len(event.raw))

    def _handle_rare(self, received_ns: int, event: events.Event) -> None:
        match event:
            case events.Tick(venue_ms, quiet_ms):
                self.framer.tick(
                    self.wanted.partitions, frame.Tick(received_ns, venue_ms, quiet_ms)
                )
            case events.GapFound(channel, instrument, expected, found):
                self.counts.gaps += 1
                log.warning("gap on %s: expected %s, found %s", channel, expected, found)
                if (book := self._followed.get(channel)) is not None:
                    mark = frame.GapFound(received_ns, channel, expected, found)
                    self.framer.add(instrument, book, mark, received_ns, len(channel))
                    if channel != book:  # a mark makes the book wait for a snapshot, so ask for it
                        self.client.resync(book)
            case events.Subscribed(channels):
                for channel in channels:
                    if self._followed.get(channel) == channel:
                        self.framer.follow(_instrument_of(channel), channel, received_ns)
            case events.Connected(simulated, session):
                self._connected(session, simulated)
            case events.Disconnected(reason, detail):
                self._disconnected(reason, detail, received_ns)
            case events.Instruments(instruments):
                self._listed(instruments)
            case events.Rejected(channels, reason):
                self.counts.rejected += len(channels)
                self.rejected.update(dict.fromkeys(channels, reason))
                log.warning("%d channels rejected, %s: %s", len(channels), channels[0], reason)
            case events.FellBack(channels):
                self._has_fallen_back = True
                self._choose("resubscribed")
                log.warning("raw needs credentials: %d channels at 100ms instead", len(channels))
            case events.Unreadable():
                self._refuse(event, received_ns)
            case events.Failed(method, code, message):
                self.counts.errors[code] += 1
                log.warning("the venue answered %s with error %d %s", method, code, message)
            case events.Fatal(detail):
                raise VenueRefused(f"{detail}. Check the client id and secret in the settings.")

    def _connected(self, session: str, simulated: bool) -> None:
        self.session, self.simulated = session, simulated
        self.counts.sessions += 1
        self.rejected.clear()
        self.framer.begin(session, simulated)
        self._trouble = None
        self._has_fallen_back = False
        self._choose("resubscribed")
        log.info("connected to the %s, session %s", _venue(simulated), session)

    def _disconnected(self, reason: str, detail: str, received_ns: int) -> None:
        self.framer.end_all(reason, received_ns)
        if reason == "stopped":
            log.info("session %s closed", self.session)
        elif self._trouble != reason:  # one line, however often connecting fails
            log.warning("not connected to the venue (%s): %s", reason, detail)
            self._trouble = reason
        self.session = None

    def _listed(self, instruments: Iterable[events.Instrument]) -> None:
        listed = {instrument.instrument_name: instrument for instrument in instruments}
        if not listed:
            log.warning("the venue lists no open perpetual: the last list stays in use")
            return
        if listed.keys() != self.instruments.keys():
            log.info("the venue lists %d open perpetuals", len(listed))
        self.instruments = listed
        self.wanted.listed = tuple(listed)
        self._choose("delisted")

    def _choose(self, reason: str) -> None:
        """Subscribe what is wanted now; give up, for this reason, what is not."""
        channels = self.wanted.channels()
        if channels.keys() != self._subscribed:
            self._subscribed = channels.keys()
            self.client.want(channels)
        if self._has_fallen_back:  # the session knows, and is still told what is really wanted
            channels = {without_raw(name): without_raw(book) for name, book in channels.items()}
        self._followed = channels
        received_ns = self.client.time_ns()
        for instrument in self.framer.open_instruments():
            book = self.framer.channel_of(instrument)
            if book is not None and channels.get(book) != book:
                self.framer.end(instrument, reason, received_ns)

    # Kafka

    async def _flush(self) -> None:
        """Publish what there is, in order; wait while too much of it is unacknowledged."""
        async with self._publishing:
            for record in self.framer.take():
                future = await self._publish(*record)
                if future is not None:
                    self._in_flight.append((future, len(record.value)))
                    self._bytes_in_flight += len(record.value)
                while self._in_flight and (
                    len(self._in_flight) > MAX_FRAMES_IN_FLIGHT
                    or self._bytes_in_flight > MAX_BYTES_IN_FLIGHT
                    or self._in_flight[0][0].done()
                ):
                    await self._settle_one()
            while self._refused:
                await self._publish_refused(b"", self._refused.popleft())

    async def _settle_one(self) -> None:
        """Wait for the oldest record to be acknowledged; one that is not is an error of ours."""
        future, size = self._in_flight.popleft()
        self._bytes_in_flight -= size
        await future

    def _refuse(self, event: events.Unreadable, received_ns: int) -> None:
        self.counts.unreadable += 1
        if self._refused_bucket.take(received_ns / 1e9):
            value = refused_record(
                reason=event.reason,
                instrument="",
                session=self.session or "",
                topic="",
                partition=NO_PARTITION,
                offset=None,
                place=0,
                message=event.raw,
            )
            self._refused.append(value)
        else:
            self.counts.refused_unpublished += 1


def _instrument_of(channel: str) -> str:
    return channel.split(".")[1]


def _venue(simulated: bool) -> str:
    return "SIMULATED venue" if simulated else "venue"
