"""Live: the simulated exchange at a rate, one worker, and what is published, as it is published."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any, Final

import aiohttp

from app.errors import UserError
from bench.feeds import INSTRUMENTS
from bench.latency import Seen, latencies
from bench.machine import Usage, load, resident_mb
from bench.pipeline import Broker, Reader, ends
from tests.api.push.scrape import scrape
from tests.harness.pipeline import Pipeline
from tests.harness.processes import Child, get_json
from tests.harness.sampler import Sampler

RATES: Final = (300, 1_000, 2_000, 5_000)
QUICK_RATES: Final = (60,)
QUICK_INSTRUMENTS: Final = 14
WARM_S: Final = 15.0
MEASURED_S: Final = 30.0
QUICK_S: Final = 5.0
READY_TIMEOUT_S: Final = 180.0


def run(broker: Broker, *, quick: bool) -> list[dict[str, Any]]:
    """Measure every rate; one that is too much for the machine does not spoil the others."""
    rates = QUICK_RATES if quick else RATES
    seconds = QUICK_S if quick else MEASURED_S
    instruments = QUICK_INSTRUMENTS if quick else INSTRUMENTS
    results = []
    for rate in rates:
        asked = {"rate": rate, "instruments": instruments, "load_before": load()}
        try:
            results.append(asked | live(broker, rate, seconds, instruments))
        except (UserError, AssertionError) as error:
            print(f"bench: {rate}/s: {error}", file=sys.stderr)
            results.append(asked | {"failed": str(error)})
    return results


def live(
    broker: Broker, rate: int, seconds: float, instruments: int, **settings: str
) -> dict[str, Any]:
    """Return latencies, processor time, memory and lag at a rate, over so many seconds."""
    configured = broker.installation()
    with Pipeline(configured, **settings) as pipeline:
        exchange = pipeline.start_exchange("--instruments", str(instruments), "--rate", str(rate))
        worker = pipeline.start_worker(1)
        worker.wait_ready(READY_TIMEOUT_S)
        wait_live(worker.url, instruments, READY_TIMEOUT_S)
        time.sleep(WARM_S if seconds > QUICK_S else 1.0)
        usage = Usage({"worker": worker.pid, "exchange": exchange.pid, "broker": broker.pid})
        with memory_of(worker) as memory:
            seen = asyncio.run(_observe(pipeline, worker.url, seconds))
        percent = usage.percent()
        lag = int(scrape(worker.url).value("steelyard_lag_records", topic="feed"))
        worker.stop()
    return {
        "seconds": seconds,
        **latencies(seen, seconds),
        "cpu_percent": percent,
        "lag_frames": lag,
        "resident_mb": memory.samples,
    }


def wait_live(url: str, instruments: int, timeout_s: float) -> float:
    """Return the seconds until a worker serves so many instruments as live, and heard since now.

    What an earlier worker heard does not count: its last states are known to the next one.
    """
    began, began_ms = time.monotonic(), time.time_ns() // 1_000_000
    while time.monotonic() - began < timeout_s:
        status, answer = get_json(f"{url}/v1/imbalance")
        rows = answer["data"] if status == 200 else []
        heard = [row for row in rows if row["status"] == "live" and row["received_ms"] > began_ms]
        if len(heard) >= instruments:
            return time.monotonic() - began
        time.sleep(0.05)
    raise UserError(f"bench: not {instruments} instruments live at {url} within {timeout_s} s")


def memory_of(process: Child) -> Sampler[float]:
    """Return a sampler of what a process holds, in MB."""
    return Sampler(lambda: resident_mb(process.pid))


async def _observe(pipeline: Pipeline, url: str, seconds: float) -> Seen:
    seen = Seen()
    kafka = pipeline.installation.kafka
    deadline = time.monotonic() + seconds
    pushes = asyncio.create_task(_listen(url, seen))
    async with (
        Reader(kafka, pipeline.topic("feed")) as feed,
        Reader(kafka, pipeline.topic("windows")) as windows,
    ):
        await asyncio.gather(feed.to_end(), windows.to_end())
        while time.monotonic() < deadline:
            records, now_ns = await windows.poll()
            seen.windows += [(now_ns, record.value) for record in records]
        # Frames say themselves when they were received: they are read when all is measured.
        seen.feed = await feed.up_to(await ends(kafka, pipeline.topic("feed")))
    pushes.cancel()
    (ended,) = await asyncio.gather(pushes, return_exceptions=True)
    if not isinstance(ended, asyncio.CancelledError):
        raise UserError(f"bench: {url}/v1/stream ended: {ended!r}")
    return seen


async def _listen(url: str, seen: Seen) -> None:
    """Keep the events of the stream; a line is longer than an HTTP reader's own limit for one."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session,
        session.get(f"{url}/v1/stream", params={"lengths": "1s"}) as answer,
    ):
        answer.raise_for_status()
        rest = b""
        async for chunk in answer.content.iter_any():
            now_ns = time.time_ns()
            *lines, rest = (rest + chunk).split(b"\n")
            seen.pushed += [(now_ns, line[5:]) for line in lines if line.startswith(b"data:")]
