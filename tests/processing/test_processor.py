"""What the processor makes of frames, apart from what their messages say."""

import pytest

from app.processing.processor import SESSIONS_REMEMBERED, Processor, Rules
from app.processing.state_codec import BooksCodec
from faust_exact.state_record import BadRecord
from models.frame import (
    FRAME_VERSION,
    Connected,
    Disconnected,
    Frame,
    GapFound,
    Notification,
    Tick,
)
from tests.processing.market import START_MS, message

RULES = Rules((1_000,), 250, 3_000)


class Feed:
    def __init__(self, name="BTC-PERPETUAL", price=100.0):
        self.name, self.price = name, price
        self.channel = f"book.{name}.100ms"
        self.processor = Processor(name, RULES)

    def frame(self, session, sequence, *items, channel=None):
        name = self.name if sequence else ""
        channel = channel or self.channel
        return self.processor.feed(
            Frame(FRAME_VERSION, name, channel, session, sequence, list(items))
        )

    def book(self, at_ms, change_id, previous=None, size=5.0, channel=None):
        data = {
            "timestamp": START_MS + at_ms,
            "change_id": change_id,
            "prev_change_id": previous,
            "type": "change" if previous else "snapshot",
            "instrument_name": self.name,
            "bids": [["new", self.price, size]],
            "asks": [["new", self.price + 1, 4.0]],
        }
        return message(channel or self.channel, data)


def tick(clock_ms, quiet_ms=0):
    return Tick(0, START_MS + clock_ms + 3_000, quiet_ms)


@pytest.fixture
def feed():
    made = Feed()
    made.frame("a", 1, Connected(0, "w1", True), made.book(0, 1))
    return made


def test_a_frame_that_was_seen_changes_nothing(feed):
    before = feed.processor.instrument.to_record()
    assert feed.frame("a", 1, feed.book(10, 2, 1)).windows == []
    assert feed.processor.instrument.to_record() == before
    assert feed.processor.counts["duplicate_frames"] == 1


def test_a_missing_frame_is_a_gap_and_asks_for_a_snapshot(feed):
    assert feed.frame("a", 4, feed.book(10, 2, 1)).needs_resync
    assert (feed.processor.status, feed.processor.counts["lost_frames"]) == ("gap", 2)
    assert not feed.frame("a", 5, feed.book(20, 9)).needs_resync
    assert feed.processor.status == "live"


def test_a_session_that_ended_cannot_take_over_again(feed):
    feed.frame("b", 1, Connected(0, "w2", False), feed.book(10, 50))
    assert feed.processor.worker == "w2"
    before = feed.processor.instrument.to_record()
    outcome = feed.frame("a", 2, feed.book(20, 2, 1))
    assert outcome.is_of_ended
    assert feed.processor.instrument.to_record() == before
    assert feed.processor.counts["frames_of_ended_sessions"] == 1


def test_only_so_many_sessions_are_remembered(feed):
    for number in range(SESSIONS_REMEMBERED + 3):
        feed.frame(f"s{number}", 1, Connected(0, "w", False))
    assert len(feed.processor.ended) == SESSIONS_REMEMBERED


def test_ticks_count_only_in_their_session(feed):
    assert feed.frame("other", 0, tick(1_250)).windows == []
    [window] = feed.frame("a", 0, tick(1_250)).windows
    assert (window["coverage"], window["status"]) == (1.0, "complete")


def test_a_gap_that_ingest_saw_breaks_only_the_channel_it_names(feed):
    feed.frame("a", 2, GapFound(0, "book.BTC-PERPETUAL.raw", 1, 2))
    assert feed.processor.status == "live"
    feed.frame("a", 3, GapFound(0, feed.channel, 1, 2))
    assert feed.processor.status == "gap"


def test_words_for_the_state(feed):
    assert Processor("X-PERPETUAL", RULES).status == "waiting"
    feed.frame("a", 0, tick(10, 3_001))
    assert feed.processor.status == "stale"
    feed.frame("a", 2, Disconnected(0, "closed"))
    assert feed.processor.status == "resyncing"


def test_another_book_channel_is_counted_and_not_applied(feed):
    feed.frame("a", 2, feed.book(10, 2, 1, channel="book.BTC-PERPETUAL.raw"))
    assert feed.processor.counts["other_book_channels"] == 1
    assert feed.processor.instrument.book.change_id == 1


def test_windows_begin_anew_when_the_channel_changes(feed):
    raw = "book.BTC-PERPETUAL.raw"
    feed.frame("b", 1, Connected(0, "w", False), feed.book(500, 7, channel=raw), channel=raw)
    [window] = feed.frame("b", 0, tick(1_250)).windows
    assert (window["channel"], window["status"], window["coverage"]) == (raw, "partial", 0.5)
    assert (window["observations"], window["reconnects"]) == (1, 0)


def test_refused_messages_are_told_with_place_reason_and_bytes(feed):
    bad = Notification(9, b'{"method":"subscription"')
    outcome = feed.frame("a", 2, feed.book(10, 2, 1), bad)
    [(place, reason, raw)] = outcome.refused
    assert (place, raw) == (1, bad.message)
    assert "truncated" in reason
    assert feed.processor.counts["changes"] == 2


def test_a_record_holds_sums_that_are_longer_than_64_bits():
    """A linear instrument's USD are price × size in units of 1e-16: a day of them is long."""
    feed = Feed("BTC_USDC-PERPETUAL", price=83_900.5)
    feed.frame("a", 1, Connected(0, "w", False), feed.book(0, 1, size=9_999_999_999.0))
    feed.frame("a", 0, tick(900))
    codec, key = BooksCodec(RULES), feed.name.encode()
    record = codec.dump(key, feed.processor, 17)
    restored = codec.load(key, record)
    assert restored.position == 17
    assert restored.to_record() == feed.processor.to_record()


def test_a_record_of_other_rules_or_a_broken_book_is_refused(feed):
    key = feed.name.encode()
    record = BooksCodec(RULES).dump(key, feed.processor, 1)
    with pytest.raises(BadRecord, match="rules"):
        BooksCodec(Rules((1_000, 2_000), 250, 3_000)).load(key, record)
    feed.processor.instrument.book.bids.sizes.clear()
    with pytest.raises(ValueError, match="keys and sizes"):
        BooksCodec(RULES).dump(key, feed.processor, 1)
