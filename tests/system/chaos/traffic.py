"""Frames at a steady rate into a feed, whoever reads it: traffic that flows before workers."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

from aiokafka import AIOKafkaProducer

from app.settings import Settings
from app.topics.partitioner import partition_of
from models.frame import Frame, encode_frame
from tests.system.chaos.hand import START_MS, STEP_MS, Session, change, snapshot

NAMES = tuple(f"T{number}-PERPETUAL" for number in range(12))
FLUSH_S = 0.02


class Traffic:
    """Produces frames of a dozen instruments; what it produced is whole when it is stopped."""

    def __init__(self, settings: Settings, rate: float) -> None:
        self.settings = settings
        self.rate = rate
        self.frames = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def start(self) -> None:
        """Begin to produce."""
        self._thread.start()

    def __enter__(self) -> Traffic:
        self.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop, and wait until Kafka has everything."""
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), "the traffic does not end"

    def _run(self) -> None:
        asyncio.run(self._produce())

    async def _produce(self) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.settings.kafka, acks="all")
        await producer.start()
        try:
            sessions = {name: Session("traffic", name) for name in NAMES}
            clock = asyncio.get_running_loop().time
            began = clock()
            while not self._stop.is_set():
                due = int((clock() - began) * self.rate)
                while self.frames < due:
                    name = NAMES[self.frames % len(NAMES)]
                    await self._send(producer, self._frame(sessions[name], name))
                    self.frames += 1
                await asyncio.sleep(FLUSH_S)
            await producer.flush()
        finally:
            await producer.stop()

    def _frame(self, session: Session, name: str) -> Frame:
        number = self.frames // len(NAMES) + 1
        at = (time.time() * 1_000 - START_MS) / STEP_MS
        if number == 1:
            return session.frame(snapshot(number, at, name), at=at, connects=True)
        size = float(number % 50 + 1)
        return session.frame(change(number, number - 1, size, at, name), at=at)

    async def _send(self, producer: AIOKafkaProducer, frame: Frame) -> None:
        settings = self.settings
        await producer.send(
            f"{settings.topic_prefix}feed",
            encode_frame(frame),
            key=frame.instrument.encode(),
            partition=partition_of(frame.instrument, settings.partitions),
        )
