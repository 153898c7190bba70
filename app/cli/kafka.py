"""`kafka`: the embedded broker alone, in the foreground."""

from __future__ import annotations

import asyncio
import signal
from typing import Annotated, Final

import typer
from rich.console import Console

from app.cli.environment import load_settings
from app.embedded_kafka import EmbeddedBroker
from app.embedded_kafka.jars import write_lock

WATCH_INTERVAL_S: Final = 0.5


def kafka(
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65_535, help="Port on 127.0.0.1; else STEELYARD_KAFKA_PORT, else free."
        ),
    ] = None,
    heap_mb: Annotated[int, typer.Option(min=256, help="Java heap in MB.")] = 512,
    lock_jars: Annotated[
        bool, typer.Option("--lock-jars", help="Resolve the jars anew into the lock file.")
    ] = False,
) -> None:
    """Run the embedded Kafka broker until Ctrl-C; its address is printed on stdout."""
    if lock_jars:
        print(f"{write_lock()} jars locked")
        return
    settings = load_settings(join=False)
    chosen = settings.kafka_port if port is None else port
    asyncio.run(_serve(EmbeddedBroker(settings.data_dir, chosen, heap_mb)))


async def _serve(broker: EmbeddedBroker) -> None:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    console = Console(stderr=True, highlight=False, markup=False)
    console.print(f"starting Kafka in {broker.storage.logs}; Ctrl-C stops it")
    started = asyncio.create_task(broker.start())
    stop = asyncio.create_task(asked.wait())
    await asyncio.wait({started, stop}, return_when=asyncio.FIRST_COMPLETED)
    if not started.done():
        started.cancel()
        await asyncio.gather(started, return_exceptions=True)
        return
    started.result()
    print(broker.bootstrap, flush=True)
    try:
        while not asked.is_set():
            if not broker.running:
                raise broker.death()
            await asyncio.wait({stop}, timeout=WATCH_INTERVAL_S)
    finally:
        stop.cancel()
        await broker.stop()
        console.print("Kafka stopped")
