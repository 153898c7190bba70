"""The tally: counts and chains of lines, the same however they are cut into segments."""

from __future__ import annotations

import random

from app.recordings.marks import GapMark, encode_mark
from app.recordings.statistics import ChannelTally, Counts, SegmentStatistics
from tests.recordings.made import BOOK, START_NS, book, chain, each_second, notification

OTHER = "book.ETH-PERPETUAL.100ms"
TRADES = "trades.BTC-PERPETUAL.100ms"


def tally_of(raws: list[bytes]) -> SegmentStatistics:
    return SegmentStatistics.of(each_second(raws), {})


def test_counts_times_and_ids_of_whole_chains() -> None:
    lines = each_second([*chain(4), notification(TRADES, []), b'{"id":1,"result":"ok"}', b"null"])
    tally = SegmentStatistics.of(lines, {})
    assert tally.counts == Counts(
        lines=7,
        messages=5,
        disconnects=1,
        gaps=0,
        line_bytes=sum(len(b"%d %b\n" % line) for line in lines),
        first_received_ns=START_NS,
        last_received_ns=START_NS + 6 * 10**9,
        channels={
            BOOK: ChannelTally(4, snapshots=1, first_change_id=10, last_change_id=13),
            TRADES: ChannelTally(1),
        },
    )
    assert not tally.ends_connected
    assert tally.positions() == {}


def test_a_missing_change_is_one_gap_and_what_follows_is_unanchored() -> None:
    tally = tally_of([book(10), book(12, 11), book(13, 12), book(14, 13), book(20), book(21, 20)])
    found = tally.counts.channels[BOOK]
    assert (found.gaps, found.unanchored, found.snapshots) == (1, 2, 2)
    assert tally.counts.gaps == 1
    assert tally.positions() == {BOOK: 21}


def test_a_mark_is_a_gap_of_its_channel_only() -> None:
    mark = encode_mark(GapMark(BOOK, 10, 12))
    tally = tally_of([book(10), book(5, channel=OTHER), mark, book(11, 10), book(6, 5, OTHER)])
    assert tally.counts.channels[BOOK].gaps == 1
    assert tally.counts.channels[BOOK].unanchored == 1
    assert tally.counts.channels[OTHER].gaps == 0
    assert tally.positions() == {OTHER: 6}


def test_after_a_disconnect_a_change_has_nothing_to_follow() -> None:
    tally = tally_of([book(10), b"null", book(11, 10)])
    assert tally.counts.channels[BOOK].unanchored == 1
    assert tally.counts.gaps == 0


def test_duplicates_are_counted_and_break_nothing() -> None:
    tally = tally_of([book(10), book(11, 10), book(11, 10), book(12, 11)])
    assert tally.counts.channels[BOOK].duplicates == 1
    assert tally.counts.gaps == 0


def test_a_recording_cut_anywhere_tallies_to_the_same() -> None:
    seed = 11
    print(f"seed {seed}")
    rng = random.Random(seed)
    raws: list[bytes] = []
    for channel in (BOOK, OTHER):
        last = 10
        raws.append(book(last, channel=channel))
        for _ in range(60):
            kind = rng.random()
            if kind < 0.05:
                raws.append(b"null")
            elif kind < 0.1:
                raws.append(encode_mark(GapMark(channel, last, None)))
            elif kind < 0.2:
                last += 3
                raws.append(book(last, channel=channel))
            else:
                previous, last = last + (kind > 0.9), last + 2
                raws.append(book(last, previous, channel))
    lines = each_second(raws)
    whole = SegmentStatistics.of(lines, {})
    assert whole.counts.gaps > 5
    for _ in range(50):
        cut = rng.randrange(1, len(lines))
        first = SegmentStatistics.of(lines[:cut], {})
        second = first.next_segment()
        for line in lines[cut:]:
            second.add(*line)
        merged = Counts()
        merged.add(first.counts)
        merged.add(second.counts)
        assert merged == whole.counts
        assert second.positions() == whole.positions()
