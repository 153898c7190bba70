"""Ingest reads the venue for the partitions that this worker owns, and publishes frames.

What is subscribed follows from three things: which instruments are wanted, what the subscriptions
table says of single ones, and which partitions are owned. Where that is more than one connection
should carry, there are several. When Kafka is slow, publishing waits, the clients' bounded queues
drop, mark and restart books; memory does not grow, what waits is shown, and nothing is hidden.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from mode import Service

from app.ingest.connection import Connection, IngestCounts, VenueRefused
from app.ingest.connection_assignment import ConnectionAssignment
from app.ingest.framing import Framer, Outbox
from app.ingest.linger import linger_s
from app.ingest.publisher import Publish, Publisher, PublishRefused
from app.ingest.subscription_plan import (
    FINEST_PUBLIC_INTERVAL,
    SubscriptionPlan,
    perpetuals,
    why_not,
)
from deribit import events
from deribit.client import Client, ClientCounts
from deribit.decode_books_trades import instrument_of, is_incremental_book
from deribit.limits import Limits
from deribit.vocabulary import Kind
from models.frame import MAX_ANNOUNCEMENTS, Notification

if TYPE_CHECKING:
    from app.settings import Settings

__all__ = ["Ingest", "IngestCounts", "VenueRefused"]

MAX_CHANNELS_PER_CONNECTION: Final = 500
"""131 instruments on three channels are 393: about 500 messages/s at the measured peak."""
MAX_NAMED: Final = 5
"""How many unavailable instruments, or channels that the venue does not serve, are named."""
STOP_TIMEOUT_S: Final = 3.0

MakeClient = Callable[[str], Client]
"""Make a client whose sessions carry this name."""

log = logging.getLogger("steelyard.ingest")


class Waiting(NamedTuple):
    """Counts what Kafka has not acknowledged yet; all of it is bounded (docs/operations.md)."""

    messages: int
    """Messages of the venue that wait for their turn."""
    frames: int
    """Made of messages, and not acknowledged."""
    oldest_s: float
    """Since the oldest of both was received; 0 if nothing waits."""


class Ingest(Service):  # type: ignore[misc]  # mode has no types here
    """The long-running part of ingest: connections to the venue, and the frames of what they hear.

    The first connection is always there, and the only one that asks which instruments there are;
    `another` makes the clients of more, and without it the first carries everything.
    """

    def __init__(
        self,
        client: Client,
        *,
        worker: str,
        publish: Publish,
        publish_refused: PublishRefused,
        partition_of: Callable[[str], int],
        another: MakeClient | None = None,
        channels_per_connection: int = MAX_CHANNELS_PER_CONNECTION,
        instruments: Iterable[str] = (),
        kinds: Sequence[str] = (Kind.BOOK, Kind.TRADES, Kind.TICKER),
        book_interval: str = FINEST_PUBLIC_INTERVAL,
        linger_ms: int = 2,
        followed_before: Callable[[], Iterable[str]] = tuple,
        delay_ms: Callable[[], float] = float,
        **service_options: Any,
    ) -> None:
        super().__init__(**service_options)
        self.client = client
        """The client of the first connection; all connections share its counts."""
        self.counts = IngestCounts()
        self.outbox = Outbox()
        self.instruments: dict[str, events.Instrument] = {}
        """All open futures of the venue, as it described them last."""
        self.wanted = SubscriptionPlan(partition_of, instruments, kinds, book_interval)
        self._refused: dict[str, str] = {}
        """What is asked for and not ingested, as it was last said."""
        self._worker = worker
        self._partition_of = partition_of
        self._another = another
        self._spread = ConnectionAssignment(channels_per_connection)
        self._places: dict[str, int] = {}
        self._connections: dict[int, Connection] = {}
        self._clients_made = 1
        self._said: deque[Notification] = deque(maxlen=MAX_ANNOUNCEMENTS)
        self._said_in: str | None = None
        """The session in which the venue said it of all instruments."""
        self._delay_ms = delay_ms
        """Answers how long what was heard last took until it was applied; 0 if nobody knows."""
        self._followed_before = followed_before
        """Answers the instruments of our partitions that somebody ingests, as far as their states
        know: also those of a life before this one, with other settings or another venue's list."""
        self._is_started = False
        self._publisher = Publisher(self.outbox, publish, publish_refused, self.counts)
        self._linger_s = linger_ms / 1_000
        self._connect(0, client)

    @classmethod
    def from_settings(
        cls,
        configured: Settings,
        *,
        publish: Publish,
        publish_refused: PublishRefused,
        partition_of: Callable[[str], int],
        followed_before: Callable[[], Iterable[str]] = tuple,
        delay_ms: Callable[[], float] = float,
    ) -> Self:
        """Return the ingest that the settings describe."""
        limits, counts = Limits(), ClientCounts()  # of all connections together

        def make(name: str) -> Client:
            return Client(
                configured.venue_url,
                name,
                credentials=configured.credentials,
                limits=limits,
                counts=counts,
                lists_instruments=name == configured.worker_name,
            )

        return cls(
            make(configured.worker_name),
            worker=configured.worker_name,
            publish=publish,
            publish_refused=publish_refused,
            partition_of=partition_of,
            another=make,
            channels_per_connection=configured.channels_per_connection,
            instruments=configured.instruments,
            kinds=configured.channels,
            book_interval=configured.book_interval,
            linger_ms=configured.linger_ms,
            followed_before=followed_before,
            delay_ms=delay_ms,
        )

    # What the application does

    def assign(self, partitions: Iterable[int]) -> asyncio.Future[Any]:
        """Own these partitions: subscribe what is in them, give up the rest.

        The future is done when the marks of what is given up are appended to the feed; who can
        wait for them, should, but not for long.
        """
        self.wanted.partitions = frozenset(partitions)
        self._choose("moved")
        flushing: asyncio.Future[Any] = self.add_future(self._publisher.flush())
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

    def resync(self, instrument: str, session: str, *, is_ended: bool = False) -> bool:
        """Ask for a new snapshot of a book; False if the request is of another session."""
        connection = self._connections.get(self._places.get(instrument, 0))
        return connection is not None and connection.resync(instrument, session, is_ended)

    @property
    def connections(self) -> list[Connection]:
        """The connections that are in use."""
        return list(self._connections.values())

    @property
    def session(self) -> str | None:
        """Name of a session, as long as there is one."""
        return next((one.session for one in self.connections if one.session is not None), None)

    @property
    def simulated(self) -> bool | None:
        """Return whether the venue says that it is simulated; None before it was heard."""
        return next((one.simulated for one in self.connections if one.simulated is not None), None)

    @property
    def rejected(self) -> dict[str, str]:
        """Channels that are followed and that the venue does not serve, and why."""
        return {name: why for one in self.connections for name, why in one.rejected.items()}

    def waiting(self) -> Waiting:
        """Return what was received, and is not in Kafka."""
        clients = [one.client for one in self.connections]
        frames, since_ns = self._publisher.waiting()
        since = [ns for ns in (since_ns, *(c.waiting_since_ns for c in clients)) if ns is not None]
        now_ns = self.client.time_ns()
        oldest_s = max(0, now_ns - min(since, default=now_ns)) / 1e9
        return Waiting(sum(client.waiting for client in clients), frames, oldest_s)

    def troubles(self) -> list[str]:
        """Say what is not as it should be between us and the venue.

        What was asked for and cannot be had is a trouble too, but none that waiting would mend.
        """
        connections = self.connections
        lost = sum(one.session is None for one in connections)
        troubles: list[str] = []
        if lost == len(connections):
            troubles.append("not connected to the venue")
        elif lost:
            troubles.append(f"{lost} of {len(connections)} connections to the venue are lost")
        if any(one.has_fallen_back for one in connections):
            troubles.append("the venue gives raw only with an API key: 100ms is followed instead")
        refused = self.wanted.refused()
        troubles += list(refused.values())[:MAX_NAMED]
        if len(refused) > MAX_NAMED:
            troubles.append(f"{len(refused) - MAX_NAMED} other instruments cannot be had, either")
        rejected = [name for name in self.rejected if instrument_of(name) not in refused]
        if rejected:
            names = ", ".join(rejected[:MAX_NAMED]) + ", …" * (len(rejected) > MAX_NAMED)
            troubles.append(f"the venue does not serve {len(rejected)} channels: {names}")
        return troubles

    def awaited(self) -> list[str]:
        """Return the instruments that are to have a book here: wanted, and not rejected."""
        rejected = {instrument_of(name) for name in self.rejected if is_incremental_book(name)}
        return [name for name in self.wanted.instruments() if name not in rejected]

    @property
    def knows_listing(self) -> bool:
        """Return whether the venue has said which instruments there are."""
        return bool(self.instruments)

    # The service

    async def on_start(self) -> None:
        """Start to connect, and to consume what comes."""
        self._is_started = True
        for connection in self.connections:
            self._start(connection)

    async def on_stop(self) -> None:
        """Close the sessions; return when their last marks are in Kafka, or after 3 s."""
        connections = self.connections
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await asyncio.gather(*(one.client.close() for one in connections))
                if consuming := {one.consuming for one in connections if one.consuming is not None}:
                    await asyncio.wait(consuming)
                if not self.crashed:
                    await self._publisher.settle()
        except TimeoutError:
            log.error("stopped before the last frames were published: Kafka is slow or gone")

    def _connect(self, number: int, client: Client) -> Connection:
        connection = self._connections[number] = Connection(
            client,
            Framer(self._worker, self._partition_of, self.outbox),
            self.counts,
            on_instruments=self._listed,
            on_unreadable=self._publisher.refuse,
            on_announced=self._announced,
            announcements=self._announcements_to_all,
            descriptions=self.instruments,
        )
        return connection

    def _start(self, connection: Connection) -> None:
        self.add_future(connection.client.run())
        connection.consuming = self.add_future(self._consume(connection))

    async def _consume(self, connection: Connection) -> None:
        client = connection.client
        while batch := await client.receive():
            connection.handle(batch)
            if collecting_s := linger_s(self._linger_s, self._delay_ms()):
                await asyncio.sleep(collecting_s)
                connection.handle(client.take())
            await self._publisher.flush()

    # What is wanted

    def _listed(self, instruments: Iterable[events.Instrument]) -> None:
        listed = {instrument.instrument_name: instrument for instrument in instruments}
        if not listed:
            log.warning("the venue lists no open future: the last list stays in use")
            return
        if listed.keys() != self.instruments.keys():
            served, others = perpetuals(listed)
            log.info("the venue lists %d open futures, %d perpetuals", len(listed), len(served))
            for name in others:  # nobody has asked for it by name
                log.info("%s", why_not(name, listed))
        self.instruments.clear()  # the connections look into it
        self.instruments.update(listed)
        self.wanted.listed = self.instruments
        self._choose("delisted")
        for connection in self.connections:
            connection.describe_all()

    def _announced(self, instrument: str, item: Notification) -> None:
        """Hand on what the venue says of an instrument, or of all, on a channel about many.

        What is said of all is kept for those that are followed later in the session: the venue's
        first word comes before its list of instruments.
        """
        if not instrument:
            session = self._connections[0].session
            if self._said_in != session:
                self._said_in = session
                self._said.clear()
            self._said.append(item)
        for number, connection in self._connections.items():
            if not instrument or number == self._places.get(instrument, 0):
                connection.announce(instrument, item)

    def _announcements_to_all(self) -> list[Notification]:
        """Return what the venue has said of all instruments in the session that goes on."""
        return list(self._said) if self._said_in == self._connections[0].session else []

    def _choose(self, reason: str) -> None:
        """Subscribe what is wanted now; give up, for this reason, what is not."""
        self._say_refused()
        channels = self.wanted.channels()
        instruments = {name: instrument_of(name) for name in channels}
        if self._another is not None:
            self._places = self._spread.place(Counter(filter(None, instruments.values())))
        shares: dict[int, dict[str, str]] = {number: {} for number in self._connections}
        partitions: dict[int, set[int]] = {}
        for name, book in channels.items():
            number = self._places.get(instruments[name], 0)
            shares.setdefault(number, {})[name] = book
            if instruments[name]:
                partition = self._partition_of(instruments[name])
                partitions.setdefault(number, set()).add(partition)
        for number, share in shares.items():
            connection = self._connections.get(number) or self._connect_another(number)
            connection.partitions = frozenset(partitions.get(number, ()))
            connection.follow(share, reason)
            if number and not share:
                del self._connections[number]
                self.add_future(connection.client.close())
        # Partitions without an instrument have ticks too: they say that the venue is heard.
        self._connections[0].partitions = self.wanted.partitions
        self._give_up_strangers()

    def _say_refused(self) -> None:
        """Say once what is asked for and not ingested."""
        refused = self.wanted.refused()
        for name, why in refused.items():
            if self._refused.get(name) != why:
                log.warning("%s", why)
        self._refused = refused

    def _give_up_strangers(self) -> None:
        """End, in the feed, what was ingested before and is not wanted any more.

        Nobody else would: it waited for a snapshot for ever, and no worker was quite well.
        """
        first = self._connections[0]
        if first.session is None or not self.wanted.listed:
            return
        wanted = set(self.wanted.instruments())
        for name in self._followed_before():
            if name in wanted or any(one.framer.knows(name) for one in self.connections):
                continue
            reason = "unsubscribed" if name in self.wanted.listed else "delisted"
            log.info("%s is not ingested any more: %s", name, reason)
            first.give_up(name, reason)

    def _connect_another(self, number: int) -> Connection:
        assert self._another is not None
        self._clients_made += 1  # a name is not used again: what it says of old sessions stays true
        connection = self._connect(number, self._another(f"{self._worker}.{self._clients_made}"))
        if self._is_started:
            self._start(connection)
        return connection
