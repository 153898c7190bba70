import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from exchange.chains import Chain
from exchange.engine import Book, Fill
from exchange.flow import OrderFlow, top_imbalance
from exchange.instruments import catalogue

DIRECTIONS = st.sampled_from([1, -1])
PRICES = st.integers(90, 110)
LOTS = st.integers(1, 50)


class AnyOrders(RuleBasedStateMachine):
    """Orders of every kind in any sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.book = Book()

    @rule(direction=DIRECTIONS, price=PRICES, lots=LOTS)
    def limit(self, direction, price, lots) -> None:
        fills = self.book.limit(direction, price, lots)
        assert all(fill.price * direction <= price * direction for fill in fills)

    @rule(direction=DIRECTIONS, lots=LOTS, levels=st.integers(1, 5))
    def market(self, direction, lots, levels) -> None:
        fills = self.book.market(direction, lots, levels)
        assert len(fills) <= levels
        assert sum(fill.lots for fill in fills) <= lots

    @rule(direction=DIRECTIONS, price=PRICES, lots=LOTS)
    def cancel(self, direction, price, lots) -> None:
        resting = self.book.side(direction).sizes.get(price, 0)
        assert self.book.cancel(direction, price, lots) == min(lots, resting)

    @invariant()
    def book_is_sound(self) -> None:
        self.book.check()


AnyOrders.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyOrders = AnyOrders.TestCase


def test_a_crossing_limit_order_trades_best_first_and_the_rest_is_placed() -> None:
    book = Book()
    book.limit(-1, 101, 5)
    book.limit(-1, 102, 5)
    book.limit(-1, 104, 5)
    assert book.limit(1, 103, 12) == [Fill(101, 5), Fill(102, 5)]
    assert book.bids.top(9) == [(103, 2)]
    assert book.asks.top(9) == [(104, 5)]


def test_the_check_finds_a_crossed_book_and_lost_lots() -> None:
    book = Book()
    book.limit(1, 100, 1)
    book.asks.set(99, 1)
    with pytest.raises(AssertionError, match="crossed"):
        book.check()
    book.asks.set(99, 0)
    book.bids.set(100, 2)
    with pytest.raises(AssertionError, match="lots lost"):
        book.check()


def test_an_order_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="0 lots"):
        Book().limit(1, 100, 0)


def test_a_chain_tells_net_changes_and_its_snapshot_is_what_it_told() -> None:
    book = Book()
    book.limit(1, 100, 5)
    chain = Chain(catalogue(1)[0], "100ms", book)
    before = chain.snapshot()
    book.change_id = 7
    book.limit(1, 99, 5)
    book.cancel(1, 99, 5)
    assert chain.flush(wanted=True) is None
    assert chain.last_id == 0
    book.limit(1, 99, 5)
    assert chain.snapshot() == before
    text = chain.flush(wanted=True)
    assert text is not None
    assert '"prev_change_id":0,"change_id":7' in text
    assert '"bids":[["new",49.5,50.0]],"asks":[]' in text


@given(st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_the_flow_keeps_every_book_sound_and_full(seed: int) -> None:
    for instrument in (catalogue(14)[4], catalogue(14)[13]):
        book, flow = Book(), OrderFlow(instrument, seed, 10.0)
        flow.open(book)
        for _ in range(1_500):
            flow.act(book)
        book.check()
        assert 0.5 * instrument.levels < len(book.bids) < 1.5 * instrument.levels
        assert 0.5 * instrument.levels < len(book.asks) < 1.5 * instrument.levels


def test_the_imbalance_of_the_flow_moves_the_price() -> None:
    """Over many short stretches, the mid goes with the top imbalance at their start."""
    instrument = catalogue(14)[3]
    book, flow = Book(), OrderFlow(instrument, 7, 10.0)
    flow.open(book)
    moves = {True: 0.0, False: 0.0}
    for _ in range(3_000):
        imbalance = top_imbalance(book)
        mid = book.bids.price_at(0) + book.asks.price_at(0)
        for _ in range(5):
            flow.act(book)
        moves[imbalance > 0] += book.bids.price_at(0) + book.asks.price_at(0) - mid
    assert moves[True] > 100
    assert moves[False] < -100
