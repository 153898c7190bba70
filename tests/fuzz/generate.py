"""Messages that are almost what the venue sends: right ones, with something done to them.

Everything is drawn from one generator, so a case is a function of its seed; a Hypothesis strategy
draws through the same functions (strategies.py).
"""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any, Final

from exchange.corpus import MALFORMED

NAME: Final = "BTC-PERPETUAL"
START_MS: Final = 1_723_161_600_000
SNAPSHOT_ID: Final = 1_000
MAX_DAMAGES: Final = 3
DEEP: Final = 2_000


_MARK: Final = "\\u0001token"  # as json.dumps writes it
TOKENS: Final = (
    *("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1e-999", "-0", "1E5", "9" * 400),
    *("01", "1.", ".5", "+1", "0x10", "1_000", "undefined", "nul", "'x'", ""),
    *('"\\ud800"', '"\\u0000"', '"\\'),
    *("[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP),
)
"""Text that goes into a message as it is, whether it is JSON or not."""


ODD_VALUES: Final[tuple[Any, ...]] = (
    *(None, True, False, "", "x", [], {}, [[]], [None], {"a": 1}),
    *(0, -1, 1, 0.0, -0.0, 0.5, -1.5, 1e-8, 1e-9, 1e15, 1e300, -1e300, 2**53, 2**63, 2**64),
    *(f"\x01token{number}" for number in range(len(TOKENS))),
    *("new", "change", "delete", "snapshot", "buy", "sell", "ETH-PERPETUAL", NAME, "T", "MT"),
    *("1.5", "NaN", "open", "halted", "true", START_MS, START_MS + 10**7, START_MS * 1_000),
)
PUNCTUATION: Final = b'{}[]",:\\eE+-.0123456789tfn \x00\xff\xc3\xe2\x7f'


def templates() -> list[dict[str, Any]]:
    """One right message of each kind; the book's follow a snapshot with the id SNAPSHOT_ID."""
    at = {"timestamp": START_MS + 100, "instrument_name": NAME}
    levels = {"bids": [["change", 99.5, 7.0], ["delete", 99.0, 0.0]], "asks": [["new", 101.0, 2]]}
    whole = {"bids": [["new", 99.0, 3.0], ["new", 98.5, 1.0]], "asks": [["new", 100.5, 4.0]]}
    best = {f"best_{side}_{what}": value for side, what, value in _BEST}
    figures = {"mark_price": 100.1, "index_price": 100.0, "funding_8h": 1e-4, "open_interest": 1e6}
    trade = {"price": 100.5, "amount": 10.0, "direction": "buy", "trade_seq": 11, "trade_id": "7"}
    follows = {"type": "change", "prev_change_id": SNAPSHOT_ID, "change_id": SNAPSHOT_ID + 5}
    return [
        _message(f"book.{NAME}.100ms", {**at, **follows, **levels}),
        _message(f"book.{NAME}.100ms", {**at, "type": "snapshot", "change_id": 7, **whole}),
        _message(f"book.{NAME}.none.10.100ms", {**at, "change_id": 9, **_GROUPED}),
        _message(f"trades.{NAME}.100ms", [{**at, **trade}, {**at, **trade, "trade_seq": 12}]),
        _message(
            f"trades.{NAME}.100ms",
            [{**at, **trade, "liquidation": "MT", "block_trade_id": "BLOCK-1", "contracts": 1.0}],
        ),
        _message(f"ticker.{NAME}.100ms", {**at, **best, **figures, "state": "open", "stats": {}}),
        _message(f"quote.{NAME}", {**at, **best}),
        _message(f"perpetual.{NAME}.100ms", {"timestamp": START_MS, "interest": 1e-4}),
        _message("instrument.state.future.BTC", {**at, "state": "halted"}),
        _message("platform_state", {"price_index": "btc_usd", "locked": True}),
        _message("platform_state", {"maintenance": True}),
        {"jsonrpc": "2.0", "id": 3, "result": ["x"], "usIn": 1, "usOut": 2, "testnet": False},
        {"jsonrpc": "2.0", "id": 3, "error": {"code": 10028, "message": "too_many_requests"}},
        {"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": "test_request"}},
    ]


def message(random: Random) -> bytes:
    """Draw one case: a template with its values damaged, or its bytes, or both; or the corpus's."""
    if random.random() < CORPUS_SHARE:
        return random.choice(_CORPUS)
    value = random.choice(_TEMPLATES)
    text = encode(damage(random, value) if random.random() < 0.75 else value)
    return damage_bytes(random, text) if random.random() < 0.4 else text


def damage(random: Random, value: Any) -> Any:
    """Return a copy with up to MAX_DAMAGES of its values replaced, removed or doubled."""
    value = json.loads(json.dumps(value))
    for _ in range(random.randint(1, MAX_DAMAGES)):
        parent, key = random.choice(places(value))
        match random.randrange(5):
            case 0 if isinstance(parent, list):
                parent.insert(key, parent[key])
            case 1:
                del parent[key]
            case 2 if isinstance(parent, dict):
                parent[f"{key}_"] = parent.pop(key)
            case _:
                parent[key] = copy.deepcopy(random.choice(ODD_VALUES))
        if not places(value):
            break
    return value


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a value: the container and the key or index."""
    found: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in items:
        found.append((value, key))
        if isinstance(child, dict | list):
            found += places(child)
    return found


def damage_bytes(random: Random, text: bytes) -> bytes:
    """Return the text with bytes changed, taken out, put in, doubled, or its end cut off."""
    data = bytearray(text)
    for _ in range(random.randint(1, MAX_DAMAGES)):
        if not data:
            break
        at = random.randrange(len(data))
        until = min(len(data), at + random.randint(1, 8))
        match random.randrange(5):
            case 0:
                data[at] ^= 1 << random.randrange(8)
            case 1:
                del data[at:until]
            case 2:
                data[at:at] = bytes(random.choices(PUNCTUATION, k=random.randint(1, 4)))
            case 3:
                data[at:at] = data[at:until]
            case _:
                del data[at:]
    return bytes(data)


def encode(value: Any) -> bytes:
    """JSON without spaces, as the venue writes it, and with tokens that are none."""
    text = json.dumps(value, separators=(",", ":"))
    while _MARK in text:  # an odd text that was written as a string; in its place stands a token
        before, _, rest = text.partition(f'"{_MARK}')
        number, _, after = rest.partition('"')
        text = before + TOKENS[int(number)] + after
    return text.encode("utf-8", "surrogatepass")


def _message(channel: str, data: Any) -> dict[str, Any]:
    return {
        "jsonrpc": "2.0",
        "method": "subscription",
        "params": {"channel": channel, "data": data},
    }


CORPUS_SHARE: Final = 0.01
_BEST = [
    ("bid", "price", 99.5),
    ("bid", "amount", 5.0),
    ("ask", "price", 100.5),
    ("ask", "amount", 4.0),
]
_GROUPED = {"bids": [[99.5, 5.0]], "asks": [[100.5, 4.0]]}
_TEMPLATES = templates()
_CORPUS = [case.content for case in MALFORMED.values()]
