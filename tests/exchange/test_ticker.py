"""A ticker's kept parts never outlive what they tell."""

import json

import pytest

from exchange.config import Config
from exchange.hub import Hub
from exchange.market import Market
from exchange.model import Model
from exchange.ticker import PRICE_BAND, Ticker
from exchange.truth import Truth


@pytest.fixture
def model() -> Model:
    config = Config(instruments=4, rate=30, start_ms=1_700_000_000_000)
    return Model(config, Hub(), Truth(None))


def written_anew(market: Market) -> str:
    ticker = Ticker(market.instrument, market.tape, market._reference)
    return ticker.text(market.state, market.book, market._mid())


def test_what_is_kept_is_what_would_be_written_now(model: Model) -> None:
    market = model._markets[0]
    trades, seconds, texts = set(), set(), set()
    for step in range(600):
        model.step()
        if step == 300:
            model.set_state(market.instrument.name, "halted")
        if step == 350:
            model.set_state(market.instrument.name, "open")
        kept = market._ticker_text()
        assert kept == written_anew(market)
        texts.add(kept)
        trades.add(market.tape.trade_seq)
        seconds.add(market._reference.seconds)
    assert len(trades) > 3  # all of it has changed meanwhile
    assert len(seconds) > 3
    assert len(texts) > 50


def test_a_ticker_says_what_tape_reference_and_book_hold(model: Model) -> None:
    for _ in range(500):
        model.step()
    for market in model._markets:
        fields = json.loads(market._ticker_text())
        book, tape, reference = market.book, market.tape, market._reference
        decimals = market.instrument.price_decimals + 1
        price = market.instrument.price_float
        assert fields["stats"]["volume_usd"] == round(tape.volume_usd, 2)
        assert fields["stats"]["volume"] == round(tape.volume_base, 8)
        assert fields["stats"]["low"] == price(tape.low_tick)
        assert fields["stats"]["high"] == price(tape.high_tick)
        assert fields["last_price"] == price(tape.last_tick)
        mid = price((book.bids.best + book.asks.best) / 2)
        assert fields["mark_price"] == round((mid + reference.index) / 2, decimals)
        assert fields["index_price"] == round(reference.index, decimals)
        assert fields["max_price"] == round(reference.index * (1 + PRICE_BAND), decimals)
        assert fields["funding_8h"] == round(reference.funding, 8)
        assert fields["best_bid_price"] == price(book.bids.best)
        lots = book.asks.sizes[book.asks.best]
        assert fields["best_ask_amount"] == float(market.instrument.amount(lots))


def test_an_answer_about_the_book_has_the_tickers_numbers_as_they_are_written(
    model: Model,
) -> None:
    for _ in range(100):
        model.step()
    for market in model._markets:
        answer = market.order_book(5)
        for name, value in json.loads(
            market._ticker_text(), parse_float=str, parse_int=str
        ).items():
            assert answer[name] == value
