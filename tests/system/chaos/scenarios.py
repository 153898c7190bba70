"""The scenarios as data; each is a list of steps on one installation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tests.system.chaos.outages import BrokerAway, LoseBroker, MajorityAway
from tests.system.chaos.slow import SlowBroker, SlowWorker
from tests.system.chaos.steps import (
    Block,
    DamageStore,
    Flow,
    Kill,
    Live,
    Pause,
    Ready,
    ReplayOld,
    RestartVenue,
    Start,
    Starve,
    Step,
    Terminate,
    Use,
    Venue,
)

INSTRUMENTS = 6
PARTITIONS = 4


@dataclass(frozen=True)
class Scenario:
    """What is done, and the times within which all must be live again, in the order of Live."""

    name: str
    what: str
    steps: tuple[Step, ...]
    rate: float = 300.0
    instruments: int = INSTRUMENTS
    partitions: int = PARTITIONS
    settings: dict[str, str] = field(default_factory=dict)
    own_broker: bool = False
    brokers: int = 1
    """With three, every topic has three replicas, of which two must have what is acknowledged."""
    is_fed: bool = False
    """Whether the feed is written by the test, not by the workers: it flows before they start."""
    quick: bool = False
    """Whether it is part of the quick set."""
    ttr_limit_s: float = 60.0
    """For the table in docs/guarantees.md: the longest that `Live` may take once it has begun."""
    warm_up: int = 1
    """So many of the first waits are the start of the system and not a recovery."""


NO_INGEST = {"ingest": "false"}
AWAY_LIMIT_S = 10.0
"""From when Kafka is back until all is live, on a machine that has nothing else to do."""
BLOCKED_LOOP = "tests.harness.blocked_loop"
BEGIN: tuple[Step, ...] = (Start((1, 2)), Live(), Flow())

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "B1",
        "kill -9 one worker of two, not restarted",
        (*BEGIN, Kill(1), Live(), Flow(2, 4)),
        ttr_limit_s=25,
    ),
    Scenario(
        "B1-standby",
        "as B1, with a standby copy of the tables on the other worker",
        (*BEGIN, Kill(1), Live(), Flow(2, 4)),
        settings={"standbys": "1"},
        ttr_limit_s=12,
    ),
    Scenario(
        "B2-same-disk",
        "kill -9 and restart after the seed's moment on the same disk",
        (*BEGIN, Kill(1), Flow(0, 3), Start((1,)), Live(), Flow(2, 4)),
        ttr_limit_s=25,
    ),
    Scenario(
        "B2-empty-disk",
        "kill -9 and restart on an empty disk",
        (*BEGIN, Kill(2), Flow(0, 3), Start((2,), empty_disk=True), Live(), Flow(2, 4)),
        ttr_limit_s=25,
    ),
    Scenario(
        "B1+B2",
        "kill -9; the peer takes over; restart on the same disk; kill -9 the peer, empty its disk",
        (
            *(Start((1, 2)), Live(), Flow(2, 5), Kill(1), Live(), Start((1,)), Ready((1,)), Live()),
            *(Flow(1, 3), Kill(2), Start((2,), empty_disk=True), Live(), Flow(1, 2)),
        ),
        quick=True,
        ttr_limit_s=25,
    ),
    Scenario(
        "B3",
        "rolling restart by SIGTERM",
        (
            *(Start((1, 2)), Live(), Flow(2, 5), Terminate(1), Live(), Start((1,)), Ready((1,))),
            *(Live(), Flow(1, 3), Terminate(2), Live(), Start((2,)), Ready((2,)), Live()),
        ),
        quick=True,
        ttr_limit_s=10,
    ),
    Scenario(
        "B4",
        "SIGSTOP for 25 s, then SIGCONT",
        (*BEGIN, Pause(1, 25), Live(), Flow(4, 6)),
        ttr_limit_s=25,
    ),
    Scenario(
        "B4-checkpoint",
        "as B4, with a checkpoint every 50 ms: the pause falls into one",
        (*BEGIN, Pause(1, 20), Live(), Flow(2, 4), Pause(2, 20), Live(), Flow(2, 4)),
        settings={"checkpoint_ms": "50"},
        ttr_limit_s=25,
    ),
    Scenario(
        "B5",
        "scale 1 to 2 to 3, and back to 1",
        (
            *(Start((1,)), Live(), Flow(2, 4), Start((2,)), Ready((2,)), Live(), Flow(2, 4)),
            *(Start((3,)), Ready((3,)), Live(), Flow(2, 4), Terminate(2), Live()),
            *(Flow(1, 3), Terminate(1), Live(), Flow(2, 3)),
        ),
        ttr_limit_s=15,
    ),
    Scenario(
        "B5-surplus",
        "three workers for two partitions: the surplus one is ready, and takes over",
        (
            *(Start((1,)), Live(), Start((2, 3)), Ready((2, 3)), Live(), Flow(1, 3)),
            *(Terminate(1), Live(), Flow(1, 2)),
        ),
        partitions=2,
        quick=True,
        ttr_limit_s=15,
    ),
    Scenario(
        "B6",
        "two workers start a fresh group with traffic already flowing",
        (
            *(Flow(0.5, 1.5), Start((1,), settings=NO_INGEST), Flow(0, 1.6)),
            *(Start((2,), settings=NO_INGEST), Live(), Flow(3, 5)),
        ),
        quick=True,
        is_fed=True,
        warm_up=0,
    ),
    *(
        Scenario(
            f"B7-{name}",
            what,
            (*BEGIN, away, Live(45), Flow(5, 8)),
            own_broker=True,
            quick=name == "paused",
            ttr_limit_s=AWAY_LIMIT_S,
        )
        for name, what, away in (
            ("restart", "the broker is killed, and back after 3 s", BrokerAway(3, is_killed=True)),
            (
                "away-70",
                "the broker is killed, and back after 70 s",
                BrokerAway(70, is_killed=True),
            ),
            ("paused", "the broker is paused for 20 s", BrokerAway(20)),
            ("paused-30", "the broker is paused for 30 s", BrokerAway(30)),
            ("paused-600", "the broker is paused for ten minutes", BrokerAway(600)),
        )
    ),
    Scenario(
        "B7-start",
        "the second worker starts while the broker is away for 20 s: it waits",
        (
            *(Start((1,)), Live(), Flow(), BrokerAway(20, is_killed=True, starts=(2,))),
            *(Ready((2,)), Live(), Flow(2, 4)),  # and then joins, as any worker that is added
        ),
        own_broker=True,
        ttr_limit_s=30,
    ),
    Scenario(
        "B7-lost",
        "three brokers, one of them lost for good",
        (*BEGIN, LoseBroker(), Live(), Flow(5, 8), Kill(1), Live(), Flow(2, 4)),
        brokers=3,
        ttr_limit_s=30,
    ),
    Scenario(
        "B7-majority",
        "three brokers, two of them killed and back after 25 s",
        (*BEGIN, MajorityAway(25), Live(), Flow(5, 8)),
        brokers=3,
        ttr_limit_s=30,
    ),
    # Slow for less than the 20 s after which a worker ends whose loop has not moved at all.
    Scenario(
        "B8-slow-worker",
        "the worker runs 10 ms of each second, for 14 s: it falls behind, and catches up",
        (Start((1,)), Live(), Flow(1, 3), SlowWorker(1, 0.01, 14), Live(), Flow(1, 2)),
        quick=True,
        ttr_limit_s=25,
    ),
    Scenario(
        "B8-slow-reader",
        "as B8-slow-worker, 20 ms of each second, and others write the feed: it waits in Kafka",
        (
            *(Start((1,), settings=NO_INGEST), Live(), Flow(1, 3), SlowWorker(1, 0.02, 14)),
            *(Live(), Flow(1, 2)),
        ),
        rate=1_000.0,  # of 300/s it does more in that time than it has to
        is_fed=True,
        ttr_limit_s=25,
    ),
    Scenario(
        "B8-slow-broker",
        "the broker runs 5 ms of each second, for 20 s: its workers fall behind, and catch up",
        (*BEGIN, SlowBroker(0.005, 20), Live(), Flow(2, 4)),
        own_broker=True,
        ttr_limit_s=25,
    ),
    Scenario(
        "B15",
        "gap, duplicate, stale replay and wrong order at the venue; then another venue, lower ids",
        (
            *(Start((1,)), Live(), Flow(1, 2)),
            *(Venue("simulator/skip", {"channel": "{book}", "count": 2}), Flow(0.5, 1), Live()),
            *(Venue("simulator/duplicate", {"channel": "{book}", "count": 5}), Flow(0.5, 1)),
            *(ReplayOld(), Flow(0.5, 1), Live()),
            *(Venue("simulator/disconnect_all"), Flow(0.5, 1), Live()),
            *(RestartVenue(INSTRUMENTS, 300), Live(), Flow(1, 2)),
        ),
        quick=True,
    ),
    Scenario(
        "B20-a-while",
        "the event loop of one worker of two is blocked for 12 s",
        (Use(BLOCKED_LOOP), *BEGIN, Block(1, for_good=False), Live(), Flow(2, 4)),
        ttr_limit_s=40,
    ),
    Scenario(
        "B20-blocked",
        "the event loop is blocked for good: the worker ends by itself, and is started again",
        (
            *(Use(BLOCKED_LOOP), Start((1,)), Live(), Flow(), Block(1, for_good=True)),
            *(Start((1,)), Live(), Flow(2, 4)),
        ),
        ttr_limit_s=60,  # of which it takes 20 until the worker ends, or 40
    ),
    Scenario(
        "B20-memory",
        "a limit leaves a worker 8 MB more memory: it ends by itself, and is started again",
        (Start((1,)), Live(), Flow(), Starve(1, 8), Start((1,)), Live(), Flow(2, 4)),
        ttr_limit_s=60,  # from the limit on: first it has to be reached
    ),
    *(
        Scenario(
            f"B17-{how}",
            f"a worker's RocksDB after SIGTERM: {how}",
            (
                *(Start((1,)), Live(), Flow(2, 4), Terminate(1), DamageStore(1, how)),
                *(Start((1,)), Live(), Flow(1, 2)),
            ),
            quick=how == "flip",
        )
        for how in ("flip", "truncate", "no-manifest", "no-current", "delete")
    ),
)

FAST = tuple(
    replace(
        scenario,
        name=f"{scenario.name}@2000",
        what=f"{scenario.what}; 2,000 notifications/s",
        rate=2_000.0,
        instruments=40,
        quick=False,
    )
    for scenario in SCENARIOS
    if scenario.name != "B15"  # its second venue has other instruments
)

BY_NAME = {scenario.name: scenario for scenario in (*SCENARIOS, *FAST)}
