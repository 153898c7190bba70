"""The reference on a real recording, whose own quotes are the oracle of the rebuilt book."""

import gzip
import json
from bisect import bisect_right
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from tests.reference.windows import from_recording, history_of, published, reference_windows

EXCERPT = Path(__file__).parents[1] / "data" / "coinm-ethusd-excerpt.jsonl.gz"
INSTRUMENT = "ETH-PERPETUAL"
CHANNEL = f"book.{INSTRUMENT}.raw"
BEST = ("best_bid_price", "best_bid_amount", "best_ask_price", "best_ask_amount")
QUOTED_MESSAGES = 10_000
"""Half of the excerpt: 5,800 books to compare, in 4 s."""
ADDITIVITY_MESSAGES = 6_000
"""The first 50 s: three windows of 10 s that are whole."""


@pytest.fixture(scope="module")
def items():
    with gzip.open(EXCERPT) as lines:
        return list(from_recording(lines))


def test_every_best_price_and_amount_is_the_recordings_own_quote(items):
    quotes = {}
    for item in items:
        if item[0] == "message" and b'"channel":"quote.' in item[2]:
            quote = json.loads(item[2], parse_float=Decimal)["params"]["data"]
            quotes[quote["source_id"]] = tuple(quote[name] for name in BEST)
    order = sorted(quotes)
    compared = 0
    history = history_of(items[:QUOTED_MESSAGES], instrument=INSTRUMENT, channel=CHANNEL)
    for seen in history.observations:
        known = bisect_right(order, seen.change_id)
        if known:
            bid, ask = seen.after.bids[0], seen.after.asks[0]
            best = (bid.price, bid.amount, ask.price, ask.amount)
            assert best == quotes[order[known - 1]], f"change_id {seen.change_id}"
            compared += 1
    assert compared > 5_000


def test_sums_and_time_integrals_of_the_parts_are_those_of_the_whole(items):
    found = reference_windows(
        items[:ADDITIVITY_MESSAGES],
        instrument=INSTRUMENT,
        channel=CHANNEL,
        lengths_ms=[1_000, 10_000],
    )
    seconds = {window["start_ms"]: window for window in found if window["length_ms"] == 1_000}
    wholes = [window for window in found if window["length_ms"] == 10_000]
    assert sum(window["status"] == "complete" for window in wholes) >= 3
    for whole in wholes:
        starts = range(whole["start_ms"], whole["end_ms"], 1_000)
        parts = [seconds[start] for start in starts if start in seconds]
        assert whole["observations"] == sum(part["observations"] for part in parts)
        for name in ("ofi_usd", "trades", "trade_flow_usd"):
            assert whole[name] == sum(part[name] or 0 for part in parts)
        assert 10 * whole["trades_coverage"] == sum(part["trades_coverage"] for part in parts)
        for level in range(10):
            total = sum(part["ofi_levels_usd"][level] for part in parts)
            assert whole["ofi_levels_usd"][level] == total
        for name in ("imbalance_1_mean", "imbalance_50bp_mean", "bid_depth_25bp_usd_mean"):
            integral = sum(part[name] * part["coverage"] for part in parts)
            assert whole[name] * whole["coverage"] == integral / Fraction(10)
        assert whole["mid_high"] == max(part["mid_high"] for part in parts)
        assert whole["mid_close"] == parts[-1]["mid_close"]


def test_what_is_published_reads_back_as_the_same_doubles(items):
    windows = reference_windows(
        items[:2_000], instrument=INSTRUMENT, channel=CHANNEL, lengths_ms=[1_000]
    )
    assert windows
    for window in windows:
        record = published(window)
        assert json.loads(json.dumps(record)) == record
        assert list(record) == list(window)
