"""Workers that share the instruments of a simulated exchange, all ready."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.embedded_kafka import EmbeddedBroker
from app.settings import Settings
from tests.harness.pipeline import Pipeline, Worker


@contextmanager
def running_group(
    broker: EmbeddedBroker,
    folder: Path,
    *,
    name: str,
    workers: int,
    partitions: int,
    exchange: tuple[str, ...],
    ready_s: float,
) -> Iterator[tuple[Pipeline, list[Worker]]]:
    """Run workers 1 to `workers` in an installation called `name`, by itself on the broker."""
    installation = Settings(
        _env_file=None,
        installation=name,
        kafka=broker.bootstrap,
        data_dir=folder,
        partitions=partitions,
    )
    with Pipeline(installation) as pipeline:
        pipeline.start_exchange(*exchange)
        started = [pipeline.start_worker(number) for number in range(1, workers + 1)]
        for worker in started:
            worker.wait_ready(ready_s)
        yield pipeline, started
