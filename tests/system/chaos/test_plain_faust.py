"""The suite can fail: pointed at plain Faust it finds F1, F2, F4 and F5; the product passes.

The same traffic, the same steps, the same checker; only the application differs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from app.embedded_kafka import EmbeddedBroker
from app.settings import Settings
from app.topics.admin import changelog_name
from app.verify.records import committed, end_offsets
from tests.checker.report import Report
from tests.harness.pipeline import Pipeline
from tests.system.chaos.run import Run
from tests.system.chaos.runner import installation_of, seed_of_today
from tests.system.chaos.scenarios import Scenario
from tests.system.chaos.traffic import Traffic

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(590)]

RATE = 400.0
TRIES = 10
IDLE_S = 60.0
START_S = 30.0
PLAIN = "tests.system.chaos.plain_faust"


@dataclass
class Subject:
    """One run of one application behind the traffic."""

    run: Run
    traffic: Traffic

    @property
    def settings(self) -> Settings:
        return self.run.pipeline.installation

    def start(self, *numbers: int) -> None:
        for number in numbers:
            self.run.start(number, ingest="false")

    def committed(self) -> dict[int, int]:
        settings = self.settings
        feed = self.run.pipeline.topic("feed")
        return asyncio.run(committed(settings.kafka, settings.app_id, feed))

    def wait_begun(self) -> None:
        """Wait until something has been committed."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if sum(self.committed().values()):
                return
            time.sleep(0.2)
        raise AssertionError(f"nothing committed\n{self.run.worker(1).tail()}")

    def settle(self) -> None:
        """End the traffic; wait until all is committed, or nothing has moved for a while."""
        self.traffic.stop()
        for worker in self.run.pipeline.workers.values():
            assert worker.running, f"{worker.name} ended by itself\n{worker.tail()}"
        feed = self.run.pipeline.topic("feed")
        ends = asyncio.run(end_offsets(self.settings.kafka, feed))
        deadline = time.monotonic() + IDLE_S
        last, moved = {}, time.monotonic()
        while time.monotonic() < deadline and time.monotonic() - moved < 10:
            now = self.committed()
            if all(now.get(number, 0) >= end for number, end in ends.items()):
                break
            if now != last:
                last, moved = now, time.monotonic()
            time.sleep(0.3)
        for worker in self.run.pipeline.workers.values():
            if worker.running:
                worker.stop()


Steps = Callable[[Subject], None]


def f1_two_workers_start(subject: Subject) -> None:
    """Traffic flows; two workers of a fresh group start, the second before the first commits."""
    subject.start(1)
    time.sleep(subject.run.random.uniform(0.4, 1.6))
    subject.start(2)
    subject.wait_begun()
    time.sleep(3)


def f2_another_joins(subject: Subject) -> None:
    """A second worker joins under traffic."""
    subject.start(1)
    subject.wait_begun()
    time.sleep(subject.run.random.uniform(2, 4))
    subject.start(2)
    time.sleep(10)


def f5_kill(subject: Subject) -> None:
    """kill -9, and start again on the same disk."""
    subject.start(1)
    subject.wait_begun()
    time.sleep(subject.run.random.uniform(3, 5))
    subject.run.worker(1).kill()
    subject.start(1)
    time.sleep(3)


def f4_changelog_refuses(subject: Subject) -> None:
    """Kafka refuses all that is written to the changelog from some moment on."""
    subject.start(1)
    subject.wait_begun()
    asyncio.run(refuse_all(subject.settings))
    time.sleep(4)


async def refuse_all(settings: Settings) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await admin.start()
    try:
        name = changelog_name(settings.app_id, "books")
        configs = {"cleanup.policy": "compact", "max.message.bytes": "100"}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs)])
    finally:
        await admin.close()


FINDS: dict[Steps, Callable[[Report], bool]] = {
    f1_two_workers_start: lambda report: report.lost > 0,
    f2_another_joins: lambda report: not report.ok,
    f5_kill: lambda report: not report.ok,
}
"""What gives plain Faust away; a frame that is processed twice shows in a state's own counts."""


def behind(
    application: str, steps: Steps, seed: int, broker: EmbeddedBroker, folder: Path
) -> Report:
    """Carry out steps on an application; return the checker's report."""
    scenario = Scenario(steps.__name__, steps.__doc__ or "", (), partitions=4)
    place = folder / f"{application}-{steps.__name__}-{seed}"
    settings = installation_of(scenario, broker.bootstrap, place)
    with Pipeline(settings) as pipeline:
        pipeline.application = application
        with Traffic(settings, RATE) as traffic:
            subject = Subject(Run(pipeline, seed), traffic)
            steps(subject)
            subject.settle()
        report = subject.run.check(with_truth=False)
    print(application, steps.__name__, report.to_dict())
    return report


@pytest.mark.parametrize(
    "steps", [f1_two_workers_start, f2_another_joins, f5_kill], ids=lambda steps: steps.__name__
)
def test_plain_faust_is_found_out(steps: Steps, broker: EmbeddedBroker, tmp_path: Path) -> None:
    seed = seed_of_today()
    reports = []
    for number in range(TRIES):
        reports.append(behind(PLAIN, steps, seed + number, broker, tmp_path))
        if FINDS[steps](reports[-1]):
            return
    raise AssertionError(f"{TRIES} runs of plain Faust, and nothing was found: {reports}")


def test_plain_faust_commits_what_its_changelog_refused(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    report = behind(PLAIN, f4_changelog_refuses, seed_of_today(), broker, tmp_path)
    assert not report.hash_equal or report.lost, report.to_dict()


@pytest.mark.parametrize(
    "steps", [f1_two_workers_start, f2_another_joins, f5_kill], ids=lambda steps: steps.__name__
)
def test_the_product_is_exact(steps: Steps, broker: EmbeddedBroker, tmp_path: Path) -> None:
    report = behind("app", steps, seed_of_today(), broker, tmp_path)
    assert report.ok, report.to_dict()
    assert report.compared["states"] == 12
    assert report.compared["windows"] > 100
