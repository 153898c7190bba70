"""Runs the peers: each in an environment of its own, on the same messages, one record each.

The book can be kept in two ways, and both are measured: in the framework's durable state, which is
what Steelyard's is, and in the memory of the process, which a restart loses.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final

from bench.agreement import compare, truth
from bench.environments import environment, required
from bench.environments import run as run_command
from bench.feeds import (
    COPIES,
    INSTRUMENTS,
    Log,
    book_messages,
    closing_messages,
    generated,
    instrument_names,
    recording,
)
from bench.machine import cpu_s, load, resident_mb
from bench.peers import java
from bench.pipeline import (
    PARTITIONS,
    WORK,
    Broker,
    Output,
    Reader,
    follow,
    make_topics,
    write_messages,
)
from tests.harness.processes import Child, ProcessEnded

HERE: Final = Path(__file__).parent
TIMEOUT_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Peer:
    """A contestant; sizes are notifications, as many as it takes about 20 s to do.

    About 25 s where its state is kept every 5 or 10 s, so that some of that falls into the time.
    """

    name: str
    folder: str
    variant: str
    state: str
    command: tuple[str, ...]
    generated: int
    lines: int
    """Of the recording, for each of its copies; about half of them are of books."""
    guarantee: str = "at_least_once"
    """After a restart; only Kafka Streams has a choice."""

    @property
    def place(self) -> Path:
        """The folder of its program."""
        return HERE / self.folder

    @property
    def version(self) -> str:
        """What its environment pins."""
        if self.command == JAVA:
            return java.versions(self.place)
        return ", ".join(required(self.place / "requirements.txt")) or "the project's own"

    def installed(self) -> list[str]:
        """Return its command, after installing or compiling what it needs."""
        if self.command == JAVA:
            return java.command(self.place, *JAVA)
        return [str(environment(self.place / "requirements.txt")), *self.command]


FAUST: Final = ("-m", "faust", "-A", "main", "worker", "-l", "info", "--without-web")
QUIX: Final = (str(HERE / "quix_streams" / "main.py"),)
BYTEWAX: Final = ("-m", "bytewax.run", "main:flow")
JAVA: Final = ("Imbalance",)
DURABLE: Final = "book in its durable state"
DURABLE_ONCE: Final = f"{DURABLE}, exactly once"
MEMORY: Final = "book in memory only"
ONCE: Final = "exactly_once_v2"
WHOLE: Final = 80_000
"""More lines than the recording beside the project has: the fastest do all of it in 9 to 16 s."""
PEERS: Final = (
    Peer("naive Faust", "faust_naive", DURABLE, "table", FAUST, 30_000, 560),
    Peer("naive Faust", "faust_naive", MEMORY, "memory", FAUST, 50_000, 11_000),
    Peer("Quix Streams", "quix_streams", DURABLE, "table", QUIX, 200_000, 4_200),
    Peer("Quix Streams", "quix_streams", MEMORY, "memory", QUIX, 360_000, WHOLE),
    Peer("Bytewax", "bytewax_flow", DURABLE, "table", BYTEWAX, 800_000, WHOLE),
    Peer("Bytewax", "bytewax_flow", MEMORY, "memory", BYTEWAX, 600_000, WHOLE),
    Peer("Kafka Streams", "kafka_streams", DURABLE_ONCE, "table", JAVA, 500_000, 20_000, ONCE),
    Peer("Kafka Streams", "kafka_streams", DURABLE, "table", JAVA, 500_000, 20_000),
    Peer("Kafka Streams", "kafka_streams", MEMORY, "memory", JAVA, 900_000, WHOLE),
)
QUICK_DIVISOR: Final = 40


def run(broker: Broker, *, quick: bool) -> list[dict[str, Any]]:
    """Measure every peer on both logs."""
    divisor = QUICK_DIVISOR if quick else 1
    results = []
    for peer in PEERS:  # what cannot be installed is known before minutes are spent on others
        peer.installed()
    for peer in PEERS:
        for made in logs(peer, divisor):
            results.append(_measured(broker, peer, made()))
            print(f"  {summary(results[-1])}", file=sys.stderr)
    return results


def logs(peer: Peer, divisor: int) -> tuple[Callable[[], Log], ...]:
    """Return what makes each log of a peer: they are large, so one is held at a time."""
    count, lines = max(2_000, peer.generated // divisor), max(250, peer.lines // divisor)
    return (
        partial(generated, count, instrument_names(INSTRUMENTS)),
        partial(recording, instrument_names(COPIES), limit=lines),
    )


def _measured(broker: Broker, peer: Peer, log: Log) -> dict[str, Any]:
    before = load()
    try:
        return measure(broker, peer, log) | {"load_before": before}
    except (TimeoutError, ProcessEnded) as error:
        # What the others have taken minutes for is not thrown away.
        return _failed(peer, log, error, before)


def _failed(peer: Peer, log: Log, error: Exception, before: float) -> dict[str, Any]:
    return {
        "who": peer.name,
        "variant": peer.variant,
        "log": log.name,
        "load_before": before,
        "changes_per_s": 0,
        "levels_per_s": 0,
        "agreement": None,
        "failed": str(error),
    }


def summary(result: dict[str, Any]) -> str:
    """Return a result in a line."""
    return (
        f"{result['who']}, {result['variant']}, {result['log']}: "
        f"{result['changes_per_s']}/s, "
        f"{result.get('failed') or result['agreement']}"
    )


def measure(broker: Broker, peer: Peer, log: Log) -> dict[str, Any]:
    """Return what a peer needs for a log, and whether its windows are right."""
    expected = truth(log)
    unique = f"{peer.folder}-{uuid.uuid4().hex[:8]}"
    folder = WORK / "runs" / unique
    folder.mkdir(parents=True)
    inputs, outputs = f"{unique}-in", f"{unique}-out"
    asyncio.run(make_topics(broker.bootstrap, inputs, outputs))
    messages = chain(book_messages(log), closing_messages(log))
    asyncio.run(write_messages(broker.bootstrap, inputs, messages))
    process = _start(peer, broker, folder, unique)

    def alive() -> None:
        if not process.running and process.wait() != 0:
            raise ProcessEnded(f"{peer.name} ended\n{process.tail()}")

    async def output() -> Output:
        async with Reader(broker.bootstrap, outputs) as reader:
            return await follow(
                reader,
                len(expected),
                lambda _: True,
                timeout_s=TIMEOUT_S,
                alive=alive,
            )

    try:
        published = asyncio.run(output())
        cpu = cpu_s(process.pid) if process.running else None
        memory = resident_mb(process.pid) if process.running else None
    finally:
        process.kill()
    seconds, share = published.timed()
    return {
        "who": peer.name,
        "variant": peer.variant,
        "log": log.name,
        "changes": log.changes,
        "levels": log.levels,
        "seconds": round(seconds, 2),
        "share_timed": round(share, 4),
        "changes_per_s": round(log.changes * share / max(seconds, 1e-3)),
        "levels_per_s": round(log.levels * share / max(seconds, 1e-3)),
        "windows": len(published.records),
        "cpu_s": None if cpu is None else round(cpu, 2),
        "resident_mb": memory,
        "agreement": compare(expected, map(json.loads, published.records)),
    }


def _start(peer: Peer, broker: Broker, folder: Path, unique: str) -> Child:
    command = peer.installed()
    if peer.folder == "bytewax_flow" and peer.state == "table":
        run_command(command[0], "-m", "bytewax.recovery", str(folder), "1", folder=folder)
        command += ["-r", str(folder), "-s", "10", "-b", "0"]
    env = {
        "PEER_KAFKA": broker.bootstrap,
        "PEER_GROUP": unique,
        "PEER_INPUT": f"{unique}-in",
        "PEER_OUTPUT": f"{unique}-out",
        "PEER_PARTITIONS": str(PARTITIONS),
        "PEER_DIR": str(folder),
        "PEER_STATE": peer.state,
        "PEER_GUARANTEE": peer.guarantee,
        "PYTHONPATH": f"{HERE}{os.pathsep}{peer.place}",
    }
    return Child(peer.name, command, env, folder / "log").start()


def versions() -> dict[str, str]:
    """Return what the peers' environments pin."""
    return {peer.name: peer.version for peer in PEERS}
