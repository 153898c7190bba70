"""A connection to the venue: what it follows, and how what it hears becomes frames.

One of several that a worker may have: each has its own client, sessions and ticks, so that one that
fails does not touch the instruments of the others.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Final

from app.errors import UserError
from app.ingest.framing import Framer
from deribit import events
from deribit.client import Client, Stamped
from deribit.decode_books_trades import instrument_of
from deribit.served_instruments import sizes_as_listed
from deribit.vocabulary import Kind, without_raw
from models import frame

log = logging.getLogger("steelyard.ingest")

SUPERSEDED: Final = "superseded"
TRADES_PREFIX: Final = f"{Kind.TRADES}."
"""Why a session ends for an instrument of which the feed has heard a later one."""

_MEND_KEY = (
    "Mend STEELYARD_CLIENT_ID and STEELYARD_CLIENT_SECRET (or STEELYARD_CLIENT_SECRET_FILE), "
    "or unset them to read without a key. The test venue (STEELYARD_TESTNET) has keys of its own. "
    "A wrong clock of this machine is not the cause: signatures carry the venue's own time."
)


class VenueRefused(UserError):
    """The venue will not serve us until a person changes something."""


@dataclass(slots=True)
class IngestCounts:
    """Counts what all connections have seen, beside the counts of their clients and the outbox."""

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


class Connection:
    """One client, and the frames of what it hears."""

    def __init__(
        self,
        client: Client,
        framer: Framer,
        counts: IngestCounts,
        *,
        on_instruments: Callable[[Iterable[events.Instrument]], None],
        on_unreadable: Callable[[events.Unreadable, str, int], None],
        on_announced: Callable[[str, frame.Notification], None],
        announcements: Callable[[], list[frame.Notification]],
        descriptions: Mapping[str, events.Instrument],
    ) -> None:
        self.client = client
        self.framer = framer
        self.partitions: frozenset[int] = frozenset()
        """The partitions that its ticks are for."""
        self.session: str | None = None
        """Name of the session while there is one."""
        self.simulated: bool | None = None
        """Whether the venue says that it is simulated; None before it was heard."""
        self.has_fallen_back = False
        """Whether this session follows 100ms channels where raw ones are wanted."""
        self.rejected: dict[str, str] = {}
        """Channels that the venue does not serve in this session, and why."""
        self.consuming: asyncio.Future[Any] | None = None
        """Done when all that the client heard has been published."""
        self._counts = counts
        self._on_instruments = on_instruments
        self._on_unreadable = on_unreadable
        self._on_announced = on_announced
        self._announcements = announcements
        self._introduced: dict[str, str | None] = {}
        """By instrument: its session in the feed that was told what had been said before."""
        self._with_trades: set[str] = set()
        """Instruments whose trades channel the venue has confirmed in this session."""
        self._descriptions = descriptions
        self._described: dict[str, events.Instrument] = {}
        """What the feed has been told of each instrument in this session."""
        self._wanted: Mapping[str, str] = {}
        self._subscribed: Set[str] = frozenset()
        self._followed: dict[str, str] = {}
        """The channels that the venue is to send, each with the book of its instrument."""
        self._has_said_fallback = False
        self._trouble: str | None = None

    def follow(self, channels: Mapping[str, str], reason: str) -> None:
        """Subscribe these channels, each with its instrument's book; give up, for this reason,
        what is not among them."""
        self._wanted = channels
        if channels.keys() != self._subscribed:
            self._subscribed = channels.keys()
            self.client.want(channels)
        if self.has_fallen_back:  # the session knows, and is still told what is really wanted
            channels = {without_raw(name): without_raw(book) for name, book in channels.items()}
        given_up = self._followed.keys() - channels.keys()
        self._followed = dict(channels)
        self.rejected = {name: why for name, why in self.rejected.items() if name in channels}
        received_ns = self.client.time_ns()
        for name in sorted(given_up):
            if name.startswith(TRADES_PREFIX) and instrument_of(name) in self._with_trades:
                self._with_trades.discard(instrument_of(name))
                self._say_trades(instrument_of(name), received_ns)
        for instrument in self.framer.open_instruments():
            book = self.framer.channel_of(instrument)
            if book is not None and channels.get(book) != book:
                self.framer.end(instrument, reason, received_ns)

    def give_up(self, instrument: str, reason: str) -> None:
        """Say in the feed that an instrument, of no session that goes on, is not followed."""
        received_ns = self.client.time_ns()
        self.framer.follow(instrument, "", received_ns)
        self.framer.end(instrument, reason, received_ns)

    def resync(self, instrument: str, session: str, is_ended: bool = False) -> bool:
        """Ask for a new snapshot of a book; False if the request is not of its present session.

        If that is taken for ended, which a worker with a later one can bring about, begin another.
        """
        channel = self.framer.channel_of(instrument)
        if channel is None or session != self.framer.session_of(instrument):
            return False
        if is_ended:
            log.warning("%s: another session has begun since; beginning a new one", instrument)
            self.framer.end(instrument, SUPERSEDED, self.client.time_ns())
        self.client.resync(channel)
        return True

    def status(self) -> dict[str, Any]:
        """Return how the connection stands, for who looks after the worker."""
        return {
            "session": self.session,
            "instruments": len(self.framer.open_instruments()),
            "channels": len(self._followed),
            "rejected_channels": len(self.rejected),
            "raw_fell_back_to_100ms": self.has_fallen_back,
        }

    def handle(self, batch: list[Stamped]) -> None:
        """Put what was heard into frames, in order."""
        followed, framer = self._followed, self.framer
        for received_ns, event in batch:
            if type(event) is not events.Notification:
                self._handle_rare(received_ns, event)
                followed = self._followed
                continue
            book = followed.get(event.channel)
            if book is None:
                self._counts.given_up += 1
                continue
            self._counts.duplicates += event.is_duplicate
            item = frame.Notification(received_ns, event.raw)
            if not book:
                self._on_announced(event.instrument, item)
                continue
            framer.add(event.instrument, book, item, received_ns, len(event.raw))

    def announce(self, instrument: str, item: frame.Notification) -> None:
        """Put what was said of an instrument, or of all (""), into the frames of who is open."""
        names = [instrument] if instrument else self.framer.open_instruments()
        for name in names:
            if (book := self.framer.channel_of(name)) is not None:
                self.framer.add(name, book, item, item.received_ns, len(item.message))

    def describe_all(self) -> None:
        """Tell the feed what is new in the descriptions of the instruments that are open."""
        received_ns = self.client.time_ns()
        for name in self.framer.open_instruments():
            self._describe(name, received_ns)

    def _introduce(self, name: str, book: str, received_ns: int) -> None:
        """Tell the feed of an instrument that is followed from now on what was said before."""
        self._describe(name, received_ns)
        session = self.framer.session_of(name)
        if self._introduced.get(name) == session:
            return  # its book is subscribed anew, after a gap
        self._introduced[name] = session
        if name in self._with_trades:
            self._say_trades(name, received_ns)
        for item in self._announcements():
            self.framer.add(name, book, item, item.received_ns, len(item.message))

    def _say_trades(self, name: str, received_ns: int) -> None:
        """Tell the feed of an instrument that is open whether its trades are followed."""
        if (book := self.framer.channel_of(name)) is not None:
            mark = frame.TradesFollowed(received_ns, name in self._with_trades)
            self.framer.add(name, book, mark, received_ns)

    def _describe(self, name: str, received_ns: int) -> None:
        described, book = self._descriptions.get(name), self.framer.channel_of(name)
        if described is None or book is None or self._described.get(name) == described:
            return
        self._described[name] = described
        linear = sizes_as_listed(described).linear  # what is followed is served
        mark = frame.Described(
            received_ns, linear, described.tick_sizes, described.price_index or ""
        )
        self.framer.add(name, book, mark, received_ns)

    def _handle_rare(self, received_ns: int, event: events.Event) -> None:
        match event:
            case events.Tick(venue_ms, quiet_ms):
                self.framer.tick(self.partitions, frame.Tick(received_ns, venue_ms, quiet_ms))
            case events.GapFound(channel, instrument, expected, found):
                self._counts.gaps += 1
                log.warning("gap on %s: expected %s, found %s", channel, expected, found)
                if book := self._followed.get(channel):
                    mark = frame.GapFound(received_ns, channel, expected, found)
                    self.framer.add(instrument, book, mark, received_ns, len(channel))
                    if channel != book:  # a mark makes the book wait for a snapshot, so ask for it
                        self.client.resync(book)
            case events.Subscribed(channels):
                for channel in channels:
                    instrument, book = instrument_of(channel), self._followed.get(channel)
                    if book == channel:
                        self.framer.follow(instrument, channel, received_ns)
                        self._introduce(instrument, channel, received_ns)
                    elif book and channel.startswith(TRADES_PREFIX):
                        self._with_trades.add(instrument)
                        self._say_trades(instrument, received_ns)
            case events.Connected():
                self._connected(event)
            case events.Disconnected(reason, detail):
                self._disconnected(reason, detail, received_ns)
            case events.Instruments(instruments):
                self._on_instruments(instruments)
            case events.Rejected(channels, reason):
                self._counts.rejected += len(channels)
                self.rejected.update(dict.fromkeys(channels, reason))
                log.warning("%d channels rejected, %s: %s", len(channels), channels[0], reason)
            case events.FellBack(channels):
                self._fell_back(len(channels))
            case events.Unreadable():
                self._on_unreadable(event, self.session or "", received_ns)
            case events.Failed(method, code, message):
                self._counts.errors[code] += 1
                log.warning("the venue answered %s with error %d %s", method, code, message)
            case events.Fatal(detail):
                raise VenueRefused(f"the venue refuses the API key ({detail}). {_MEND_KEY}")

    def _connected(self, connected: events.Connected) -> None:
        session, simulated = connected.session, connected.simulated
        self.session, self.simulated = session, simulated
        self._counts.sessions += 1
        self.rejected.clear()
        self.framer.begin(session, simulated, connected.venue)
        self._described.clear()
        self._introduced.clear()
        self._with_trades.clear()
        self._trouble = None
        self.has_fallen_back = False
        self.follow(self._wanted, "resubscribed")
        log.info("connected to %s, session %s", connected.venue, session)

    def _disconnected(self, reason: str, detail: str, received_ns: int) -> None:
        self.framer.end_all(reason, received_ns)
        if reason == "stopped":
            log.info("session %s closed", self.session)
        elif self._trouble != reason:  # one line, however often connecting fails
            log.warning("not connected to the venue (%s): %s", reason, detail)
            self._trouble = reason
        self.session = None

    def _fell_back(self, count: int) -> None:
        self.has_fallen_back = True
        self.follow(self._wanted, "resubscribed")
        if not self._has_said_fallback:  # not again in each of its later sessions
            self._has_said_fallback = True
            log.warning("raw needs an API key: %d channels are followed at 100ms instead", count)
