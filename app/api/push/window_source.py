"""Closed windows of all partitions, for the hub: whoever owns an instrument, any worker pushes its
windows.

Those of others come through Kafka: a consumer without a group reads from the present on, only while
clients follow windows; it commits nothing and delays nobody. What it misses while Kafka is away is
in the history.

Those that this worker closes are pushed at once, and not again when Kafka brings them. They follow
from records that Kafka has acknowledged, so that whoever computes them again, after a crash too,
gets the same bytes (decision 14).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from app.api.push.conflation import Key
from app.api.push.hub import Hub
from app.durations import format_span
from models.closed import ClosedWindow
from models.window import decode_window
from orderbook.windows.span import Span

log = logging.getLogger("steelyard.push")

IDLE_S: Final = 10.0
"""The consumer outlives the last follower by this: a page that is loaded anew is back at once."""
RETRY_S: Final = 2.0
FETCH_MS: Final = 200
MAX_RECORDS: Final = 500
MAX_TAKEN: Final = 100
"""In one turn of the loop, which takes a millisecond."""


class Tap:
    """Gives the hub each closed window once, those of a kind by their start."""

    def __init__(
        self, hub: Hub, consumer: Callable[[], AIOKafkaConsumer], topic: str, partitions: int
    ) -> None:
        self.hub = hub
        self.topic = topic
        self._consumer = consumer
        self._partitions = [TopicPartition(topic, number) for number in range(partitions)]
        self._is_reading = False
        self._newest: dict[Key, int] = {}
        """Start of the last window that was handed on. One that does not begin after it was handed
        on before: an instrument's windows of a length close in order, and a worker that takes a
        partition over publishes again what it cannot know to be published."""

    async def run(self) -> None:
        """Read whenever clients follow windows, until cancelled."""
        while True:
            await self.hub.windows_followed.wait()
            try:
                await self._read()
            except (KafkaError, OSError) as error:
                log.warning("windows are not pushed: Kafka does not answer (%r)", error)
                await asyncio.sleep(RETRY_S)

    async def _read(self) -> None:
        consumer = self._consumer()
        await consumer.start()
        try:
            consumer.assign(self._partitions)
            await consumer.seek_to_end(*self._partitions)
            self._is_reading = True
            idle_since: float | None = None
            now = asyncio.get_running_loop().time
            while idle_since is None or now() - idle_since < IDLE_S:
                found = await consumer.getmany(timeout_ms=FETCH_MS, max_records=MAX_RECORDS)
                values = [record.value for records in found.values() for record in records]
                for first in range(0, len(values), MAX_TAKEN):
                    self.take(values[first : first + MAX_TAKEN])
                    await asyncio.sleep(0)
                if self.hub.windows_followed.is_set():
                    idle_since = None
                elif idle_since is None:
                    idle_since = now()
        finally:
            with suppress(KafkaError):
                await consumer.stop()
            # What was the last when the reading ended is not the last any more.
            self._is_reading = False
            for channel in {key.channel for key in self._newest}:
                self.hub.latest.forget(channel)

    def take(self, values: Iterable[bytes | None]) -> None:
        """Hand on windows that Kafka brought."""
        closed = []
        for value in values:
            try:
                closed.append(decode_window(value or b""))
            except ValueError as error:
                log.warning("%s: %s", self.topic, error)
        self._hand_on(closed)

    def own(self, window: ClosedWindow) -> None:
        """Hand on a window that this worker has closed, if any client follows windows."""
        if self._is_reading or self.hub.windows_followed.is_set():
            self._hand_on([window])

    def _hand_on(self, closed: Iterable[ClosedWindow]) -> None:
        windows = []
        for each in closed:
            channel = format_span(Span(each.length_ms, each.hop_ms))
            key = Key(channel, each.instrument)
            newest = self._newest.get(key)
            if newest is None or each.start_ms > newest:
                self._newest[key] = each.start_ms
                windows.append((key, each.value))
        if windows:
            self.hub.put_windows(windows)


def consumer_of(kafka: str) -> AIOKafkaConsumer:
    """Return a consumer that belongs to no group and begins where the topic ends."""
    return AIOKafkaConsumer(
        bootstrap_servers=kafka, group_id=None, enable_auto_commit=False, auto_offset_reset="latest"
    )
