"""Bytewax as its documentation has it: a stateful map, a tumbling window, a Kafka sink.

Its state is in memory; with `PEER_STATE=table` the runner also gives it a recovery store, which is
written every ten seconds. `python -m bytewax.run main:flow`.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import bytewax.operators as op
import bytewax.operators.windowing as win
from book import Book, add_to_window, begin_window
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow

KAFKA = [os.environ["PEER_KAFKA"]]
BATCH = 1_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Measured = tuple[int, dict[str, float]]


def decode(message: KafkaSourceMessage[bytes | None, bytes | None]) -> tuple[str, dict[str, Any]]:
    data = json.loads(message.value or b"")["params"]["data"]
    return data["instrument_name"], data


def apply(book: Book | None, data: dict[str, Any]) -> tuple[Book, Measured]:
    book = book or Book()
    return book, (data["timestamp"], book.apply(data))


def event_time(measured: Measured) -> datetime:
    return EPOCH + timedelta(milliseconds=measured[0])


def add(window: dict[str, Any], measured: Measured) -> dict[str, Any]:
    return add_to_window(window, measured[1])


def merge(window: dict[str, Any], _: dict[str, Any]) -> dict[str, Any]:
    raise AssertionError("tumbling windows are not merged")


def publish(item: tuple[str, tuple[int, dict[str, Any]]]) -> KafkaSinkMessage[bytes, bytes]:
    name, (number, window) = item
    record = {**window, "instrument": name, "start_ms": number * 1_000}
    return KafkaSinkMessage(name.encode(), json.dumps(record).encode())


flow = Dataflow("imbalance")
source = op.input(
    "source", flow, KafkaSource(KAFKA, [os.environ["PEER_INPUT"]], tail=False, batch_size=BATCH)
)
measured = op.stateful_map("book", op.map("decode", source, decode), apply)
clock = win.EventClock(
    event_time,
    wait_for_system_duration=timedelta(0),
    # A replay's time is that of its events: the machine's must not close a window.
    now_getter=lambda: EPOCH,
    to_system_utc=lambda _: None,
)
windower = win.TumblingWindower(length=timedelta(seconds=1), align_to=EPOCH)
closed = win.fold_window(
    "window", measured, clock, windower, lambda: begin_window("", 0), add, merge
)
kop.output(
    "sink", op.map("publish", closed.down, publish), brokers=KAFKA, topic=os.environ["PEER_OUTPUT"]
)
