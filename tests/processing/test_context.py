"""What is not known is null: figures of a ticker, trades, and all of an instrument that is gone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from app.state.live_state import live_state
from models.frame import Connected, Disconnected, TradesFollowed
from models.live import LiveState
from tests.processing.market import CHANNEL, START_MS, Market, message

FIGURES = {"mark_price": 100.5, "index_price": 100.25, "funding_8h": 1e-5, "open_interest": 7e6}
CONTEXT = ("mark_price", "index_price", "funding_8h", "open_interest_usd", "ticker_ms")
KNOWN = [100.5, 100.25, 1e-5, 7e6]
UNKNOWN = [None] * 5


def seconds(*outcomes: Any) -> list[dict[str, Any]]:
    found = [window for outcome in outcomes for window in outcome.windows]
    return [window for window in found if window["length_ms"] == 1_000]


def context(window: dict[str, Any]) -> list[Any]:
    return [window[name] for name in CONTEXT]


def now(market: Market, window: dict[str, Any] | None = None) -> LiveState:
    return live_state(market.processor, 0, window, START_MS)


def of_live(state: LiveState) -> list[Any]:
    return [getattr(state, name) for name in CONTEXT]


def test_a_ticker_says_what_is_so_for_a_minute() -> None:
    market = Market()
    market.ticker(500, **FIGURES, current_funding=2e-5)
    by_end = {w["end_ms"] - START_MS: w for w in seconds(market.tick(65_000))}
    for end_ms, window in by_end.items():
        known = [*KNOWN, START_MS + 500]
        assert context(window) == (known if end_ms <= 60_500 else UNKNOWN), end_ms
    assert max(by_end) == 61_000
    assert of_live(now(market)) == UNKNOWN
    assert now(market).current_funding is None
    market.ticker(65_000, **FIGURES)
    assert of_live(now(market)) == [*KNOWN, START_MS + 65_000]


def test_the_last_instant_of_that_minute() -> None:
    market = Market()
    market.ticker(1_000, **FIGURES)
    market.tick(61_000)
    assert now(market).mark_price == 100.5
    market.tick(61_001)
    assert now(market).mark_price is None


@pytest.mark.parametrize("is_ended", [False, True])
def test_what_was_said_in_another_session_is_not_of_now(is_ended: bool) -> None:
    market = Market()
    market.ticker(500, **FIGURES, current_funding=2e-5)
    outcomes = [market.book(1_500)]
    assert now(market).current_funding == 2e-5
    if is_ended:
        market.tell(Disconnected(0, "closed"))
        assert of_live(now(market)) == UNKNOWN
    outcomes += [market.connect(), market.book(2_500), market.ticker(2_400, **FIGURES)]
    outcomes += [market.book(4_000), market.tick(9_000)]
    first, second, third, *later = seconds(*outcomes)
    assert context(first) == [*KNOWN, START_MS + 500]
    assert context(second) == UNKNOWN, "the session ended in it"
    assert context(third) == [*KNOWN, START_MS + 2_400]
    assert all(context(window) == context(third) for window in later)
    assert now(market).current_funding is None


def test_a_session_that_ended_inside_a_window_has_ended_for_it() -> None:
    market = Market()
    market.ticker(500, **FIGURES)
    market.book(1_500)
    market.tell(Disconnected(0, "closed"))
    [window] = [w for w in market.tick(20_000).windows if w["start_ms"] == START_MS][-1:]
    assert (window["length_ms"], context(window)) == (10_000, UNKNOWN)


def test_a_ticker_ahead_of_the_clock_ends_with_its_session() -> None:
    market = Market()
    market.ticker(2_500, **FIGURES)
    market.connect()
    market.book(100)
    assert all(context(window) == UNKNOWN for window in seconds(market.tick(9_000)))


def test_a_ticker_of_the_new_session_counts_though_its_stamp_is_before_it() -> None:
    market = Market()
    outcomes = [market.book(1_900)]
    market.connect()
    market.ticker(1_800, **FIGURES)
    outcomes += [market.book(2_000), market.tick(9_000)]
    first, second, *_ = seconds(*outcomes)
    assert context(first) == UNKNOWN
    assert context(second) == [*KNOWN, START_MS + 1_800]


def test_a_recovered_state_forgets_as_the_first_one_does() -> None:
    """Between the end of a session and its window's: the record must hold what was forgotten."""
    market = Market()
    market.ticker(100, **FIGURES)
    market.book(500)
    market.tell(Disconnected(0, "closed"))
    record = market.processor.to_record()
    market.processor.restore(record)
    assert market.processor.to_record() == record
    assert context(seconds(market.tick(6_000))[0]) == UNKNOWN


# Trades


def test_the_mark_of_the_feed_says_that_trades_are_followed() -> None:
    market = Market()
    market.tell(TradesFollowed(0, True))
    outcomes = [market.book(1_500), market.tell(TradesFollowed(0, False)), market.tick(9_000)]
    first, second, third, *_ = seconds(*outcomes)
    assert [w["trades_coverage"] for w in (first, second, third)] == [1, 0.5, 0]
    assert [w["trades"] for w in (first, second, third)] == [0, 0, None]
    assert [w["buy_usd"] for w in (first, second, third)] == [0, 0, None]


def test_inside_a_disconnect_nothing_is_known_of_trades() -> None:
    market = Market()
    market.tell(TradesFollowed(0, True))
    market.book(500)
    outcomes = [market.tell(Disconnected(0, "closed")), market.tick(9_000)]
    first, *later = seconds(*outcomes)
    assert (first["trades_coverage"], first["trades"]) == (0.5, 0)
    assert {window["trade_flow_usd"] for window in later} == {None}


def test_a_recovered_state_knows_that_trades_are_followed() -> None:
    market = Market()
    market.tell(TradesFollowed(0, True))
    market.book(500)
    record = msgspec.json.encode(market.processor.to_record())  # as a state record holds it
    market.processor.restore(msgspec.json.decode(record))
    assert seconds(market.tick(9_000))[3]["trades_coverage"] == 1


# Snapshots


def test_a_snapshot_that_differs_is_a_gap_since_the_last_message() -> None:
    market = Market()
    market.book(200)
    outcomes = [market.book(700, "snapshot"), market.book(1_500, "snapshot", size=7.0)]
    outcomes += [market.book(2_100), market.tick(9_000)]
    first, second, *_ = seconds(*outcomes)
    assert (first["snapshots"], first["gaps"], first["status"]) == (2, 1, "gap")
    assert (first["coverage"], second["coverage"]) == (0.7, 0.5)
    assert (second["snapshots"], second["gaps"], second["status"]) == (1, 0, "gap")
    assert market.processor.counts["gaps"] == 1


# Venue


def test_a_window_says_of_which_venue_it_is() -> None:
    market = Market()
    assert {w["venue"] for w in seconds(market.book(1_500), market.tick(9_000))} == {None}
    market = Market()
    market.tell(Connected(0, "w", False, "deribit-test"))
    windows = seconds(market.book(1_500), market.tick(9_000))
    assert {(w["venue"], w["version"]) for w in windows} == {("deribit-test", 2)}


def test_windows_begin_anew_where_a_session_leads_to_another_venue() -> None:
    market = Market()
    market.tell(Connected(0, "w", True))
    outcomes = [market.book(1_500)]
    market.session, market.sequence = market.session + 1, 0
    market.tell(Connected(0, "w", False, "deribit"))
    outcomes += [market.book(5_000, "snapshot"), market.book(7_000), market.tick(9_000)]
    windows = seconds(*outcomes)
    assert [w["venue"] for w in windows if w["start_ms"] < START_MS + 5_000] == ["simulated"]
    assert {w["venue"] for w in windows if w["start_ms"] >= START_MS + 5_000} == {"deribit"}
    assert windows[1]["snapshots"] == 1
    assert windows[1]["start_ms"] == START_MS + 5_000
    assert market.processor.instrument.channel == CHANNEL


# The end


NUMBERS = (
    *CONTEXT,
    *("best_bid", "best_ask", "mid", "imbalance_1", "imbalance_50bp", "spread_bp"),
    *("current_funding", "ofi_usd", "ofi_normalised", "trade_flow_usd", "window_end_ms"),
)


@pytest.mark.parametrize("is_delisted", [True, False])
def test_a_retired_instrument_has_no_numbers(is_delisted: bool) -> None:
    market = Market()
    market.tell(TradesFollowed(0, True))
    market.ticker(500, **FIGURES, current_funding=2e-5)
    trade = {"timestamp": START_MS + 600, "instrument_name": "BTC-PERPETUAL", "price": 100.0}
    trade |= {"amount": 10.0, "direction": "buy"}
    market.tell(message("trades.BTC-PERPETUAL.100ms", [trade]))
    [window] = seconds(market.book(1_500))
    before = now(market, window)
    assert None not in [getattr(before, name) for name in NUMBERS]
    if is_delisted:
        market.state(1_600, "closed")
    else:
        market.tell(Disconnected(0, "unsubscribed"))
    after = now(market, window)
    assert after.status == "retired"
    assert [getattr(after, name) for name in NUMBERS] == [None] * len(NUMBERS)
    last = seconds(market.tick(9_000))
    assert [w["end_ms"] - START_MS for w in last] == [2_000]
    assert context(last[0]) == UNKNOWN
    assert (last[0]["trades"], last[0]["trades_coverage"]) == (0, 0.5)
