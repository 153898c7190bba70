"""The audit: quotes agree with a right book now and then, with a wrong one never."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.processing.processor import Rules
from app.processing.quote_audit import MAX_HELD, MIN_IN_A_ROW, MIN_LASTING_MS, QuoteAudit
from app.recordings.compute import Tally, compute
from app.recordings.reader import read_recording
from deribit.decode_quotes_states import Quote
from tests.processing.market import Market

EXCERPT = Path(__file__).parents[1] / "data" / "coinm-ethusd-excerpt.jsonl.gz"
ASK = (101, 4)
SECOND = 1_000


def quote(at_ms: int, price: int, size: int = 5) -> Quote:
    return Quote(at_ms, (price, size), ASK)


def audit_of(*bids: int) -> QuoteAudit:
    audit = QuoteAudit()
    for price in bids:
        audit.observe((price, 5), ASK)
    return audit


def counts(audit: QuoteAudit) -> tuple[int, int, int]:
    return audit.agreed, audit.unmatched, audit.failed


def between(audit: QuoteAudit) -> int:
    return audit.counts()["quotes_between_updates"]


def test_a_quote_agrees_with_the_present_top_and_the_one_before() -> None:
    audit = audit_of(98, 99, 100)
    assert not audit.quote(quote(0, 100))
    assert not audit.quote(quote(0, 99))
    assert counts(audit) == (2, 0, 0)
    audit.quote(quote(0, 98))
    audit.observe((101, 5), ASK)
    assert (counts(audit), between(audit)) == ((2, 0, 0), 0), "undecided until another agrees"
    audit.quote(quote(0, 101))
    assert (counts(audit), between(audit)) == ((3, 0, 0), 1)


def test_a_quote_agrees_with_the_next_top() -> None:
    audit = audit_of(98)
    for price in (99, 100, 99):
        audit.quote(quote(0, price))
    audit.observe((100, 5), ASK)
    assert (counts(audit), between(audit)) == ((1, 0, 0), 2)


def test_price_and_size_of_both_sides_are_compared() -> None:
    audit = audit_of(100)
    audit.quote(quote(0, 100, size=6))
    audit.quote(Quote(0, (100, 5), (101, 5)))
    audit.quote(Quote(0, (100, 5), (102, 4)))
    audit.observe((90, 5), ASK)
    assert counts(audit) == (0, 0, 0)
    audit.quote(quote(0, 90))
    assert (counts(audit), between(audit)) == ((1, 0, 0), 3)


def test_a_message_that_leaves_the_top_alone_is_no_next_top() -> None:
    audit = audit_of(100)
    audit.quote(quote(0, 99))
    audit.observe((100, 5), ASK)
    audit.observe((99, 5), ASK)
    assert counts(audit) == (1, 0, 0)


def failing_at(audit: QuoteAudit, spacing_ms: int, from_ms: int = 0) -> int | None:
    """Return the number of the wrong quote at which the book is given up."""
    for number in range(1, 200):
        if audit.quote(quote(from_ms + (number - 1) * spacing_ms, 77)):
            return number
    return None


def test_only_a_disagreement_that_lasts_gives_the_book_up() -> None:
    assert failing_at(audit_of(100), MIN_LASTING_MS * 10) == MIN_IN_A_ROW
    assert failing_at(audit_of(100), MIN_LASTING_MS // 30) == 31
    assert failing_at(audit_of(100), 1) is None


def test_one_quote_that_agrees_begins_the_count_anew() -> None:
    audit = audit_of(100)
    for number in range(40):
        wrong = number % (MIN_IN_A_ROW - 1)
        assert not audit.quote(quote(number * SECOND, 77 if wrong else 100))
    assert audit.failed == 0
    assert audit.agreed == 10


def test_a_book_that_is_given_up_in_vain_is_left_alone_for_longer() -> None:
    audit = audit_of(100)
    assert failing_at(audit, SECOND) == MIN_IN_A_ROW
    audit.observe((100, 5), ASK)
    assert failing_at(audit, SECOND) == 2 * MIN_LASTING_MS // SECOND + 1
    audit.observe((100, 5), ASK)
    audit.quote(quote(0, 100))
    assert failing_at(audit, SECOND) == MIN_IN_A_ROW


@pytest.mark.parametrize(
    "stated", [Quote(0, None, ASK), Quote(0, (100, 5), None), Quote(0, None, None)]
)
def test_a_side_that_is_stated_as_empty_says_nothing(stated: Quote) -> None:
    audit = audit_of(100)
    for at_ms in range(0, 60 * SECOND, SECOND):
        assert not audit.quote(Quote(at_ms, stated.bid, stated.ask))
    assert audit.unmatched == 0
    assert audit.agreed == (60 if stated.bid or stated.ask else 0)


def test_quotes_say_nothing_about_a_book_that_is_not_live() -> None:
    audit = audit_of(100)
    audit.quote(quote(0, 77))
    audit.interrupt()
    assert failing_at(audit, SECOND) is None
    assert counts(audit) == (0, 0, 0)


def test_what_is_held_is_bounded() -> None:
    audit = audit_of(100)
    for number in range(10 * MAX_HELD):
        audit.quote(quote(0, 1_000 + number))
    assert len(audit.to_record()[3]) == MAX_HELD
    audit.observe((1_000, 5), ASK)  # forgotten long ago
    assert audit.agreed == 0
    audit.quote(quote(0, 1_000))
    assert (counts(audit), between(audit)) == ((1, 0, 0), 10 * MAX_HELD)


def test_what_a_wrong_book_was_contradicted_by_is_unmatched_and_nothing_else_is() -> None:
    audit = audit_of(100)
    audit.quote(quote(0, 55))
    audit.quote(quote(10, 100))
    number = failing_at(audit, SECOND, 20)
    assert number == MIN_IN_A_ROW
    assert (counts(audit), between(audit)) == ((1, number, 1), 1)


def test_what_was_undecided_when_the_book_broke_is_never_counted() -> None:
    audit = audit_of(100)
    audit.quote(quote(0, 55))
    audit.interrupt()
    audit.observe((100, 5), ASK)
    audit.quote(quote(0, 100))
    assert (counts(audit), between(audit)) == ((1, 0, 0), 0)


def test_a_record_holds_all_that_the_future_depends_on() -> None:
    audit = audit_of(99, 100)
    audit.quote(quote(0, 77))
    audit.quote(Quote(0, None, (1, 1)))
    restored = QuoteAudit()
    restored.restore(json.loads(json.dumps(audit.to_record())))
    for each in (audit, restored):
        assert failing_at(each, SECOND, 500) == 4
    assert restored.to_record() == audit.to_record()


# Through the processor


def test_a_book_that_the_venue_contradicts_is_a_gap_and_asks_for_a_snapshot() -> None:
    market = Market()
    for at_ms in range(0, 3_000, 500):
        assert not market.quote(at_ms, size=6.0).needs_resync
        assert market.processor.status == "live"
    assert market.quote(3_000, size=6.0).needs_resync
    assert market.processor.status == "gap"
    market.book(3_100, "snapshot", size=6.0)
    assert not market.quote(3_200, size=6.0).needs_resync
    assert market.processor.status == "live"
    windows = [w for w in market.tick(14_000).windows if w["length_ms"] == 10_000]
    assert [(w["status"], w["gaps"]) for w in windows] == [("gap", 1)]
    assert counts(market.processor.audit) == (1, 7, 1)


def test_a_ticker_audits_too_and_a_trimmed_one_does_not() -> None:
    market = Market()
    best = {"best_bid_price": 100.0, "best_bid_amount": 5.0}
    for at_ms in range(0, 9_000, 1_000):
        market.ticker(at_ms, **best)
    assert counts(market.processor.audit) == (0, 0, 0)
    best |= {"best_ask_price": 102.0, "best_ask_amount": 4.0}
    given_up = [market.ticker(at_ms, **best).needs_resync for at_ms in range(0, 5_000, 1_000)]
    assert given_up == [False, False, False, False, True]


def test_a_book_that_stands_while_quotes_move_is_given_up() -> None:
    market = Market()
    moves = [market.quote(at_ms, bid=100.0 - at_ms / 1_000) for at_ms in range(0, 4_500, 500)]
    assert [outcome.needs_resync for outcome in moves].index(True) == 7
    assert market.processor.audit.failed == 1


def test_a_real_book_is_never_given_up_and_each_of_its_quotes_is_counted() -> None:
    lines = list(read_recording(EXCERPT))[:6_000]
    quotes = sum(b'"quote.' in line for _, line in lines)
    tally = Tally()
    list(compute(lines, Rules((1_000,), 250, 3_000), tally))
    assert quotes > 1_000
    assert tally.counts["audit_failures"] == tally.counts["quotes_unmatched"] == 0
    counted = tally.counts["quotes_agreed"] + tally.counts["quotes_between_updates"]
    assert 0.9 * quotes < counted <= quotes
    assert tally.counts["quotes_agreed"] > quotes / 10


def test_a_real_book_whose_quotes_are_of_another_market_is_given_up() -> None:
    lines = [
        (at_ns, line.replace(b'"best_bid_amount":', b'"best_bid_amount":9'))
        for at_ns, line in list(read_recording(EXCERPT))[:6_000]
    ]
    tally = Tally()
    list(compute(lines, Rules((1_000,), 250, 3_000), tally))
    assert tally.counts["audit_failures"] > 0
    assert tally.counts["quotes_unmatched"] >= MIN_IN_A_ROW * tally.counts["audit_failures"]
    assert tally.counts["quotes_agreed"] == 0
