"""A Faust agent as its tutorial has it: Records, and one write to a RocksDB table per event.

`PEER_STATE=table` keeps the book in the table, so that it survives; `memory` keeps it in the
process and writes the small window only.
"""

from __future__ import annotations

import os
from typing import Any

import faust
from book import Book, add_to_window, begin_window

IN_TABLE = os.environ["PEER_STATE"] == "table"
PARTITIONS = int(os.environ["PEER_PARTITIONS"])


class Data(faust.Record, serializer="json"):
    timestamp: int
    change_id: int
    instrument_name: str
    bids: list[Any]
    asks: list[Any]
    prev_change_id: int | None = None
    """None in a snapshot. (A field called `type`, which says so too, breaks Faust's Records.)"""


class Params(faust.Record, serializer="json"):
    channel: str
    data: Data


class Notification(faust.Record, serializer="json"):
    jsonrpc: str
    method: str
    params: Params


class State(faust.Record, serializer="json"):
    window: dict[str, Any]
    book: dict[str, Any] | None = None


app = faust.App(
    os.environ["PEER_GROUP"],
    broker=f"kafka://{os.environ['PEER_KAFKA']}",
    datadir=os.environ["PEER_DIR"],
    store="rocksdb://",
    topic_partitions=PARTITIONS,
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
    web_enabled=False,
)
notifications = app.topic(
    os.environ["PEER_INPUT"], key_type=str, key_serializer="raw", value_type=Notification
)
windows = app.topic(os.environ["PEER_OUTPUT"], value_serializer="json")
states = app.Table(
    "states", partitions=PARTITIONS, value_type=State, options={"driver": "rocksdict"}
)
books: dict[str, Book] = {}


@app.agent(notifications)
async def measure(stream: Any) -> None:
    async for notification in stream:
        data = notification.params.data
        name = data.instrument_name
        start_ms = data.timestamp // 1_000 * 1_000
        state = states.get(name)
        window = begin_window(name, start_ms) if state is None else state.window
        if IN_TABLE:
            book = Book(state.book if state is not None else None)
        else:
            book = books.setdefault(name, Book())
        if start_ms > window["start_ms"]:
            await windows.send(key=name, value=window)
            window = begin_window(name, start_ms)
        kind = "snapshot" if data.prev_change_id is None else "change"
        measured = book.apply({"type": kind, "bids": data.bids, "asks": data.asks})
        window = add_to_window(window, measured)
        states[name] = State(window=window, book=book.state() if IN_TABLE else None)
