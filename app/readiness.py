"""Whether a worker does its work, and what is not as it should be: for /readyz and the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faust.types import TP

from app.serving import Readiness

if TYPE_CHECKING:
    from app.state import WorkerState


def readiness_of(shared: WorkerState) -> Readiness:
    """Return whether a worker does its work; if not, why."""
    app = shared.app
    reasons: list[str] = []
    owned = shared.books.partitions
    if app.rebalancing:
        reasons.append("partitions are being assigned")
    elif app.in_recovery:
        reasons.append("tables are being recovered")
    if not shared.kafka_answers:
        reasons.append("Kafka does not answer")
    assigned = _assigned_partitions(shared)
    if assigned - owned.keys():
        reasons.append(f"partitions {sorted(assigned - owned.keys())} are not taken over yet")
    if not app.consumer_is_ready:
        reasons.append("not yet a member of the consumer group")
    statuses: dict[str, int] = {}
    for partition in owned.values():
        for state in partition.states.values():
            statuses[state.status] = statuses.get(state.status, 0) + 1
    if not reasons:
        reasons += _missing(shared)
    details = {
        "worker": shared.worker,
        "partitions": sorted(owned),
        "instruments": len(shared.states()),
        "owned": statuses,
    }
    if shared.ingest is not None:
        details["connections"] = [one.status() for one in shared.ingest.connections]
    return Readiness(not reasons, reasons, details, [] if reasons else _degraded(shared))


def _degraded(shared: WorkerState) -> list[str]:
    """Say what is not as it should be, although the worker does its work."""
    reasons: list[str] = []
    if shared.ingest is not None:
        reasons += shared.ingest.troubles()
    quiet = [n for n in shared.books.partitions if shared.feed_age_ms(n) > shared.stale_after_ms]
    behind = {n: lag for n in quiet if (lag := _lag(shared, n)) > 0}
    if behind:
        lag = sum(behind.values())
        reasons.append(f"partitions {sorted(behind)} are behind: {lag} frames to be processed")
    if silent := sorted(set(quiet) - behind.keys()):
        reasons.append(f"the feed of partitions {silent} is stale")
    states = shared.owned_states()
    lost = [state for state in states if state.status != "live"]
    if lost:
        reasons.append(f"{len(lost)} of {len(states)} instruments have no live book")
    return reasons


def _lag(shared: WorkerState, number: int) -> int:
    """Return how many frames of an owned partition wait, as of the last fetch."""
    tp = shared.books.input_tp(number)
    if not shared.app.consumer_is_ready or tp not in shared.app.consumer.assignment():
        return 0
    return (shared.app.consumer.highwater(tp) or 0) - shared.books.partitions[number].position


def _missing(shared: WorkerState) -> list[str]:
    """Say what is still without a book here or unknown to the views."""
    known = shared.states()
    if shared.app.options.ingest and shared.books.partitions:
        if shared.ingest is None:
            return ["ingest has not started yet"]
        if shared.ingest.session is None and not known:
            return ["not connected to the venue yet"]
        wanted = shared.ingest.wanted.instruments()
        missing = [n for n in wanted if n not in known or known[n].status == "waiting"]
        if missing:
            return [f"{len(missing)} of {len(wanted)} instruments wait for their first snapshot"]
    return [] if known else ["no instrument is known yet"]


def _assigned_partitions(shared: WorkerState) -> set[int]:
    if not shared.app.consumer_is_ready:
        return set()
    assignment: set[TP] = shared.app.consumer.assignment()
    return {tp.partition for tp in assignment if tp.topic == shared.books.topic}
