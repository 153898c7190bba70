"""A whole installation of its own on the shared broker: exchange, workers, topics."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from app.embedded_kafka.processes import free_port
from app.settings import Settings
from app.topics.admin import ensure_topics
from tests.harness.processes import Child, get_json, python

READY_TIMEOUT_S = 45.0


class Worker(Child):
    """One Faust worker."""

    def __init__(
        self, number: int, env: dict[str, str], folder: Path, application: str = "app"
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.is_paused = False
        name = f"worker-{number}"
        super().__init__(
            name,
            python("-m", "faust", "-A", application, "worker", "-l", "info"),
            {**env, "STEELYARD_WORKER_NAME": name, "STEELYARD_WEB_PORT": str(self.port)},
            folder / f"{name}.log",
        )

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until the worker says that it is ready."""
        self.wait_until("ready", lambda: get_json(f"{self.url}/readyz")[0] == 200, timeout_s)

    def get(self, path: str) -> tuple[int, Any]:
        """Return status and body of a view."""
        return get_json(self.url + path)


class Pipeline:
    """Starts and stops everything; use as a context manager."""

    def __init__(self, installation: Settings, **settings: str) -> None:
        self.installation = installation
        self.folder = installation.data_dir
        self.folder.mkdir(parents=True, exist_ok=True)
        self.settings = settings
        self.application = "app"
        """The Faust application that workers run: the product, or what it is compared with."""
        self.workers: dict[int, Worker] = {}
        self.exchange: Child | None = None
        self.venue_port = 0
        """Kept by the exchange that is started next; 0 takes a free one."""
        self.venue_url = "ws://127.0.0.1:9/unused"

    def __enter__(self) -> Self:
        asyncio.run(ensure_topics(self.installation))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for child in [*self.workers.values(), self.exchange]:
            if child is not None:
                child.kill()

    def start_exchange(self, *arguments: str) -> Child:
        """Start the simulated exchange and wait until it listens."""
        port_file = self.folder / "exchange.port"
        port_file.unlink(missing_ok=True)
        self.exchange = Child(
            "exchange",
            python("-m", "exchange", "--port-file", str(port_file), *arguments),
            {},
            self.folder / "exchange.log",
        ).start()
        port = self.exchange.wait_until(
            "listening", lambda: port_file.exists() and port_file.read_text().strip(), 20
        )
        self.venue_port = int(port)
        self.venue_url = f"ws://127.0.0.1:{port}/ws/api/v2"
        return self.exchange

    def worker(self, number: int, **settings: str) -> Worker:
        """Return a worker that is not started yet."""
        installation = self.installation
        env = {
            "STEELYARD_KAFKA": installation.kafka,
            "STEELYARD_INSTALLATION": installation.installation,
            "STEELYARD_PARTITIONS": str(installation.partitions),
            "STEELYARD_DATA_DIR": str(self.folder),
            "STEELYARD_VENUE_URL": self.venue_url,
        }
        for name, value in {**self.settings, **settings}.items():
            env[f"STEELYARD_{name.upper()}"] = value
        self.workers[number] = Worker(number, env, self.folder, self.application)
        return self.workers[number]

    def start_worker(self, number: int, **settings: str) -> Worker:
        """Start a worker, without waiting for it."""
        worker = self.worker(number, **settings)
        worker.start()
        return worker

    def topic(self, name: str) -> str:
        """Return the full name of a topic of the project."""
        return self.installation.topic_prefix + name

    def read(
        self, topic: str, until: Callable[[list[Any]], bool] | None = None, timeout_s: float = 30.0
    ) -> list[Any]:
        """Return all records of a topic in order per partition.

        Reads to the present end or, with `until`, on until it is true of what was read.
        """
        return asyncio.run(read_topic(self.installation.kafka, topic, until, timeout_s))

    def windows(self) -> list[dict[str, Any]]:
        """Return the published windows."""
        return [json.loads(record.value) for record in self.read(self.topic("windows"))]


async def read_topic(
    kafka: str, topic: str, until: Callable[[list[Any]], bool] | None, timeout_s: float
) -> list[Any]:
    """Return the records of a topic; see Pipeline.read."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic) or ()]
        if not partitions:
            await consumer._client.force_metadata_update()
            found = await consumer._client.fetch_all_metadata()
            numbers = found.partitions_for_topic(topic) or ()
            partitions = [TopicPartition(topic, number) for number in numbers]
        consumer.assign(partitions)
        records: list[Any] = []
        deadline = asyncio.get_running_loop().time() + timeout_s
        while asyncio.get_running_loop().time() < deadline:
            batches = await consumer.getmany(timeout_ms=200)
            records += [record for batch in batches.values() for record in batch]
            if until is not None:
                if until(records):
                    return records
                continue
            ends = await consumer.end_offsets(partitions)
            positions = [await consumer.position(tp) for tp in partitions]
            if all(p >= ends[tp] for p, tp in zip(positions, partitions, strict=True)):
                return records
        raise AssertionError(f"{topic}: {len(records)} records within {timeout_s} s, not enough")
    finally:
        await consumer.stop()
