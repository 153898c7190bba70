"""How much of what a run simulates; each seed draws a plan of its own.

A run in which every fault may happen, at the usual rates, rarely gets deep into any of them. So a
plan leaves out most kinds of faults, and is extreme in what remains: checkpoints that are rare or
incessant, commits that lag behind, batches of one record, a worker that processes slower than it is
given records (this is known as swarm testing).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Final

FAULTS: Final = (
    *("kill", "pause", "rebalance", "ambush", "zombie", "slow", "slow_topic", "slow_answers"),
    *("fail", "repeat", "compact", "lose_leader", "lose_commit", "trim", "make_anew"),
)
"""Names of the functions in faults.py."""


@dataclass
class Plan:
    """How much of what is simulated."""

    workers: int = 2
    partitions: int = 2
    brokers: int = 1
    steps: int = 30
    """Of each instrument's feed."""
    duration_s: float = 20.0
    """Simulated time in which the feed is written and faults happen."""
    session_s: float = 8.0
    """A process that is silent for longer is no member of the group any more."""
    final_commit_s: float = 5.0
    """The last commit of who gives up partitions is given so long."""
    heartbeat_s: float = 0.2
    """A process hears of a rebalance at the latest after this."""
    lengths_ms: tuple[int, ...] = (1_000, 10_000)
    history: int = 1_000_000
    """Windows of each length that are kept."""
    max_age_s: float = 1.0
    """A changed state is written at the latest after this."""
    input_per_record: int | None = 8
    checkpoint_s: float = 0.3
    """Between two commits."""
    fetch_s: tuple[float, ...] = (0.05,)
    """Between two fetches; drawn anew at each take-over."""
    fetched: tuple[int, ...] = (1, 3, 20)
    """Records of a partition in one fetch."""
    dropped: float = 0.0
    """Share of fetches that are lost in the client, as Faust's are around a rebalance."""
    own_share: float = 0.7
    """Share of the feed that its owner writes, and is given without a fetch."""
    room: tuple[int, ...] = (1, 2, 5, 100)
    """Records in a batch."""
    resent: int = 1_000
    """Records that a checkpoint writes again of states not in memory."""
    later: int = 1_000
    """Closed windows that wait for the next checkpoint."""
    waiting_bytes: int = 2 * 1024 * 1024
    """Appended records that wait to be applied without a fetch."""
    fault_every_s: float = 1.3
    """Mean time between two faults."""
    faults: dict[str, int] = field(
        default_factory=lambda: {"kill": 2, "pause": 2, "rebalance": 1, "fail": 1, "compact": 1}
    )
    """How often each comes, relative to the others."""


def random_plan(seed: int) -> Plan:
    """Return the plan of a seed."""
    random = Random(f"plan {seed}")
    kinds = random.sample(FAULTS, random.choice((2, 3, 4, 6, len(FAULTS))))
    kinds += random.sample(("kill", "ambush", "zombie", "zombie"), 2)
    return Plan(
        workers=random.choice((2, 2, 2, 3)),
        partitions=random.choice((1, 1, 2, 3)),
        brokers=random.choice((1, 3)),
        steps=random.choice((10, 20, 40)),
        duration_s=random.choice((8.0, 15.0, 25.0)),
        session_s=random.choice((1.0, 3.0, 8.0)),
        final_commit_s=random.choice((0.3, 5.0)),
        heartbeat_s=random.choice((0.0, 0.2, 0.9)),
        lengths_ms=random.choice(((1_000, 10_000), (250,), (100, 300), (1_000, 60_000))),
        history=random.choice((1_000_000, 1_000_000, 12)),
        max_age_s=random.choice((0.0, 0.5, 2.0, 6.0)),
        input_per_record=random.choice((None, 1, 8)),
        checkpoint_s=random.choice((0.1, 0.3, 0.3, 1.0)),
        fetch_s=random.choice(((0.05,), (0.05, 0.3), (0.1, 1.0), (0.3, 2.0))),
        fetched=random.choice(((1,), (1, 3, 20), (100,))),
        dropped=random.choice((0.0, 0.1)),
        own_share=random.choice((0.0, 0.5, 1.0)),
        room=random.choice(((1,), (1, 2, 5, 100), (100,))),
        resent=random.choice((1, 2, 1_000)),
        later=random.choice((2, 1_000)),
        waiting_bytes=random.choice((2_000, 2 * 1024 * 1024)),
        fault_every_s=random.choice((0.4, 1.3, 3.0)),
        faults={kind: kinds.count(kind) * random.choice((1, 1, 3)) for kind in kinds},
    )
