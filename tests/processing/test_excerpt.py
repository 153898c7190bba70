"""A real recording: its own quotes are the oracle of the book, its prices that of the order flow.

COIN-M in Deribit framing, see tests/data/README.md; the whole recording is run where it is present.
"""

import json
from bisect import bisect_right
from collections import defaultdict
from pathlib import Path
from statistics import correlation

import pytest

from app.processing.processor import Rules
from app.recordings.compute import Tally, compute
from app.recordings.reader import read_recording
from deribit.decode_books_trades import channel_of, decode
from models.window import encode_window
from orderbook.book.book import Book
from orderbook.events import Change
from tests.reference.windows import from_recording, published, reference_windows

EXCERPT = Path(__file__).parents[1] / "data" / "coinm-ethusd-excerpt.jsonl.gz"
WHOLE = Path(__file__).parents[3] / "shared" / "data" / "coinm-ethusd-as-deribit.jsonl.gz"
NAME = "ETH-PERPETUAL"
CHANNEL = f"book.{NAME}.raw"
RULES = Rules((1_000, 10_000, 60_000), 250, 3_000)
REFERENCE_LINES = 3_000
"""The first 25 s, in 5 s; all 20,000 lines have been compared, in 35 s, without a difference."""


def quotes_and_tops(lines):
    """Return (change id, time, our top, the recording's top) after each change of the book."""
    ids, quotes, tops = [], [], []
    book = Book()
    for _, message in lines:
        if channel_of(message) == CHANNEL:
            event = decode(message)[1]
            assert isinstance(event, Change)
            assert book.apply(event) is book
            tops.append((event, book.bids.top(1)[0], book.asks.top(1)[0]))
        elif b'"channel":"quote.' in message:
            data = json.loads(message)["params"]["data"]
            ids.append(data["source_id"])
            quotes.append(
                tuple(
                    tuple(
                        round(data[f"best_{side}_{what}"] * 10**8) for what in ("price", "amount")
                    )
                    for side in ("bid", "ask")
                )
            )
    for event, bid, ask in tops:
        known = bisect_right(ids, event.change_id)
        if known:
            yield event, (bid, ask), quotes[known - 1]


@pytest.fixture(scope="module")
def lines():
    return list(read_recording(EXCERPT))


@pytest.fixture(scope="module")
def tops(lines):
    return list(quotes_and_tops(lines))


@pytest.fixture(scope="module")
def windows(lines):
    return list(compute(lines, RULES))


def test_best_prices_and_amounts_are_the_recordings_own_quotes_every_time(tops):
    assert len(tops) == 11_461
    assert sum(ours == theirs for _, ours, theirs in tops) == len(tops)


@pytest.mark.skipif(not WHOLE.exists(), reason=f"{WHOLE.name} is not here: only its excerpt is run")
def test_the_whole_recording_has_its_own_quotes_39105_times():
    found = [ours == theirs for _, ours, theirs in quotes_and_tops(read_recording(WHOLE))]
    assert (sum(found), len(found)) == (39_105, 39_105)


def test_every_line_is_accounted_for(lines):
    tally = Tally()
    assert len(list(compute(lines, RULES, tally))) == tally.windows == 184
    counts = tally.counts
    assert (tally.lines, tally.unreadable, tally.other) == (20_000, 0, 0)
    assert (counts["refused"], counts["gaps"], counts["duplicate_changes"]) == (0, 0, 0)
    assert counts["changes"] == 11_490


def test_windows_equal_the_references(lines):
    head = lines[:REFERENCE_LINES]
    theirs = reference_windows(
        from_recording(b"%d %s" % line for line in head),
        instrument=NAME,
        channel=CHANNEL,
        lengths_ms=RULES.lengths_ms,
    )
    ours = {(w["end_ms"], w["length_ms"]): encode_window(w) for w in compute(head, RULES)}
    assert len(theirs) > 20
    assert [ours[key] for key in sorted(ours)] == [encode_window(published(w)) for w in theirs]


def flow(before, after, *, wrong=False):
    """CKS's e_n of the best quotes; `wrong` is the variant of public code: −q(n) for −q(n−1)."""
    (pb0, qb0), (pa0, qa0) = before
    (pb1, qb1), (pa1, qa1) = after
    lost_bid, lost_ask = (qb1, qa1) if wrong else (qb0, qa0)
    return (
        (pb1 >= pb0) * qb1 - (pb1 <= pb0) * lost_bid - (pa1 <= pa0) * qa1 + (pa1 >= pa0) * lost_ask
    )


def flow_by_window(tops, length_ms, *, quotes=False, **variant):
    """Sum the flow by the window it happened in; `quotes` says whose best quotes to take."""
    sums, before = defaultdict(int), None
    for event, ours, theirs in tops:
        after = theirs if quotes else ours
        if before is not None:
            sums[event.timestamp_ms // length_ms * length_ms] += flow(before, after, **variant)
        before = after
    return sums


def test_order_flow_of_the_quotes_equals_that_of_the_messages(tops, windows):
    expected = flow_by_window(tops, 1_000, quotes=True)
    first = tops[0][0].timestamp_ms // 1_000 * 1_000
    compared = 0
    for window in windows:
        if window["length_ms"] == 1_000 and window["start_ms"] > first:
            assert window["ofi_usd"] == expected[window["start_ms"]] / 10**8
            compared += 1
    assert compared > 160


def test_the_wrong_rule_for_a_fall_explains_less(tops, windows):
    """Squared correlation of the order flow of 10 s with the change of the mid in them.

    The drop depends on the data: of 0.741 here 0.614 is left; over the whole recording 0.758 of
    0.763, and in windows of 1 s nothing is lost (0.623, 0.617). So this is evidence, not the
    proof: that is the worked example, which the variant gets wrong.
    """
    whole = [w for w in windows if w["length_ms"] == 10_000 and w["mid_open"] is not None]
    moves = [w["mid_close"] - w["mid_open"] for w in whole]
    wrong = flow_by_window(tops, 10_000, wrong=True)
    right_r2 = correlation([w["ofi_usd"] for w in whole], moves) ** 2
    wrong_r2 = correlation([wrong[w["start_ms"]] for w in whole], moves) ** 2
    assert right_r2 > 0.7
    assert wrong_r2 < right_r2 - 0.1


def test_the_wrong_rule_fails_where_a_bid_falls():
    before, after = ((100, 7), (101, 5)), ((99, 10), (101, 5))
    assert flow(before, after) == -7
    assert flow(before, after, wrong=True) == -10


def test_parts_add_up_to_the_whole(windows):
    by_length = defaultdict(dict)
    for window in windows:
        by_length[window["length_ms"]][window["start_ms"]] = window
    compared = 0
    for start, whole in by_length[10_000].items():
        parts = [by_length[1_000].get(start + step) for step in range(0, 10_000, 1_000)]
        if None in parts:
            continue
        compared += 1
        for name in ("observations", "trades", "ofi_usd", "buy_usd", "sell_usd", "gaps"):
            assert whole[name] == sum(part[name] for part in parts), name
        for name in ("imbalance_1_mean", "imbalance_50bp_mean", "spread_bp_mean"):
            assert whole[name] == pytest.approx(sum(part[name] for part in parts) / 10, rel=1e-12)
        assert (whole["mid_open"], whole["mid_close"]) == (
            parts[0]["mid_open"],
            parts[-1]["mid_close"],
        )
        assert whole["mid_high"] == max(part["mid_high"] for part in parts)
        assert whole["mid_low"] == min(part["mid_low"] for part in parts)
    assert compared >= 15
