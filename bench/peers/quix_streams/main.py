"""Quix Streams as its documentation has it: a stateful function, a tumbling window, a topic.

`PEER_STATE=table` keeps the book in Quix's state (RocksDB and changelog); `memory` keeps it in the
process, and only the window is in the state.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from book import Book, add_to_window, begin_window
from quixstreams import Application, State

IN_TABLE = os.environ["PEER_STATE"] == "table"
books: dict[str, Book] = {}


def event_time(value: dict[str, Any], *_: Any) -> int:
    return int(value["params"]["data"]["timestamp"])


def apply_in_state(value: dict[str, Any], state: State) -> dict[str, Any]:
    data = value["params"]["data"]
    book = Book(state.get("book"))
    measured = book.apply(data)
    state.set("book", book.state())
    return {"instrument": data["instrument_name"], "measured": measured}


def apply_in_memory(value: dict[str, Any]) -> dict[str, Any]:
    data = value["params"]["data"]
    name = data["instrument_name"]
    book = books.get(name)
    if book is None:
        book = books[name] = Book()
    return {"instrument": name, "measured": book.apply(data)}


def first(value: dict[str, Any]) -> dict[str, Any]:
    return add_to_window(begin_window(value["instrument"], 0), value["measured"])


def add(window: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    return add_to_window(window, value["measured"])


app = Application(
    broker_address=os.environ["PEER_KAFKA"],
    consumer_group=os.environ["PEER_GROUP"],
    auto_offset_reset="earliest",
    state_dir=os.environ["PEER_DIR"],
    use_changelog_topics=True,
)
source = app.topic(
    os.environ["PEER_INPUT"], value_deserializer="json", timestamp_extractor=event_time
)
output = app.topic(os.environ["PEER_OUTPUT"], value_serializer="json")
frame = app.dataframe(source)
frame = frame.apply(apply_in_state, stateful=True) if IN_TABLE else frame.apply(apply_in_memory)
frame = frame.tumbling_window(timedelta(seconds=1)).reduce(reducer=add, initializer=first).final()
frame = frame.apply(lambda window: {**window["value"], "start_ms": window["start"]})
frame = frame.to_topic(output)

if __name__ == "__main__":
    app.run()
