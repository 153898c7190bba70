"""Windows that overlap, as people write them: `10s/1s`; length and hop together are their key."""

from collections import Counter

import pytest

from app.cli.compute import _rules
from app.durations import format_span, parse_span
from app.errors import UserError
from app.settings import Settings
from app.state.history_chunks import CHUNK_WINDOWS, chunk_key, chunk_number
from orderbook.windows.span import Span
from tests.checker.oracle import window_key

HOPPING = Span(10_000, 1_000)
TUMBLING = Span.tumbling(10_000)
SECOND = Span.tumbling(1_000)


@pytest.mark.parametrize(
    ("text", "span"), [("10s/1s", HOPPING), ("10s", TUMBLING), ("1m/500ms", Span(60_000, 500))]
)
def test_spans_are_read_as_they_are_written(text, span):
    assert parse_span(text) == span
    assert format_span(span) == text


@pytest.mark.parametrize("text", ["10s/3s", "1s/10s", "10s/", "/1s", "10s/1s/1s", "1h/1s", "ten"])
def test_what_is_no_span_is_refused(text):
    with pytest.raises(ValueError, match=r"duration|hop|overlap"):
        parse_span(text)


def test_the_setting_takes_several_and_refuses_what_does_not_overlap():
    found = Settings(_env_file=None, hopping="1m/5s, 10s/1s,10s/1s")
    assert found.hopping == (HOPPING, Span(60_000, 5_000))
    assert Settings(_env_file=None).hopping == ()
    for wrong in ("10s", "10s/10s", "1s/50ms", "1s/250ms"):
        with pytest.raises(ValueError, match="multiple of 100 ms"):
            Settings(_env_file=None, hopping=wrong)


def test_compute_takes_both_forms_of_length():
    rules = _rules(["10s/1s", "1s", "10s"], "250ms")
    assert (rules.lengths_ms, rules.hopping) == ((1_000, 10_000), (HOPPING,))
    assert rules.spans == (Span.tumbling(1_000), TUMBLING, HOPPING)
    assert _rules(["10s/1s"], "0").spans == (HOPPING,)
    with pytest.raises(UserError, match="--length 10s/3s: a hop of 3000 ms must be a whole part"):
        _rules(["10s/3s"], "250ms")


def test_chunks_of_instruments_begin_at_other_moments():
    names = [f"T{number}-PERPETUAL" for number in range(131)]
    begins = Counter(
        next(
            start
            for start in range(1_000, 13_000, 1_000)
            if chunk_number(name, start, SECOND) != chunk_number(name, start - 1_000, SECOND)
        )
        for name in names
    )
    assert len(begins) == CHUNK_WINDOWS
    assert max(begins.values()) < len(names) / 4


def test_history_and_verification_keep_them_apart():
    assert chunk_key("X", HOPPING, 5) == b"X|10000/1000|5"
    assert chunk_key("X", TUMBLING, 5) == b"X|10000|5"
    starts_ms = range(0, 10_000 * CHUNK_WINDOWS, 1_000)
    numbers = [chunk_number("X", start_ms, HOPPING) for start_ms in starts_ms]
    assert sorted(numbers) == numbers
    assert {numbers.count(number) for number in set(numbers[CHUNK_WINDOWS:-CHUNK_WINDOWS])} == {
        CHUNK_WINDOWS
    }
    assert chunk_number("X", starts_ms[-1] + 1_000, TUMBLING) == (
        chunk_number("X", 0, TUMBLING) + 1
    )
    window = {"instrument": "X", "channel": "c", "length_ms": 10_000, "start_ms": 0}
    assert window_key(window) != window_key(window | {"hop_ms": 1_000})
