"""Statistics of a segment: a pure function of its lines and of where the books stood before them.

The recorder tallies what it writes and the check tallies what it reads; they must agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Self

import msgspec

from app.recordings.marks import GapMark, read_mark
from app.recordings.reader import DISCONNECT
from deribit.decode_books_trades import is_incremental_book
from deribit.envelope import UNREADABLE, Data
from deribit.sequence_check import Chain, Step


class ChannelTally(msgspec.Struct, omit_defaults=True):
    """Counts what came on one channel; change_ids and gaps are of incremental books only."""

    messages: int = 0
    snapshots: int = 0
    duplicates: int = 0
    unanchored: int = 0
    """Changes without a snapshot before them: of no use."""
    gaps: int = 0
    first_change_id: int | None = None
    last_change_id: int | None = None

    def add(self, later: ChannelTally) -> None:
        """Add what came later on the same channel."""
        self.messages += later.messages
        self.snapshots += later.snapshots
        self.duplicates += later.duplicates
        self.unanchored += later.unanchored
        self.gaps += later.gaps
        if self.first_change_id is None:
            self.first_change_id = later.first_change_id
        if later.last_change_id is not None:
            self.last_change_id = later.last_change_id


class Counts(msgspec.Struct):
    """The figures of a tally, as they stand in a manifest."""

    lines: int = 0
    messages: int = 0
    """Notifications; what is neither one nor a mark is only a line."""
    disconnects: int = 0
    gaps: int = 0
    line_bytes: int = 0
    """Length of the lines, before compression."""
    first_received_ns: int | None = None
    last_received_ns: int | None = None
    channels: dict[str, ChannelTally] = {}

    def add(self, later: Counts) -> None:
        """Add what came later."""
        self.lines += later.lines
        self.messages += later.messages
        self.disconnects += later.disconnects
        self.gaps += later.gaps
        self.line_bytes += later.line_bytes
        if self.first_received_ns is None:
            self.first_received_ns = later.first_received_ns
        if later.last_received_ns is not None:
            self.last_received_ns = later.last_received_ns
        for channel, tally in later.channels.items():
            self.channels.setdefault(channel, ChannelTally()).add(tally)


class _Params(msgspec.Struct):
    channel: str
    data: msgspec.Raw = msgspec.Raw(b"null")


class _Message(msgspec.Struct):
    params: _Params
    method: str = ""


_message = msgspec.json.Decoder(_Message)
_data = msgspec.json.Decoder(Data)


class SegmentStatistics:
    """Counts lines as they come, and follows the chain of every incremental book."""

    def __init__(self, positions: Mapping[str, int] | None = None) -> None:
        self.counts = Counts()
        self.ends_connected = False
        """Whether the last line was no disconnect."""
        self._chains: dict[str, Chain] = {}
        for channel, change_id in (positions or {}).items():
            chain = self._chains[channel] = Chain()
            chain.last, chain.is_waiting = change_id, False

    @classmethod
    def of(cls, lines: Iterable[tuple[int, bytes]], positions: Mapping[str, int]) -> Self:
        """Return the tally of some lines."""
        tally = cls(positions)
        for received_ns, message in lines:
            tally.add(received_ns, message)
        return tally

    def positions(self) -> dict[str, int]:
        """Return the change_id that each book stands at, of those that can be built on."""
        return {
            channel: chain.last
            for channel, chain in sorted(self._chains.items())
            if chain.last is not None and not chain.is_waiting
        }

    def next_segment(self) -> SegmentStatistics:
        """Return the tally of the lines that follow in another segment."""
        return SegmentStatistics(self.positions())

    def add(self, received_ns: int, message: bytes) -> None:
        """Count a line."""
        counts = self.counts
        counts.lines += 1
        counts.line_bytes += len(str(received_ns)) + len(message) + 2
        if counts.first_received_ns is None:
            counts.first_received_ns = received_ns
        counts.last_received_ns = received_ns
        self.ends_connected = message != DISCONNECT
        if message == DISCONNECT:
            counts.disconnects += 1
            self._chains.clear()
            return
        if (mark := read_mark(message)) is not None:
            if isinstance(mark, GapMark):
                self._gap(mark.channel)
                if (chain := self._chains.get(mark.channel)) is not None:
                    chain.interrupt()
            return
        try:
            read = _message.decode(message)
        except UNREADABLE:
            return
        if read.method == "subscription":
            counts.messages += 1
            self._count(read.params)

    def _count(self, params: _Params) -> None:
        channel = params.channel
        tally = self.counts.channels.setdefault(channel, ChannelTally())
        tally.messages += 1
        if not is_incremental_book(channel):
            return
        try:
            data = _data.decode(params.data)
        except UNREADABLE:
            return
        if data.change_id is None:
            return
        if tally.first_change_id is None:
            tally.first_change_id = data.change_id
        tally.last_change_id = data.change_id
        chain = self._chains.setdefault(channel, Chain())
        match chain.step(data.type, data.change_id, data.prev_change_id):
            case Step.SNAPSHOT:
                tally.snapshots += 1
            case Step.DUPLICATE:
                tally.duplicates += 1
            case Step.WAITING:
                tally.unanchored += 1
            case Step.GAP:
                self._gap(channel)
            case Step.NEXT:
                pass

    def _gap(self, channel: str) -> None:
        self.counts.gaps += 1
        self.counts.channels.setdefault(channel, ChannelTally()).gaps += 1
