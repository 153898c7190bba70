"""Messages that no client should choke on: malformed, of wrong types, out of range, too deep.

Each is what its name says and nothing else. Those about a book name BTC-PERPETUAL, which every
venue here has; ids are far above all real ones, so none of them follows any chain.
"""

from typing import NamedTuple

DEEP = 100_000
_CHANNEL = "book.BTC-PERPETUAL.100ms"
_TRADES = "trades.BTC-PERPETUAL.100ms"
_TICKER = "ticker.BTC-PERPETUAL.100ms"


class Malformed(NamedTuple):
    content: bytes
    is_text: bool = True


def huge_message(channel: str, size_bytes: int) -> bytes:
    """A notification that is right but for its size."""
    head = (
        f'{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"{channel}",'
        '"data":{"timestamp":1,"type":"change","prev_change_id":1,"change_id":2,'
        '"instrument_name":"BTC-PERPETUAL","bids":[],"asks":[],"padding":"'
    ).encode()
    tail = b'"}}}'
    return head + b"x" * (size_bytes - len(head) - len(tail)) + tail


def _note(data: str, channel: str = _CHANNEL) -> bytes:
    return (
        f'{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"{channel}",'
        f'"data":{data}}}}}'
    ).encode()


def _book(bids: str = "[]", asks: str = "[]", **fields: str) -> bytes:
    """A change that follows nothing, with these JSON texts in it."""
    shown = {
        "timestamp": "1700000000000",
        "type": '"snapshot"',
        "change_id": "9000000000000000",
        "instrument_name": '"BTC-PERPETUAL"',
        **fields,
        "bids": bids,
        "asks": asks,
    }
    return _note("{" + ",".join(f'"{name}":{text}' for name, text in shown.items()) + "}")


def _trade(**fields: str) -> bytes:
    shown = {
        "timestamp": "1700000000000",
        "price": "100.0",
        "amount": "10.0",
        "direction": '"buy"',
        "instrument_name": '"BTC-PERPETUAL"',
        "trade_seq": "1",
        **fields,
    }
    return _note("[{" + ",".join(f'"{n}":{text}' for n, text in shown.items()) + "}]", _TRADES)


MALFORMED: dict[str, Malformed] = {
    # Not JSON
    "empty": Malformed(b""),
    "space": Malformed(b" \r\n\t"),
    "word": Malformed(b"connection_too_slow"),
    "half an object": Malformed(_book()[:-20]),
    "two objects": Malformed(b"{}{}"),
    "bad utf-8": Malformed(_note('{"instrument_name":"\x00"}').replace(b"\x00", b"\xff\xfe")),
    "lone surrogate": Malformed(_note('{"instrument_name":"\\ud800"}')),
    "control character in a string": Malformed(_note('"\x01"')),
    "nul": Malformed(b"\x00"),
    "byte order mark": Malformed(b"\xef\xbb\xbf" + _book()),
    "html": Malformed(b"<html><body>502 Bad Gateway</body></html>"),
    "binary rubbish": Malformed(bytes(range(256)), is_text=False),
    "deep lists": Malformed(b"[" * DEEP),
    "deep objects": Malformed(b'{"params":' * DEEP),
    "deep data": Malformed(_note("[" * DEEP + "]" * DEEP)),
    # JSON, but no message
    "null": Malformed(b"null"),
    "number": Malformed(b"7"),
    "string": Malformed(b'"subscription"'),
    "list": Malformed(b"[]"),
    "batch": Malformed(b"[" + _book() + b"]"),
    "object": Malformed(b"{}"),
    "unknown method": Malformed(b'{"jsonrpc":"2.0","method":"surprise","params":{}}'),
    "method of another type": Malformed(b'{"jsonrpc":"2.0","method":7,"params":{}}'),
    "answer to nothing": Malformed(b'{"jsonrpc":"2.0","id":987654321,"result":"ok"}'),
    "answer to a text": Malformed(b'{"jsonrpc":"2.0","id":"x","result":[]}'),
    "id of 30 digits": Malformed(b'{"jsonrpc":"2.0","id":' + b"9" * 30 + b',"result":[]}'),
    "no params": Malformed(b'{"jsonrpc":"2.0","method":"subscription"}'),
    "params of another type": Malformed(b'{"method":"subscription","params":[]}'),
    "no channel": Malformed(b'{"method":"subscription","params":{"data":{}}}'),
    "channel of another type": Malformed(b'{"method":"subscription","params":{"channel":1}}'),
    "unknown channel": Malformed(_note("{}", "nonsense.BTC-PERPETUAL.100ms")),
    "channel of another instrument": Malformed(_book(instrument_name='"ETH-PERPETUAL"')),
    "heartbeat of another type": Malformed(b'{"method":"heartbeat","params":{"type":7}}'),
    "data null": Malformed(_note("null")),
    "data a text": Malformed(_note('"x"')),
    "book as a list": Malformed(_note("[{}]")),
    # A book with wrong fields
    "no change_id": Malformed(_note('{"timestamp":1,"bids":[],"asks":[]}')),
    "change_id a text": Malformed(_book(change_id='"7"')),
    "change_id a fraction": Malformed(_book(change_id="7.5")),
    "change_id negative": Malformed(_book(change_id="-7")),
    "change_id of 30 digits": Malformed(_book(change_id="9" * 30)),
    "timestamp a text": Malformed(_book(timestamp='"now"')),
    "timestamp negative": Malformed(_book(timestamp="-1")),
    "timestamp in ns": Malformed(_book(timestamp="1700000000000000000")),
    "type unknown": Malformed(_book(type='"update"')),
    "levels null": Malformed(_book(bids="null")),
    "levels an object": Malformed(_book(bids='{"new":1}')),
    "level of two": Malformed(_book(bids='[["new",100.0]]')),
    "level of four": Malformed(_book(bids='[["new",100.0,1.0,1.0]]')),
    "action unknown": Malformed(_book(bids='[["insert",100.0,1.0]]')),
    "price NaN": Malformed(_book(bids='[["new",NaN,1.0]]')),
    "price Infinity": Malformed(_book(bids='[["new",Infinity,1.0]]')),
    "price 1e999": Malformed(_book(bids='[["new",1e999,1.0]]')),
    "price a text": Malformed(_book(bids='[["new","100.0",1.0]]')),
    "price null": Malformed(_book(bids='[["new",null,1.0]]')),
    "price zero": Malformed(_book(bids='[["new",0.0,1.0]]')),
    "price negative": Malformed(_book(bids='[["new",-100.0,1.0]]')),
    "price below 1e-8": Malformed(_book(bids='[["new",1e-9,1.0]]')),
    "amount negative": Malformed(_book(asks='[["new",100.0,-1.0]]')),
    "amount NaN": Malformed(_book(asks='[["new",100.0,NaN]]')),
    "amount 1e999": Malformed(_book(asks='[["new",100.0,1e999]]')),
    "amount 1e300": Malformed(_book(asks='[["new",100.0,1e300]]')),
    "amount true": Malformed(_book(asks='[["new",100.0,true]]')),
    "number with 5,000 digits": Malformed(_book(asks=f'[["new",{"9" * 5_000},1.0]]')),
    "level twice in a snapshot": Malformed(
        _book(bids='[["new",100.0,1.0],["new",1e2,2.0]]', asks='[["new",101.0,1.0]]')
    ),
    "crossed snapshot": Malformed(_book(bids='[["new",102.0,1.0]]', asks='[["new",101.0,1.0]]')),
    "snapshot that deletes": Malformed(_book(bids='[["delete",100.0,0.0]]')),
    # Trades and tickers with wrong fields
    "trades as an object": Malformed(_note("{}", _TRADES)),
    "trades of numbers": Malformed(_note("[1,2]", _TRADES)),
    "trade without a price": Malformed(_trade(price="null")),
    "trade at price zero": Malformed(_trade(price="0")),
    "trade of a negative amount": Malformed(_trade(amount="-5")),
    "trade sideways": Malformed(_trade(direction='"hold"')),
    "trade_seq a text": Malformed(_trade(trade_seq='"1"')),
    "ticker as a list": Malformed(_note("[]", _TICKER)),
    "ticker of texts": Malformed(
        _note(
            '{"timestamp":1,"instrument_name":"BTC-PERPETUAL","mark_price":"high"}',
            _TICKER,
        )
    ),
    "ticker 1e999": Malformed(
        _note('{"timestamp":1,"instrument_name":"BTC-PERPETUAL","mark_price":1e999}', _TICKER)
    ),
}
