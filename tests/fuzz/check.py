"""What must hold for any message at all: no crash, and refused means as if it had never come.

The second is held by comparison: a processor that refused the message must have the very record of
one that refused plain garbage, counts and all.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections import Counter
from random import Random
from typing import Any

from app.processing.processor import Processor, Rules
from deribit import events
from deribit.protocol import Session
from models.frame import FRAME_VERSION, Connected, Frame, Notification
from tests.fuzz.generate import NAME, SNAPSHOT_ID, START_MS, encode

GARBAGE = b"{"
CHANNEL = f"book.{NAME}.100ms"
SESSION = "fuzz-1"
RECEIVED_NS = START_MS * 1_000_000


class Check:
    """One processor and one session of the client, put back to the same start before each case."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        """What became of the messages."""
        self._processor = _fresh()
        _feed(self._processor, 1, Connected(RECEIVED_NS, "worker-1", True), _note(_SNAPSHOT))
        assert self._processor.status == "live"
        self._start = _image(self._processor)
        self._counts = Counter(self._processor.counts)
        _feed(self._processor, 2, _note(GARBAGE))
        self._refused = _image(self._processor)
        self._refused_record = copy.deepcopy(self._processor.to_record())
        assert self._processor.counts["refused"] == 1
        self._session = _listening()
        self._chain = _chain(self._session)

    def case(self, message: bytes) -> None:
        """Raise AssertionError, or whatever the product raises, if the message does harm."""
        self._process(message)
        self._receive(message)

    def _process(self, message: bytes) -> None:
        processor = self._processor
        # Of a refused message nothing is left but these: the case before was checked for that.
        processor.sequence = 1
        processor.counts = Counter(self._counts)
        outcome = _feed(processor, 2, _note(message))
        if outcome.refused:
            self.seen["refused"] += 1
            assert not outcome.windows
            ((place, reason, kept),) = outcome.refused
            assert (place, kept) == (0, message)
            assert reason
            # Lists are compared faster than texts; only the texts are free of tuples and lists.
            if processor.to_record() != self._refused_record:
                assert _image(processor) == self._refused, f"it left a trace: {reason}"
            return
        self.seen[f"accepted, then {processor.status}"] += 1
        if processor.instrument.is_live:
            processor.instrument.book.check()
        # What was accepted can be saved and read back.
        image = _image(processor)
        assert _image(_restored(image)) == image
        self._processor = _restored(self._start)

    def _receive(self, message: bytes) -> None:
        found = self._session.received(message, 0.1)
        assert self._session.outgoing() is not None
        if found and all(isinstance(event, events.Unreadable) for event in found):
            self.seen["unreadable"] += 1
            assert all(event.reason for event in found)
            assert _chain(self._session) == self._chain, "an unreadable message moved the chain"
            return
        self._session.tick(0.2)
        self._session = _listening()


def run(cases: int, seed: int, draw: Any, check: Check | None = None) -> Check:
    """Check so many messages that `draw` makes; on a failure, show the message."""
    random = Random(seed)
    check = check if check is not None else Check()
    for number in range(cases):
        message = draw(random)
        try:
            check.case(message)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError | KeyboardInterrupt):
                raise
            error.add_note(f"case {number} of seed {seed}: {message[:2_000]!r}")
            raise
    return check


def _listening() -> Session:
    """A session that follows a book and has its snapshot."""
    session = Session([CHANNEL])
    session.opened(0.0)
    session.received(_HELLO, 0.0)
    session.received(encode(_SNAPSHOT), 0.0)
    assert _chain(session) == (SNAPSHOT_ID, False)
    return session


def _chain(session: Session) -> tuple[int | None, bool]:
    subscription = session._feed.subscriptions.find(CHANNEL)
    assert subscription is not None
    assert subscription.chain is not None
    return subscription.chain.last, subscription.chain.is_waiting


def _restored(image: str) -> Processor:
    processor = _fresh()
    processor.restore(json.loads(image))
    return processor


def _fresh() -> Processor:
    return Processor(NAME, RULES)


def _feed(processor: Processor, sequence: int, *items: Any) -> Any:
    return processor.feed(Frame(FRAME_VERSION, NAME, CHANNEL, SESSION, sequence, list(items)))


def _note(message: Any) -> Notification:
    raw = message if isinstance(message, bytes) else encode(message)
    return Notification(RECEIVED_NS + 1_000_000, raw)


def _image(processor: Processor) -> str:
    return json.dumps(processor.to_record(), allow_nan=False)  # as the product writes its records


RULES = Rules((1_000,), 250, 3_000)
_SNAPSHOT = {
    "jsonrpc": "2.0",
    "method": "subscription",
    "params": {
        "channel": CHANNEL,
        "data": {
            "timestamp": START_MS,
            "type": "snapshot",
            "change_id": SNAPSHOT_ID,
            "instrument_name": NAME,
            "bids": [["new", 99.5, 5.0], ["new", 99.0, 3.0]],
            "asks": [["new", 100.5, 4.0], ["new", 101.0, 1.0]],
        },
    },
}
_HELLO = b'{"jsonrpc":"2.0","id":1,"result":{"version":"1.2.26"},"usOut":1723161600000000}'
