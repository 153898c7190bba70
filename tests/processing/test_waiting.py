"""A book that waits for a snapshot does not wait for ever."""

from __future__ import annotations

from app.processing.processor import SNAPSHOT_PATIENCE_MS, Outcome, Processor, Rules
from models.frame import FRAME_VERSION, Connected, Disconnected, Frame, Item, Tick

NAME = "BTC-PERPETUAL"
SECOND = 1_000


def told(processor: Processor, sequence: int, *items: Item) -> Outcome:
    return processor.feed(
        Frame(FRAME_VERSION, NAME if sequence else "", "book.x.100ms", "s-1", sequence, list(items))
    )


def ticked(processor: Processor, venue_ms: int) -> bool:
    return told(processor, 0, Tick(0, venue_ms, 0)).needs_resync


def test_without_a_snapshot_one_is_asked_for_again_and_again() -> None:
    processor = Processor(NAME, Rules((SECOND,), 250, 3_000))
    told(processor, 1, Connected(0, "w", False))
    asked = [ms for ms in range(0, 3 * SNAPSHOT_PATIENCE_MS, SECOND) if ticked(processor, 1 + ms)]
    assert asked == [SNAPSHOT_PATIENCE_MS, 2 * SNAPSHOT_PATIENCE_MS]


def test_an_instrument_whose_session_ended_is_not_asked_for() -> None:
    processor = Processor(NAME, Rules((SECOND,), 250, 3_000))
    told(processor, 1, Connected(0, "w", False))
    told(processor, 2, Disconnected(0, "unsubscribed"))
    assert processor.is_retired
    assert not any(ticked(processor, 1 + ms) for ms in range(0, 60 * SECOND, SECOND))
    told(processor, 3, Connected(0, "w", False))
    assert not processor.is_retired
