"""B17 and B18: the changelog lost or cut, a held lock, a full disk."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from app.settings import Settings
from app.topics.admin import alter, changelog_name, connect, ensure_topics, topics
from tests.harness.pipeline import Pipeline
from tests.harness.processes import Child, python
from tests.system.chaos.hand import Session, change, snapshot
from tests.system.chaos.test_by_hand import Hand

EXIT_S = 40.0

pytestmark = [pytest.mark.timeout(150)]


async def lose_changelog(settings: Settings) -> None:
    """Delete the changelog, and make an empty one."""
    name = changelog_name(settings.app_id, "books")
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await admin.start()
    try:
        await admin.delete_topics([name])
        while name in await admin.list_topics():
            await asyncio.sleep(0.1)
    finally:
        await admin.close()
    await ensure_topics(settings)


async def cut_changelog(settings: Settings) -> None:
    """Delete all records that the changelog has, as an operator who makes room.

    Kafka refuses that while the policy is to compact only.
    """
    name = changelog_name(settings.app_id, "books")
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await admin.start()
    try:
        partitions = [TopicPartition(name, number) for number in range(settings.partitions)]
        topic = next(each for each in topics(settings) if each.name == name)
        configs = topic.configs | {"cleanup.policy": "compact,delete"}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs)])
        await admin.delete_records({tp: RecordsToDelete(before_offset=-1) for tp in partitions})
    finally:
        await admin.close()
    async with connect(settings) as admin:
        await alter(admin, topic)


@pytest.mark.parametrize(
    ("loss", "empty_disk"),
    [
        pytest.param(lose_changelog, False, id="lost-same-disk", marks=pytest.mark.chaos_quick),
        pytest.param(cut_changelog, True, id="cut-empty-disk", marks=pytest.mark.chaos_quick),
        pytest.param(lose_changelog, True, id="lost-empty-disk", marks=pytest.mark.chaos),
        pytest.param(cut_changelog, False, id="cut-same-disk", marks=pytest.mark.chaos),
    ],
)
def test_a_lost_changelog_is_made_again(
    installation: Settings, loss: object, empty_disk: bool
) -> None:
    assert callable(loss)
    with Pipeline(installation) as pipeline:
        hand = Hand(pipeline)
        hand.start()
        session = Session("s")
        hand.send(session.frame(snapshot(1, 1), at=1, connects=True))
        hand.send(*(session.frame(change(n, n - 1, float(n), n), at=n) for n in range(2, 40)))
        hand.wait_committed()
        hand.run.terminate(1)
        asyncio.run(loss(installation))
        hand.start(empty_disk=empty_disk)
        hand.send(*(session.frame(change(n, n - 1, float(n), n), at=n) for n in range(40, 60)))
        hand.send(session.tick(100))
        hand.wait_committed()
        said = hand.run.worker(1).log.read_text()
        hand.run.finish()
        report = hand.run.check(with_truth=False)
    assert report.ok, report.to_dict()
    assert report.compared["windows"] >= 5
    if empty_disk:
        assert "computing again from 0" in said


HOLDER = """
import sys, time
from rocksdict import Rdict, Options
held = Rdict(sys.argv[1], Options(raw_mode=True))
print("holding", flush=True)
time.sleep(120)
"""


@pytest.mark.chaos_quick
def test_a_database_held_by_another_process_stops_the_worker(installation: Settings) -> None:
    with Pipeline(installation) as pipeline:
        hand = Hand(pipeline)
        hand.start()
        hand.send(Session("s").frame(snapshot(1, 1), at=1, connects=True))
        hand.wait_committed()
        hand.run.terminate(1)
        (database,) = hand.run.disk(1).glob(f"v*/tables/books-{hand.partition}.db")
        log = hand.run.folder / "holder.log"
        holder = Child("holder", python("-c", HOLDER, str(database)), {}, log).start()
        try:
            holder.wait_until("holding", lambda: b"holding" in log.read_bytes(), 20)
            hand.start()
            worker = hand.run.worker(1)
            code = worker.wait(EXIT_S)
        finally:
            holder.kill()
        assert code == 2, worker.tail()
        assert "STEELYARD_WORKER_NAME" in worker.tail()


@pytest.mark.chaos_quick
def test_a_second_worker_of_the_same_name_is_refused(installation: Settings) -> None:
    with Pipeline(installation, ingest="false") as pipeline:
        first = pipeline.start_worker(1)
        first.wait_until("there", lambda: first.get("/livez")[0] == 200, 30)
        second = pipeline.start_worker(1)
        try:
            assert second.wait(20) == 2, second.tail()
        finally:
            first.kill()
        assert "is in use by the worker with pid" in second.tail()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 340 MiB: above what a worker needs to start, small enough to be filled."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=340m", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.chaos_quick
def test_a_full_disk_ends_the_worker_and_nothing_is_lost(
    installation: Settings, small_disk: Path
) -> None:
    """B18: RocksDB meets the full disk; the worker ends by itself; after that all is exact."""
    with Pipeline(installation, data_dir=str(small_disk)) as pipeline:
        hand = Hand(pipeline)
        hand.start()
        session = Session("s")
        hand.send(session.frame(snapshot(1, 1), at=1, connects=True))
        hand.wait_committed()
        filler = small_disk / "filler"
        with filler.open("wb") as file:
            try:
                while True:
                    file.write(bytes(1 << 20))
            except OSError:
                pass
        worker = hand.run.worker(1)
        deadline = time.monotonic() + EXIT_S
        number = 1
        while worker.running and time.monotonic() < deadline:
            number += 1
            hand.send(session.frame(change(number, number - 1, 5.0, number), at=number))
        code = worker.wait(1) if not worker.running else None
        assert code not in {None, 0}, f"code {code}\n{worker.tail()}"
        assert "space" in worker.tail(200)
        filler.unlink()
        hand.start()
        hand.send(session.tick(number + 100))
        hand.wait_committed()
        hand.run.finish()
        report = hand.run.check(with_truth=False)
    assert report.ok, json.dumps(report.to_dict(), indent=1)
    assert report.compared["states"] == 1
