"""An instrument whose sizes cannot be turned into USD has no numbers: it is refused, once."""

from __future__ import annotations

from typing import Any

import pytest

from app.processing.processor import Outcome, Processor
from app.processing.state_codec import BooksCodec
from app.recordings.compute import Tally, compute
from deribit.served_instruments import why_not_served
from models.frame import FRAME_VERSION, Connected, Described, Frame, GapFound, Item, Tick
from tests.processing.market import RULES, START_MS, message

OPTION = "ETH-25DEC26-2800-P"
NEW_STYLE = "NEW-STYLE"


class Told:
    """A processor of any instrument, and its feed."""

    def __init__(self, name: str) -> None:
        self.processor = Processor(name, RULES)
        self.name = name
        self.channel = f"book.{name}.100ms"
        self.sequence = 0

    def tell(self, *items: Item) -> Outcome:
        self.sequence += 1
        return self._feed(self.sequence, items)

    def tick(self, at_ms: int) -> Outcome:
        return self._feed(0, (Tick(0, START_MS + at_ms, 0),))

    def _feed(self, sequence: int, items: tuple[Item, ...]) -> Outcome:
        name = self.name if sequence else ""
        return self.processor.feed(
            Frame(FRAME_VERSION, name, self.channel, "s-1", sequence, list(items))
        )

    def snapshot(self, at_ms: int = 0) -> Item:
        data: dict[str, Any] = {"timestamp": START_MS + at_ms, "instrument_name": self.name}
        data |= {"type": "snapshot", "change_id": 1 + at_ms}
        return message(
            self.channel, data | {"bids": [["new", 0.05, 3.0]], "asks": [["new", 0.06, 2.0]]}
        )

    def trade(self, at_ms: int) -> Item:
        trade = {"timestamp": START_MS + at_ms, "instrument_name": self.name, "trade_seq": at_ms}
        trade |= {"price": 0.05, "amount": 2.0, "direction": "buy"}
        return message(f"trades.{self.name}.100ms", [trade])


@pytest.mark.parametrize(
    "name", [OPTION, "BTC-FS-25DEC26_PERP", "ETH_BTC", "BTC_EURR-PERPETUAL", "SOL_BTC-25DEC26"]
)
def test_it_has_no_windows_and_is_refused_once_with_what_is_served(name: str) -> None:
    told = Told(name)
    refused = told.tell(Connected(0, "w", False), told.snapshot()).refused
    assert refused == [(1, why_not_served(name), told.snapshot().message)]
    later = [told.tell(told.trade(n), told.snapshot(n)) for n in range(1, 50)]
    later += [told.tick(at_ms) for at_ms in range(0, 90_000, 1_000)]
    assert [outcome.refused for outcome in later] == [[]] * len(later)
    assert [outcome.windows for outcome in later] == [[]] * len(later)
    assert not any(outcome.needs_resync for outcome in later)
    assert told.processor.counts["unserved"] == 1 + 2 * 49
    assert told.processor.status == "retired"
    assert not told.processor.is_served


def test_it_asks_for_no_snapshot_whatever_is_lost() -> None:
    told = Told(OPTION)
    told.tell(Connected(0, "w", False), told.snapshot())
    told.sequence += 3
    assert not told.tell(GapFound(0, told.channel, 1, 2), told.snapshot(5)).needs_resync


def test_what_the_venues_list_describes_is_served_whatever_it_is_called() -> None:
    told = Told(NEW_STYLE)
    outcome = told.tell(Connected(0, "w", False), Described(0, True), told.snapshot())
    assert (outcome.refused, outcome.needs_resync) == ([], False)
    assert told.processor.instrument.linear
    assert told.processor.status == "live"
    assert told.tick(8_000).windows


def test_what_was_refused_before_its_description_needs_a_snapshot() -> None:
    told = Told(NEW_STYLE)
    assert len(told.tell(Connected(0, "w", False), told.snapshot()).refused) == 1
    assert told.tell(Described(0, False)).needs_resync
    assert told.processor.status == "waiting"
    told.tell(told.snapshot(5))
    assert told.processor.status == "live"


@pytest.mark.parametrize("name", [OPTION, "BTC_EURR-PERPETUAL"])
def test_the_state_that_an_earlier_release_kept_of_it_makes_no_windows(name: str) -> None:
    """They took every name: such a state has a live book, and panes that are open."""
    codec = BooksCodec(RULES)
    served = Told("ETH-PERPETUAL")
    served.tell(Connected(0, "w", False), Described(0, True), served.snapshot())
    record = codec.dump(b"", served.processor, 7)
    again = Told("ETH-PERPETUAL")
    again.processor = codec.load(b"ETH-PERPETUAL", record)
    assert again.tick(60_000).windows
    told = Told(name)
    told.processor = codec.load(name.encode(), record)
    assert told.processor.status == "retired"
    assert told.tick(60_000).windows == []
    assert codec.load(name.encode(), codec.dump(b"", told.processor, 8)).status == "retired"


def test_compute_passes_it_over_and_counts_it() -> None:
    option, future = Told(OPTION), Told("ETH-25DEC26")
    items = [told.snapshot(n) for n in range(0, 5_000, 500) for told in (option, future)]
    lines = [(item.received_ns, item.message) for item in items]
    tally = Tally()
    windows = list(compute(iter(lines), RULES, tally))
    assert {window["instrument"] for window in windows} == {"ETH-25DEC26"}
    assert windows[0]["bid_depth_1_usd_mean"] == 3.0
    assert tally.unserved == {OPTION: 10}
    assert tally.served == 1
