"""`python -m bench [PART …] [--quick]`: measures, prints a table, and keeps the figures as JSON."""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from subprocess import CalledProcessError
from typing import Any, Final

from app.embedded_kafka.errors import EmbeddedKafkaError
from app.errors import UserError
from app.recordings.reader import BadRecording
from bench import domain, fields, growth, live, memory, replay, restart
from bench.machine import load, machine
from bench.peers import run as peers
from bench.pipeline import WORK, Broker
from bench.render import CONTEST, contestants
from bench.tables import table_of, throughput

EXIT_FAILED: Final = 1
EXIT_BAD_INPUT: Final = 2
ALONE: Final[dict[str, Callable[..., list[dict[str, Any]]]]] = {
    "domain": domain.run,
    "growth": growth.run,
    "fields": fields.run,
}
ON_KAFKA: Final[dict[str, Callable[..., list[dict[str, Any]]]]] = {
    "replay": replay.run,
    "peers": peers.run,
    "live": live.run,
    "restart": restart.run,
}
PARTS: Final = (*ALONE, *ON_KAFKA)
MAX_MINUTES: Final = 24 * 60.0
LONG: Final = "memory"
"""Measured only when it is asked for: it takes minutes, or an hour."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    # What is started has to be ended, also when this is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # of topics that are just being made
    try:
        with _alone():
            _measure(options.part or PARTS, quick=options.quick, minutes=options.minutes)
    except (UserError, BadRecording, EmbeddedKafkaError, CalledProcessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except (AssertionError, TimeoutError) as error:  # of the processes that are measured
        print(f"bench: {error}", file=sys.stderr)
        return EXIT_FAILED
    return 0


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the bench's folder; raise UserError if another bench does."""
    WORK.mkdir(parents=True, exist_ok=True)
    with (WORK / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError("another bench is running: each would spoil the other") from None
        yield


def _measure(parts: Sequence[str], *, quick: bool, minutes: float | None) -> None:
    shutil.rmtree(WORK / "runs", ignore_errors=True)
    reports: dict[str, dict[str, Any]] = {}
    measures = ON_KAFKA | {LONG: partial(memory.run, minutes=minutes)}
    for part in parts:
        if part in ALONE:
            reports[part] = _keep(part, partial(ALONE[part], quick=quick), quick=quick)
            continue
        # What others have left on a broker, gigabytes of topics, is not to be measured with it.
        with Broker() as broker:
            reports[part] = _keep(part, partial(measures[part], broker, quick=quick), quick=quick)
    if reports.keys() >= set(CONTEST):  # ratios are between the two: the table of each has none
        print(throughput(contestants(reports)), flush=True)
    print("`python -m bench.render` writes docs/performance.md from these.", file=sys.stderr)


def _keep(part: str, measure: Callable[[], list[dict[str, Any]]], *, quick: bool) -> dict[str, Any]:
    """Measure a part; print its table, and write its figures to var/bench/PART.json."""
    print(f"bench: {part}{', quick' if quick else ''}", file=sys.stderr)
    report: dict[str, Any] = {
        "part": part,
        "quick": quick,
        "began": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "load_before": load(),
        "machine": machine(),
    }
    if part == "peers":
        report["peers"] = peers.versions()
    report["results"] = measure()
    path = WORK / f"{part}{'-quick' if quick else ''}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_suffix(".part")
    whole.write_text(json.dumps(report, indent=1) + "\n")
    whole.replace(path)
    print(table_of(report), flush=True)
    return report


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "part",
        nargs="*",
        choices=[*PARTS, LONG, []],
        help=f"of {', '.join(PARTS)}; all. {LONG}, only when it is named",
    )
    parser.add_argument("--minutes", type=_minutes, help=f"how long {LONG} takes")
    parser.add_argument("--quick", action="store_true", help="whether it works; no figures to keep")
    return parser


def _minutes(text: str) -> float:
    minutes = float(text)
    if not 0 < minutes <= MAX_MINUTES:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most {MAX_MINUTES:g}")
    return minutes


if __name__ == "__main__":
    sys.exit(main())
