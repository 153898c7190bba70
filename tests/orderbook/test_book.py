"""A book takes a snapshot always, and a change only if it names the book's own state."""

from __future__ import annotations

import pytest

from orderbook.book.book import Book, Crossed, Duplicate, Gap
from orderbook.events import Change


def change(change_id: int, previous_id: int | None, bid: int = 100, ask: int = 110) -> Change:
    return Change(change_id, change_id, previous_id, [(bid, 5)], [(ask, 5)])


def book_at(change_id: int) -> Book:
    book = Book(linear=False)
    assert book.apply(change(change_id, None)) is book
    return book


@pytest.mark.parametrize(
    ("change_id", "previous_id", "problem"),
    [
        (51, 40, None),
        (51, 39, Gap(40, 39)),  # of a state that this one has left behind
        (51, 41, Gap(40, 41)),  # of one that it has not come to
        (51, 0, Gap(40, 0)),
        (40, 40, Duplicate(40)),
        (40, 39, Duplicate(40)),
        (12, 11, Duplicate(12)),
        (41, 40, None),
    ],
)
def test_what_follows_is_applied_and_nothing_else(
    change_id: int, previous_id: int, problem: Gap | Duplicate | None
) -> None:
    book = book_at(40)
    told = change(change_id, previous_id, bid=103)
    assert book.why_not(told) == problem
    found = book.apply(told)
    if problem is None:
        assert (found, book.change_id, book.bids.best()) == (book, change_id, 103)
    else:
        assert (found, book.change_id, book.bids.best()) == (problem, 40, 100)


def test_a_book_without_a_snapshot_follows_nothing() -> None:
    book = Book()
    assert book.apply(change(2, 1)) == Gap(None, 1)
    assert (book.change_id, len(book.bids)) == (None, 0)


def test_a_snapshot_replaces_everything_also_with_a_lower_number() -> None:
    book = book_at(40)
    book.apply(change(7, None, bid=90, ask=95))
    assert (book.change_id, len(book.bids), len(book.asks)) == (7, 1, 1)
    assert book.apply(change(9, 7)) is not None
    assert book.change_id == 9


def test_a_crossed_book_says_where() -> None:
    book = book_at(40)
    assert book.apply(change(41, 40, bid=110)) == Crossed(110, 110)
