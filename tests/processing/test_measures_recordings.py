"""The reference on recordings: every window of every span, byte for byte, weights included.

In `make test` the beginning of the excerpt; `TEST_WHOLE_RECORDINGS=1` compares all recordings
beside the project from their first line to their last, which takes some minutes.
"""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from app.processing.processor import Rules
from app.recordings.compute import compute
from app.recordings.reader import read_recording
from deribit.decode_books_trades import channel_of, instrument_of, is_incremental_book
from models.window import encode_window
from orderbook.windows.span import Span
from tests.reference.windows import from_recording, published, reference_windows

EXCERPT = Path(__file__).parents[1] / "data" / "coinm-ethusd-excerpt.jsonl.gz"
OTHERS = Path(__file__).parents[3] / "shared" / "data"
"""Recordings that are too large for the project."""
IS_WHOLE = os.environ.get("TEST_WHOLE_RECORDINGS") == "1"
PART_LINES = 1_800

SHORT = Rules((40, 1_000), 250, 3_000, (Span(1_000, 250),))
"""The weights of 40 ms are fitted anew each 14.4 s: twice in the part."""
FINE = Rules((10,), 0, 3_000, (Span(100, 10),))
USUAL = Rules((1_000, 10_000, 60_000), 250, 3_000, (Span(10_000, 1_000),))


def compared(lines, rules):
    """Compare all windows of a recording; return how many there are by their number of weights."""
    books = Counter(channel_of(message) for _, message in lines)
    found = Counter()
    for channel in filter(is_incremental_book, filter(None, books)):
        ours = [window for window in compute(lines, rules) if window["channel"] == channel]
        ours.sort(key=lambda w: (w["end_ms"], w["length_ms"], w.get("hop_ms", w["length_ms"])))
        theirs = reference_windows(
            from_recording(b"%d %s" % line for line in lines),
            instrument=instrument_of(channel),
            channel=channel,
            lengths_ms=rules.lengths_ms,
            hopping=rules.hopping,
            grace_ms=rules.grace_ms,
        )
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert encode_window(one) == encode_window(published(other))
            found[one["length_ms"], one["ofi_weights_windows"] or 0] += 1
    return found


def test_the_beginning_of_a_recording():
    found = compared([line[:2] for line in read_recording(EXCERPT)][:PART_LINES], SHORT)
    fits = {weights for length, weights in found if length == 40 and weights}
    assert len(fits) == 1
    assert all(weights >= 100 for weights in fits)
    assert found[1_000, 0] > 50


@pytest.mark.skipif(not OTHERS.exists(), reason="there are no recordings beside the project")
@pytest.mark.skipif(not IS_WHOLE, reason="TEST_WHOLE_RECORDINGS=1 compares whole recordings")
@pytest.mark.timeout(1_800)
def test_whole_recordings():
    for path in sorted(OTHERS.glob("*.jsonl.gz")):
        found = compared([line[:2] for line in read_recording(path)], USUAL)
        print(f"{path.name}: {found.total()} windows, 0 differences; {dict(found)}")


@pytest.mark.skipif(not OTHERS.exists(), reason="there are no captures beside the project")
def test_captures_of_the_real_venue():
    """Messages without receive times: these are made up, a millisecond apart."""
    windows = 0
    for path in sorted(OTHERS.glob("*.jsonl")):
        messages = [json.loads(text) for text in path.read_text().splitlines()]
        messages = [message.get("msg", message) for message in messages]
        lines = [
            (place * 1_000_000, json.dumps(message, separators=(",", ":")).encode())
            for place, message in enumerate(messages)
        ]
        windows += compared(lines, FINE).total()
    assert windows > 10
