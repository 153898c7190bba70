"""The venue's own view of a book is answered beside ours, and marked as what it is."""

from __future__ import annotations

from app.api.routes.books import _book
from app.state.read_model import BookView
from models import answers
from orderbook.events import GroupedBook
from tests.api.recorded import live_of


def view(grouped: GroupedBook | None) -> BookView:
    state = live_of("BTC-PERPETUAL")
    return BookView(state, [(100.0, 5.0)], [(101.0, 4.0)], 1, 1, grouped)


def test_a_grouped_book_is_marked_as_not_sequence_checked() -> None:
    grouped = GroupedBook("book.BTC-PERPETUAL.none.10.100ms", 7, 9, [(100.0, 5.0)], [(101.0, 4.0)])
    answer = answers.Book.model_validate(_book("BTC-PERPETUAL", 5, view(grouped)))
    assert answer.grouped is not None
    assert answer.grouped.sequence_checked is False
    assert (answer.grouped.change_id, answer.grouped.venue_ts_ms) == (9, 7)
    assert answer.grouped.bids == [(100.0, 5.0)]


def test_without_its_channel_there_is_none() -> None:
    assert answers.Book.model_validate(_book("BTC-PERPETUAL", 5, view(None))).grouped is None
