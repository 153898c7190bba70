"""Decoding: what the venue writes is read, whatever else is refused whole, with the reason."""

import copy
import json
import os
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.processing.processor import Processor, Rules
from deribit.decode_books_trades import Ignored, Unreadable, channel_of, decode
from deribit.decode_quotes_states import Figures
from models.frame import FRAME_VERSION, Connected, Frame, Notification
from orderbook.events import Change, Ticker, Trade

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
profile = settings(
    max_examples=100_000 if THOROUGH else 500,
    derandomize=not THOROUGH,
    database=None,
    deadline=None,
)
SHARED = Path(__file__).parents[3] / "shared" / "data"
NAME = "BTC-PERPETUAL"
BOOK = f"book.{NAME}.100ms"
TRADES = f"trades.{NAME}.100ms"
TICKER = f"ticker.{NAME}.100ms"
ABSENT = object()

SNAPSHOT = {
    "timestamp": 1_789_344_931_302,
    "type": "snapshot",
    "change_id": 118_850_968_930,
    "instrument_name": NAME,
    "bids": [["new", 76914.0, 1000200.0], ["new", 76909.0, 4040.0]],
    "asks": [["new", 76914.5, 999990.0]],
}
CHANGE = SNAPSHOT | {
    "timestamp": 1_789_344_931_639,
    "type": "change",
    "prev_change_id": 118_850_968_930,
    "change_id": 118_850_969_743,
    "bids": [["change", 76914.0, 1.0002e6], ["delete", 76893.0, 0.0]],
    "asks": [["new", 77023.0, 10.0]],
}
TRADE = {
    "timestamp": 1_789_344_933_994,
    "price": 76917.5,
    "amount": 8450.0,
    "direction": "buy",
    "instrument_name": NAME,
    "trade_seq": 140_284_854,
    "trade_id": "267258393",
}
FIGURES = {
    "timestamp": 1_789_344_933_994,
    "instrument_name": NAME,
    "mark_price": 76917.12,
    "index_price": 76906.67,
    "funding_8h": 1.423e-4,
    "open_interest": 1.0002e6,
    "best_bid_price": None,
}


def wire(channel, data, **envelope):
    message = {
        "jsonrpc": "2.0",
        "method": "subscription",
        "params": {"channel": channel, "data": data},
    }
    return json.dumps(message | envelope, separators=(",", ":")).encode()


def without(data, field):
    return {name: value for name, value in data.items() if name != field}


# What the venue writes


def test_a_change_is_read_in_units():
    assert decode(wire(BOOK, CHANGE), NAME) == (
        BOOK,
        Change(
            1_789_344_931_639,
            118_850_969_743,
            118_850_968_930,
            [(7_691_400_000_000, 100_020_000_000_000), (7_689_300_000_000, 0)],
            [(7_702_300_000_000, 1_000_000_000)],
        ),
    )


@pytest.mark.parametrize(
    ("shape", "previous"),
    [
        ({}, None),
        ({"prev_change_id": 20}, None),
        ({"type": ABSENT}, None),
        ({"type": ABSENT, "prev_change_id": 20}, 20),
        ({"type": "change", "prev_change_id": 0}, None),
        ({"type": "change"}, None),
        ({"type": "change", "prev_change_id": 20}, 20),
    ],
)
def test_a_snapshot_says_so_or_names_no_predecessor(shape, previous):
    data = {name: value for name, value in (SNAPSHOT | shape).items() if value is not ABSENT}
    assert decode(wire(BOOK, data))[1].previous_id == previous


def test_a_book_is_known_by_its_usual_channel_and_by_any_other():
    """The channel of the last message is tried first; it must never answer for another."""
    longer = f"book.{NAME}.100ms2"
    for channel in (BOOK, BOOK, f"book.{NAME}.raw", BOOK, longer, f"book.{NAME}.raw"):
        found = decode(wire(channel, CHANGE), NAME)
        assert found is not None
        assert found[0] == channel
        assert isinstance(found[1], Change)
    with pytest.raises(Unreadable, match="ETH-PERPETUAL"):
        decode(wire(BOOK, CHANGE | {"instrument_name": "ETH-PERPETUAL"}), NAME)
    with pytest.raises(Unreadable, match=NAME):
        decode(wire(BOOK, CHANGE), "ETH-PERPETUAL")
    assert decode(wire(BOOK, CHANGE), NAME) == decode(wire(BOOK, CHANGE))


@pytest.mark.parametrize("text", ["83900", "83900.0", "8.39e4", "8.39E4", "8.39e+4", "839e2"])
def test_every_spelling_of_a_number_is_the_same_level(text):
    raw = wire(BOOK, SNAPSHOT | {"bids": [["new", 1.5, 2.5]], "asks": []})
    for part in (b"1.5", b"2.5"):
        raw = raw.replace(part, text.encode())
    assert decode(raw)[1].bids == [(83_900 * 10**8, 83_900 * 10**8)]


@pytest.mark.parametrize(
    "value", [1e-8, 0.1, 0.3, 1234.56789, 39_999_999.99999999, 45_000_000.5, 999_999_999_999_999.0]
)
def test_a_decimal_number_keeps_all_its_digits(value):
    raw = wire(BOOK, SNAPSHOT | {"asks": [], "bids": [["new", value, value]]})
    units = int(Decimal(repr(value)) * 10**8)
    assert decode(raw)[1].bids == [(units, units)]


def test_empty_sides_are_normal():
    event = decode(wire(BOOK, SNAPSHOT | {"bids": [], "asks": []}))[1]
    assert (event.bids, event.asks) == ([], [])


def test_trades_keep_what_flow_needs():
    blocks = [
        TRADE,
        TRADE | {"direction": "sell", "liquidation": "MT", "trade_seq": None},
        TRADE | {"block_trade_id": "BLOCK-1"},
        TRADE | {"block_rfq_id": 939},
        TRADE | {"combo_id": "BTC-FS-27MAR26_PERP", "combo_trade_id": 1154.0},
        TRADE | {"combo_trade_id": "1154"},
        TRADE | {"combo_id": None, "block_trade_id": None, "liquidation": "none"},
    ]
    price, size = 7_691_750_000_000, 845_000_000_000
    assert decode(wire(TRADES, blocks), NAME)[1] == [
        Trade(TRADE["timestamp"], 140_284_854, price, size, True),
        Trade(TRADE["timestamp"], None, price, size, False, "MT"),
        *[Trade(TRADE["timestamp"], 140_284_854, price, size, True, "", True)] * 2,
        *[Trade(TRADE["timestamp"], 140_284_854, price, size, True, "", False, True)] * 2,
        Trade(TRADE["timestamp"], 140_284_854, price, size, True),
    ]


def test_a_ticker_may_lack_anything_but_its_time_and_its_name():
    ticker = Ticker(1_789_344_933_994, 76917.12, 76906.67, 1.423e-4, 1.0002e6)
    assert decode(wire(TICKER, FIGURES))[1] == Figures(ticker, None, None, None)
    bare = {name: FIGURES[name] for name in ("timestamp", "instrument_name")}
    ticker = Ticker(1_789_344_933_994, None, None, None, None)
    assert decode(wire(TICKER, bare))[1] == Figures(ticker, None, None, None)


def test_other_channels_are_checked_and_ignored():
    channel = f"incremental_ticker.{NAME}"
    assert decode(wire(channel, {"best_bid_price": 0}), NAME) == (channel, Ignored(channel))


@pytest.mark.parametrize(
    "raw",
    [
        b'{"jsonrpc":"2.0","id":10,"result":["book.BTC-PERPETUAL.100ms"],"usIn":1}',
        b'{"params":{"type":"test_request"},"method":"heartbeat","jsonrpc":"2.0"}',
        b'{"jsonrpc":"2.0","error":{"code":11050,"message":"bad_request"}}',
        b"{}",
    ],
)
def test_what_is_no_notification_is_none(raw):
    assert decode(raw) is None
    assert channel_of(raw) is None


def test_order_of_fields_and_spaces_do_not_matter():
    message = {"params": {"data": CHANGE, "channel": BOOK}, "method": "subscription"}
    assert decode(json.dumps(message, indent=1).encode()) == decode(wire(BOOK, CHANGE))


@pytest.mark.parametrize(
    "escaped", [r"\u0042TC-PERPETUAL", r"BTC\u002dPERPETUA\u004C", r"BT\u0043-PERPETUAL"]
)
def test_a_name_that_is_escaped_is_the_same_name(escaped):
    """JSON lets any character be written as its number."""
    for channel, data in ((BOOK, SNAPSHOT), (TRADES, [TRADE]), (TICKER, FIGURES)):
        plain = wire(channel, data)
        assert NAME.encode() in plain
        raw = plain.replace(NAME.encode(), escaped.encode())
        for message in (raw, raw, plain, raw):  # also after what is remembered of the plain one
            assert channel_of(message) == channel
            assert decode(message) == decode(message, NAME) == decode(plain)


def test_a_quote_in_a_channels_name_does_not_end_it():
    assert channel_of(wire('book.A"B.100ms', {})) == 'book.A"B.100ms'


# What must be refused, each with a word that says what is wrong

WRONG_TYPES = [None, "1", [], {}, True, 1.5]
NUMBERS = [-1, 1e300, -1e300, 1e15, "NaN", 1e-9]
BAD_LEVELS = [
    ([None], "bids"),
    ([[]], "bids"),
    ([["new", 1.0]], "bids"),
    ([["new", 1.0, 1.0, 1.0]], "bids"),
    ([[1.0, 1.0]], "bids"),
    ([["NEW", 1.0, 1.0]], "NEW"),
    ([["", 1.0, 1.0]], "bids"),
    ([[0, 1.0, 1.0]], "bids"),
    ([["new", 1.0, 0.0]], "amount 0.0"),
    ([["change", 1.0, 0]], "amount 0.0"),
    ([["delete", 1.0, -1.0]], "-1.0"),
    ([["delete", 1.0, None]], "bids"),
    ([["delete", 0.0, 0.0]], "price 0.0"),
    ([["new", 1.0, 1.0], ["new", -1.0, 1.0]], "price -1.0"),
    ([["new", 1.0, 1.0], ["new", 1.0]], r"bids\[1\]"),
    ({"0": ["new", 1.0, 1.0]}, "bids"),
    ("new", "bids"),
]


def malformed():
    """Yield (name, bytes, what the reason must mention)."""
    for base, kind in ((SNAPSHOT, "snapshot"), (CHANGE, "change")):
        for field in ("timestamp", "change_id", "instrument_name", "bids", "asks"):
            yield f"{kind} without {field}", wire(BOOK, without(base, field)), field
            for value in WRONG_TYPES:
                if field == "instrument_name" and value == "1":
                    continue
                if field in ("bids", "asks") and value == []:
                    continue
                yield f"{kind} {field}={value}", wire(BOOK, base | {field: value}), field
        for field in ("timestamp", "change_id"):
            for value in (-1, 2**63, 10**30, 1e3):
                yield f"{kind} {field}={value}", wire(BOOK, base | {field: value}), field
        yield f"{kind} in µs", wire(BOOK, base | {"timestamp": 10**15}), "timestamp"
        for levels, word in BAD_LEVELS:
            yield f"{kind} bids={levels}", wire(BOOK, base | {"bids": levels}), word
        for value in NUMBERS:
            for level in (["new", value, 1.0], ["change", 1.0, value]):
                # 1e15 and more is named as a number, -1 as a price or an amount
                yield f"{kind} level {level}", wire(BOOK, base | {"asks": [level]}), r"\d|asks"
        for text in ("NaN", "Infinity", "-Infinity", "1e999", "01", ".5", "1.", "0x1", "1_0"):
            raw = wire(BOOK, base | {"asks": [["new", 123.25, 1.0]]})
            yield f"{kind} price {text}", raw.replace(b"123.25", text.encode()), r"byte|range"
        for value in ("delta", "", 1, True, []):
            yield f"{kind} type={value}", wire(BOOK, base | {"type": value}), "type"
        for value in (-1, "1", 1.5, True, [], 2**63):
            raw = wire(BOOK, base | {"prev_change_id": value})
            yield f"{kind} prev_change_id={value}", raw, "prev_change_id"
        yield f"{kind} of another", wire(BOOK, base | {"instrument_name": "ETH-PERPETUAL"}), "ETH"
        other = base | {"instrument_name": "ETH-PERPETUAL"}
        yield f"{kind} elsewhere", wire("book.ETH-PERPETUAL.raw", other), "ETH"
        for data in (None, [], "x", 1, [base]):
            yield f"{kind} data={data!r:.20}", wire(BOOK, data), "data"
        raw = wire(BOOK, base)
        for length in range(60, len(raw) - 1, 37):
            yield f"{kind} cut at {length}", raw[:length], "truncated|malformed|channel"
        yield f"{kind} twice", raw + raw, "malformed|trailing|byte"
        yield f"{kind} not UTF-8", raw.replace(b'"new"', b'"n\xffw"'), "(?i)utf-8"
        yield f"{kind} method", wire(BOOK, base, method="heartbeat"), "method"
        two = raw.replace(b'"data":', b'"channel":"book.BTC-PERPETUAL.raw","data":')
        yield f"{kind} of two channels", two, "too"
    yield "price twice", wire(BOOK, SNAPSHOT | {"bids": [["new", 1.0, 1.0]] * 2}), "twice"
    yield "snapshot deletes", wire(BOOK, SNAPSHOT | {"bids": [["delete", 1.0, 0.0]]}), "deletes"
    deep = SNAPSHOT | {"bids": [["new", 1.0, 1.0]] * 100_001}
    yield "too many levels", wire(BOOK, deep), "100000"
    for field in ("timestamp", "price", "amount", "direction", "instrument_name"):
        yield f"trade without {field}", wire(TRADES, [without(TRADE, field)]), field
        for value in WRONG_TYPES:
            if value == 1.5 and field in ("price", "amount"):
                continue
            yield (
                f"trade {field}={value}",
                wire(TRADES, [TRADE, TRADE | {field: value}]),
                (f"{field}|about 1"),
            )
    for field in ("price", "amount"):
        for value in (0, 0.0, -1.0, 1e-9, 1e15):
            yield f"trade {field}={value}", wire(TRADES, [TRADE | {field: value}]), r"\d|without"
    for value in (-1, "1", 1.5, True, 2**63):
        yield f"trade_seq={value}", wire(TRADES, [TRADE | {"trade_seq": value}]), "trade_seq"
    for value in (1, True, []):
        yield f"liquidation={value}", wire(TRADES, [TRADE | {"liquidation": value}]), "liquidation"
    yield "trade of another", wire(TRADES, [TRADE | {"instrument_name": "X"}]), "about X"
    yield "trades elsewhere", wire("trades.X.raw", [TRADE]), "X"
    for data in (None, {}, TRADE, "x", 1, [None], [[TRADE]]):
        yield f"trades data={data!r:.20}", wire(TRADES, data), "data"
    for field in ("timestamp", "instrument_name"):
        yield f"ticker without {field}", wire(TICKER, without(FIGURES, field)), field
    for field in ("mark_price", "index_price", "funding_8h", "open_interest"):
        for value in ("1", [], {}, True, 1e15, -1e300):
            yield f"ticker {field}={value}", wire(TICKER, FIGURES | {field: value}), field
    yield "ticker of another", wire(TICKER, FIGURES | {"instrument_name": "X"}), "about X"
    yield "ticker elsewhere", wire("ticker.X.raw", FIGURES | {"instrument_name": "X"}), "about X"
    yield "other elsewhere", wire("incremental_ticker.X", {}), "not about"
    yield "other cut", wire(f"incremental_ticker.{NAME}", {"a": 1})[:-2], "truncated|malformed"
    for raw in (b"", b"{", b"\x00", b"nul", b"NaN", b"[" * 5_000, b"\xff\xfe{}", b"{}{}", b'"'):
        yield f"bytes {raw[:8]!r}", raw, "(?i)truncated|malformed|expected|utf-8|recursion"


CORPUS = list(malformed())


def test_the_corpus_is_large():
    assert len(CORPUS) > 300
    assert len({raw for _, raw, _ in CORPUS}) > 300


@pytest.mark.parametrize(("raw", "word"), [pytest.param(r, w, id=n) for n, r, w in CORPUS])
def test_a_malformed_message_is_refused_with_the_reason(raw, word):
    with pytest.raises(Unreadable, match=word):
        decode(raw, NAME)


def test_refused_messages_leave_the_state_as_it_is():
    processor = Processor(NAME, Rules((1_000,), 250, 3_000))
    good = [Connected(0, "w", False), Notification(0, wire(BOOK, SNAPSHOT))]
    processor.feed(Frame(FRAME_VERSION, NAME, BOOK, "s", 1, good))
    before = copy.deepcopy(processor.instrument.to_record())
    bad = [Notification(0, raw) for _, raw, _ in CORPUS]
    outcome = processor.feed(Frame(FRAME_VERSION, NAME, BOOK, "s", 2, bad))
    assert [place for place, _, _ in outcome.refused] == list(range(len(CORPUS)))
    assert processor.counts["refused"] == len(CORPUS)
    assert processor.instrument.to_record() == before
    assert not outcome.needs_resync


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*CHANGE, "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


def check(raw):
    try:
        found = decode(raw, NAME)
    except Unreadable as error:
        reason = str(error)
    else:
        reason = "none"
        assert found is None or found[0] == channel_of(raw)
    assert reason


@profile
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw):
    check(raw)


@profile
@given(
    st.sampled_from([wire(BOOK, CHANGE), wire(TRADES, [TRADE]), wire(TICKER, FIGURES)]),
    st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=4), st.integers(0, 8)), max_size=4),
)
def test_any_damage_to_a_message_is_read_or_refused(raw, damages):
    for place, put, cut in damages:
        raw = raw[:place] + put + raw[place + cut :]
    check(raw)


@profile
@given(st.sampled_from([BOOK, TRADES, TICKER]), st.sampled_from([*CHANGE, *TRADE]), json_values)
def test_any_value_in_any_field_is_read_or_refused(channel, field, value):
    data = {BOOK: CHANGE | {field: value}, TRADES: [TRADE | {field: value}]}
    check(wire(channel, data.get(channel, FIGURES | {field: value})))


# Real messages


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no recordings in {SHARED.name}")
@pytest.mark.parametrize(
    "name", ["ssc2ce-deribit-testnet.jsonl", "crypto-msg-parser-deribit-frames.jsonl"]
)
def test_real_frames_are_read(name):
    kinds = set()
    for line in (SHARED / name).read_bytes().splitlines():
        message = json.loads(line)
        raw = json.dumps(message.get("msg", message)).encode()
        found = decode(raw)
        if found is not None:
            kinds.add((found[0].partition(".")[0], type(found[1]).__name__))
    assert ("book", "Change") in kinds
