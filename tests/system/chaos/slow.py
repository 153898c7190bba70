"""Steps that slow a process down: what waits is shown and bounded, and gone when that is over.

A worker, or the broker, runs a share of the time only. Meanwhile every worker is asked once a
second what waits in it and whether it is well, and its memory is read.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from tests.api.push.scrape import scrape
from tests.harness.duty import DutyCycle
from tests.harness.processes import get_json
from tests.harness.sampler import Sampler
from tests.system.chaos.run import Run

SHOWN_S: Final = 3.0
"""For so long, at least, something has to be shown to wait: longer than a pause is."""
CAUGHT_UP_S: Final = 1.0
"""A worker has caught up when nothing waits longer, and no more records than that bring."""
CATCH_UP_LIMIT_S: Final = 30.0
POLL_S: Final = 0.2
PATIENCE_S: Final = 10.0
"""For an answer of what is slow."""


@dataclass(frozen=True)
class SlowWorker:
    """Let a worker run only a share of the time, for a while."""

    worker: int
    share: float
    seconds: float

    def do(self, run: Run) -> None:
        _slow_down(run, run.worker(self.worker).pid, self.share, self.seconds)


@dataclass(frozen=True)
class SlowBroker:
    """Let the broker run only a share of the time, for a while."""

    share: float
    seconds: float

    def do(self, run: Run) -> None:
        broker = run.broker
        assert broker is not None, "the scenario needs a broker of its own"
        assert broker.process is not None
        _slow_down(run, broker.process.pid, self.share, self.seconds)


@dataclass(frozen=True)
class Look:
    """What a worker showed at a moment."""

    lag_records: float
    """Of the feed, in Kafka and not processed."""
    messages: float
    frames: float
    waits_s: float
    """Of what is not in Kafka yet, the oldest; all of this is 0 in a worker without ingest."""
    dropped: float
    reasons: tuple[str, ...]
    """Why /readyz calls it degraded, or not ready."""


def _slow_down(run: Run, pid: int, share: float, seconds: float) -> None:
    memory = run.memory_mb()
    most = dict(memory)

    def look() -> list[Look]:
        for number, held in run.memory_mb().items():
            most[number] = max(held, most.get(number, held))
        return list(_looks(run))

    usual_s, run.watcher.patience_s = run.watcher.patience_s, PATIENCE_S
    with Sampler(look) as sampler:
        with DutyCycle(pid, share):
            run.flow(seconds)
        run.fault()
        began = time.monotonic()
    run.watcher.patience_s = usual_s
    seen = [one for sample in sampler.samples for one in sample]
    assert seen, "no worker has shown anything"
    run.notes["shown"] = {
        "waits_s": round(max(one.waits_s for one in seen), 1),
        "messages": max(one.messages for one in seen),
        "frames": max(one.frames for one in seen),
        "lag_records": max(one.lag_records for one in seen),
        "dropped": max(one.dropped for one in seen),
        "reasons": max((one.reasons for one in seen), key=len),
    }
    deadline = began + CATCH_UP_LIMIT_S
    while not (now := look()) or not all(_is_caught_up(one, run.rate) for one in now):
        assert time.monotonic() < deadline, f"not caught up in {CATCH_UP_LIMIT_S} s: {now}"
        time.sleep(POLL_S)
    run.notes["caught_up_s"] = round(time.monotonic() - began, 1)
    run.judge_memory(memory, most)
    shown = run.notes["shown"]
    waits_s = max(shown["waits_s"], shown["lag_records"] / run.rate)
    assert waits_s >= SHOWN_S, f"nothing was shown to wait so long: {shown}"
    assert shown["reasons"], f"/readyz has never said that anything is behind: {shown}"


def _is_caught_up(look: Look, rate: float) -> bool:
    return look.waits_s <= CAUGHT_UP_S and look.lag_records <= rate * CAUGHT_UP_S


def _looks(run: Run) -> Iterable[Look]:
    """Yield what each worker shows that runs and answers in time."""
    for worker in [one for one in run.pipeline.workers.values() if one.running]:
        try:
            shown = scrape(worker.url)
        except OSError:
            continue
        _, answer = get_json(f"{worker.url}/readyz", PATIENCE_S)
        yield Look(
            shown.value("steelyard_lag_records", topic="feed"),
            shown.total("steelyard_feed_waiting_messages"),
            shown.total("steelyard_feed_waiting_frames"),
            shown.total("steelyard_feed_waiting_seconds"),
            shown.total("steelyard_feed_overflowed_total"),
            tuple(_reasons(answer)),
        )


def _reasons(answer: Any) -> Iterable[str]:
    """Return the reasons of /readyz, whether it answered 200 or 503."""
    found: Iterable[str] = (answer or {}).get("data", answer or {}).get("reasons", ())
    return found
