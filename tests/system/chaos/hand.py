"""Frames made by hand, for what an exchange never does."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import count
from typing import Any

from aiokafka import AIOKafkaProducer

from app.topics.partitioner import partition_of
from models.frame import FRAME_VERSION, Connected, Frame, Item, Notification, Tick, encode_frame

NAME = "HAND-PERPETUAL"
START_MS = 1_700_000_000_000
STEP_MS = 100


def time_of(at: float) -> int:
    """Return the time of a step, ms since the epoch."""
    return int(START_MS + at * STEP_MS)


def channel_of(name: str) -> str:
    """Return the book channel of an instrument."""
    return f"book.{name}.100ms"


def neighbour_of(name: str, partitions: int) -> str:
    """Return another instrument of the same partition."""
    others = (f"OTHER{number}-PERPETUAL" for number in count())
    wanted = partition_of(name, partitions)
    return next(other for other in others if partition_of(other, partitions) == wanted)


def book(
    change_id: int,
    previous: int | None,
    bids: list[Any],
    asks: list[Any],
    at: float,
    name: str = NAME,
) -> bytes:
    """Return a notification; without a previous id it is a snapshot. `at` counts steps."""
    data: dict[str, Any] = {
        "timestamp": time_of(at),
        "type": "snapshot" if previous is None else "change",
        "change_id": change_id,
        "instrument_name": name,
        "bids": bids,
        "asks": asks,
    }
    if previous is not None:
        data["prev_change_id"] = previous
    params = {"channel": channel_of(name), "data": data}
    message = {"jsonrpc": "2.0", "method": "subscription", "params": params}
    return json.dumps(message, separators=(",", ":")).encode()


def snapshot(change_id: int, at: float, name: str = NAME) -> bytes:
    """Return a small book."""
    asks = [["new", 100.5, 20.0], ["new", 101.0, 5.0]]
    return book(change_id, None, [["new", 99.5, 10.0]], asks, at, name)


def change(change_id: int, previous: int, size: float, at: float, name: str = NAME) -> bytes:
    """Return a change of the best bid's size."""
    return book(change_id, previous, [["change", 99.5, size]], [], at, name)


class Session:
    """Numbers the frames of one instrument in one session."""

    def __init__(self, name: str, instrument: str = NAME) -> None:
        self.name = name
        self.instrument = instrument
        self.sequence = 0

    def frame(self, *messages: bytes, at: float, skip: int = 0, connects: bool = False) -> Frame:
        """Return the next frame, or one that leaves out `skip` numbers."""
        self.sequence += 1 + skip
        received_ns = time_of(at) * 1_000_000
        items: list[Item] = [Notification(received_ns, message) for message in messages]
        if connects:
            items.insert(0, Connected(received_ns, "hand", True))
        channel = channel_of(self.instrument)
        return Frame(FRAME_VERSION, self.instrument, channel, self.name, self.sequence, items)

    def tick(self, at: float) -> Frame:
        """Return a frame of one tick."""
        time_ms = time_of(at)
        tick = Tick(time_ms * 1_000_000, time_ms, 0)
        return Frame(FRAME_VERSION, "", "", self.name, 0, [tick])


async def produce(
    kafka: str, topic: str, records: Iterable[tuple[bytes | None, bytes | None]], partition: int
) -> list[int]:
    """Append records to one partition; return their offsets."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all")
    await producer.start()
    try:
        return [
            (await producer.send_and_wait(topic, value, key=key, partition=partition)).offset
            for key, value in records
        ]
    finally:
        await producer.stop()


async def produce_frames(
    kafka: str, topic: str, frames: Iterable[Frame], partition: int
) -> list[int]:
    """Append frames to one partition; return their offsets."""
    records = [(frame.instrument.encode() or None, encode_frame(frame)) for frame in frames]
    return await produce(kafka, topic, records, partition)
