"""A running system's books against a replay of its feed, and against the venue's own books.

All three move on while they are compared. So the feed is not applied while the others are asked;
then it is read on, and each book is compared when the replay stands at exactly that change_id. What
does not meet, because a channel tells only every so many changes, is asked for again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from app.verify.plain_book import PlainBook, parse
from app.verify.records import Record, consumer, partitions_of, records_of, stream
from app.verify.strays import is_stray
from models.frame import Notification, decode_frame

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, TopicPartition

MAX_ROUNDS: Final = 12
ROUND_TIMEOUT_S: Final = 5.0
POLL_MS: Final = 100
MAX_DIFFERENCES: Final = 3

Sides = tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]


@dataclass(frozen=True, slots=True)
class Claim:
    """A book as one party has it."""

    change_id: int
    sides: Sides
    is_whole: bool = True
    """Whether these are all levels, or the best so many."""


Ask = Callable[[str], Awaitable[Claim | None]]
"""Return an instrument's book as somebody has it now; None while there is none, NotAnswered if
that cannot be known."""


class NotAnswered(Exception):
    """Somebody does not say what a book is; the text says why."""


@dataclass(slots=True)
class Verdict:
    """The result of comparing one instrument with one other party."""

    instrument: str
    party: str
    """`system` or `venue`."""
    status: str = "waiting"
    """`equal`, `different`, or why it could not be compared: `no book`, `never met`,
    `no snapshot` in what was read of the feed, or why nobody answered."""
    change_id: int | None = None
    levels: int = 0
    differences: list[str] = field(default_factory=list)


class Compared(NamedTuple):
    """All verdicts, and how many frames of the feed were refused."""

    verdicts: list[Verdict]
    strays: int


class Replay:
    """The books of some instruments of a feed, in the plainest way."""

    def __init__(self, names: Iterable[str], partitions: int) -> None:
        self.names = frozenset(names)
        self.partitions = partitions
        self.strays = 0
        """Frames in a partition that is not their instrument's, which workers refuse, too."""
        self.books: dict[str, PlainBook] = {}
        self.on_change: Callable[[str, PlainBook], None] = lambda name, book: None

    def apply(self, records: Iterable[Record]) -> None:
        """Apply records of the feed, in order."""
        for record in records:
            try:
                frame = decode_frame(record.value or b"")
            except ValueError:
                continue
            if is_stray(frame, record.partition, self.partitions):
                self.strays += 1
                continue
            if frame.instrument not in self.names:
                continue
            for item in frame.items:
                if isinstance(item, Notification) and (parsed := parse(item.message)) is not None:
                    channel, data = parsed
                    if channel == frame.channel:
                        self._follow(frame.instrument, data)

    def _follow(self, name: str, data: dict[str, Any]) -> None:
        book = self.books.setdefault(name, PlainBook())
        previous = data.get("prev_change_id")
        if previous and previous != book.change_id:
            return  # a duplicate, or a gap: the snapshot after it is waited for
        book.apply(data)
        self.on_change(name, book)


class Comparison:
    """Claims that wait for the replay to stand where they do."""

    def __init__(self, replay: Replay, parties: dict[str, Ask], names: Iterable[str]) -> None:
        self.replay = replay
        self.parties = parties
        self.verdicts = {(name, party): Verdict(name, party) for name in names for party in parties}
        self._claims: dict[str, dict[str, Claim]] = {}
        replay.on_change = self._meet

    async def run(self, client: AIOKafkaConsumer, partitions: list[TopicPartition]) -> None:
        """Ask and read on, round after round, until everything has met or the rounds are over."""
        for _ in range(MAX_ROUNDS):
            waiting = [key for key, verdict in self.verdicts.items() if not _is_settled(verdict)]
            if not waiting:
                return
            await asyncio.gather(*(self._ask(name, party) for name, party in waiting))
            await self._read_on(client, partitions)
        for verdict in self.verdicts.values():
            if verdict.status == "waiting":
                book = self.replay.books.get(verdict.instrument)
                has_begun = book is not None and book.change_id is not None
                verdict.status = "never met" if has_begun else "no snapshot"

    async def _ask(self, name: str, party: str) -> None:
        verdict = self.verdicts[name, party]
        try:
            claim = await self.parties[party](name)
        except NotAnswered as error:
            verdict.status = str(error)
            return
        if claim is None:
            verdict.status = "no book"
            return
        verdict.status = "waiting"
        self._claims.setdefault(name, {})[party] = claim
        if (book := self.replay.books.get(name)) is not None:
            self._meet(name, book)

    async def _read_on(self, client: AIOKafkaConsumer, partitions: list[TopicPartition]) -> None:
        deadline = asyncio.get_running_loop().time() + ROUND_TIMEOUT_S
        while self._claims and asyncio.get_running_loop().time() < deadline:
            self.replay.apply(records_of(await client.getmany(*partitions, timeout_ms=POLL_MS)))
        self._claims.clear()

    def _meet(self, name: str, book: PlainBook) -> None:
        claims = self._claims.get(name)
        if not claims or book.change_id is None:
            return
        for party, claim in list(claims.items()):
            if book.change_id == claim.change_id:
                _judge(self.verdicts[name, party], claim, book)
            if book.change_id >= claim.change_id:  # passed it: to be asked again
                del claims[party]
        if not claims:
            del self._claims[name]


def _is_settled(verdict: Verdict) -> bool:
    return verdict.status not in {"waiting", "no book"}


def _judge(verdict: Verdict, claim: Claim, book: PlainBook) -> None:
    verdict.change_id = claim.change_id
    verdict.differences = list(_differences(claim, book))
    verdict.status = "different" if verdict.differences else "equal"
    verdict.levels = sum(map(len, claim.sides))


def _differences(claim: Claim, book: PlainBook) -> Iterable[str]:
    found = 0
    for side, said, expected in zip(("bid", "ask"), claim.sides, book.sides(), strict=True):
        wanted = expected if claim.is_whole else expected[: len(said)]
        ours, theirs = dict(wanted), dict(said)
        for price in sorted(ours.keys() | theirs.keys()):
            if ours.get(price) != theirs.get(price):
                found += 1
                if found <= MAX_DIFFERENCES:
                    yield f"{side} {price}: {theirs.get(price)}, replayed {ours.get(price)}"


async def compare(
    kafka: str,
    topic: str,
    parties: dict[str, Ask],
    names: Iterable[str],
    on_records: Callable[[int], None] = lambda count: None,
    *,
    since_ms: int | None = None,
) -> Compared:
    """Replay the feed to its end, then compare; return a verdict per instrument and party.

    With a time since when, what Kafka took before it is not read.
    """
    names = list(names)
    async with consumer(kafka) as client:
        partitions = await partitions_of(client, topic)
        replay = Replay(names, len(partitions))
        async for batch in stream(client, partitions, since_ms):
            replay.apply(batch)
            on_records(len(batch))
        comparison = Comparison(replay, parties, names)
        await comparison.run(client, partitions)
    verdicts = comparison.verdicts.values()
    in_order = sorted(verdicts, key=lambda each: (each.instrument, each.party))
    return Compared(in_order, replay.strays)


def claim_of(bids: Any, asks: Any, change_id: int, *, is_whole: bool) -> Claim:
    """Return the claim of levels as they were decoded from JSON with decimals."""
    sides = tuple(
        [(Decimal(price), Decimal(size)) for price, size in side] for side in (bids, asks)
    )
    return Claim(change_id, (sides[0], sides[1]), is_whole)


def decode(text: str | bytes) -> Any:
    """Decode JSON without a float."""
    return json.loads(text, parse_float=Decimal)
