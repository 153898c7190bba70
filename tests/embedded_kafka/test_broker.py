"""The embedded broker: start, stop, kill, and every way in which it cannot start."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.embedded_kafka import (
    BrokerDied,
    DataDirectoryForeign,
    DataDirectoryInUse,
    DiskFull,
    EmbeddedBroker,
    EmbeddedKafkaError,
    JarsUnavailable,
    JavaUnusable,
    PortTaken,
)
from app.embedded_kafka import storage as storage_module
from app.embedded_kafka.broker import diagnose
from app.embedded_kafka.data_dir import DataDirUnusable
from app.embedded_kafka.jars import fetched, read_lock
from app.embedded_kafka.processes import port_is_free, tail
from app.embedded_kafka.storage import CLUSTER_ID, NODE_ID, Storage
from app.settings import Settings
from app.topics.admin import connect, ensure_topics

DEATH_TIMEOUT_S = 10.0


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_for_death(pid: int) -> bool:
    deadline = time.monotonic() + DEATH_TIMEOUT_S
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_alive(pid)


async def topic_names(bootstrap: str) -> set[str]:
    async with connect(Settings(kafka=bootstrap)) as admin:
        return set(await admin.list_topics())


@pytest.mark.timeout(300)  # three starts, on a machine that may be busy
async def test_a_stopped_or_killed_broker_comes_back_with_its_port_and_topics(
    tmp_path: Path,
) -> None:
    broker = EmbeddedBroker(tmp_path, heap_mb=384)
    await broker.start()
    assert broker.process is not None
    first_pid, bootstrap = broker.process.pid, broker.bootstrap
    await ensure_topics(Settings(kafka=bootstrap, partitions=1))
    await broker.stop()
    assert not is_alive(first_pid)
    assert port_is_free(broker.port)
    assert tail(broker.storage.log_file, 50)

    await broker.start()
    assert broker.bootstrap == bootstrap
    assert "feed" in await topic_names(bootstrap)
    broker.kill()
    assert not broker.running

    await broker.start()
    assert broker.bootstrap == bootstrap
    assert "feed" in await topic_names(bootstrap)
    await broker.stop()


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="needs Linux's parent-death signal"
)
def test_the_broker_dies_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys, pathlib\n"
        "from app.embedded_kafka import EmbeddedBroker\n"
        "broker = EmbeddedBroker(pathlib.Path(sys.argv[1]), heap_mb=384)\n"
        "asyncio.run(broker.start())\n"
        "print(broker.process.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.send_signal(signal.SIGKILL)
        assert wait_for_death(pid)


async def test_a_folder_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a properties file and in a class path, too; and where the locale is not said."""
    monkeypatch.setenv("LC_ALL", "C")
    folder = tmp_path / "My Füße, ☃: 50% #\\'${x} [b]" / "var"
    broker = EmbeddedBroker(folder, heap_mb=384)
    await broker.start()
    try:
        assert sorted(path.name for path in folder.parent.iterdir()) == ["var"]
        names = {path.name for path in folder.iterdir()}
        assert names == {"kafka", "kafka.lock", "kafka.properties", "log"}
        assert tail(broker.storage.log_file, 5)
    finally:
        await broker.stop()


async def test_a_taken_port_is_named_with_its_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"Port {port} .*[\s\S]*STEELYARD_KAFKA_PORT"):
            await EmbeddedBroker(tmp_path, port).start()


async def test_without_network_and_cache_the_way_out_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "m2"
    unplug(monkeypatch, cache)
    with pytest.raises(JarsUnavailable) as caught:
        await EmbeddedBroker(tmp_path / "var").start()
    count = len(read_lock())
    assert f"{count} of the embedded broker's {count} jars are not in {cache}" in str(caught.value)
    assert "STEELYARD_KAFKA=host:port" in str(caught.value)
    assert list(cache.iterdir()) == []  # nothing half downloaded is left


async def test_a_truncated_jar_in_the_cache_is_not_trusted(
    broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "m2"
    for jar, file in zip(read_lock(), fetched(read_lock(), "the broker", ""), strict=True):
        (cache / jar.relative_path).parent.mkdir(parents=True)
        (cache / jar.relative_path).symlink_to(file)
    broken = cache / read_lock()[0].relative_path
    content = broken.read_bytes()
    broken.unlink()
    broken.write_bytes(content[:-1])
    unplug(monkeypatch, cache)
    with pytest.raises(JarsUnavailable, match=r"^1 of the embedded broker's"):
        await EmbeddedBroker(tmp_path / "var").start()


def unplug(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setenv("M2_REPO", str(cache))
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the discard port: refused at once
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


async def test_too_little_room_is_said_before_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = shutil.disk_usage(tmp_path).free
    monkeypatch.setattr(storage_module, "MIN_FREE_BYTES", free * 2)
    with pytest.raises(DiskFull, match="STEELYARD_DATA_DIR"):
        await EmbeddedBroker(tmp_path).start()


@pytest.mark.parametrize(
    ("meta", "why"),
    [
        (None, "no meta.properties"),
        (b"version=1\nnode.id=1\ncluster.id=somebodyElsesCluster\n", "cluster.id=somebodyElses"),
        (f"version=1\nnode.id=7\ncluster.id={CLUSTER_ID}\n".encode(), "node.id=7"),
        (f"version=0\nbroker.id=1\ncluster.id={CLUSTER_ID}\n".encode(), "version=0"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
async def test_a_foreign_data_directory_is_left_alone(
    tmp_path: Path, meta: bytes | None, why: str
) -> None:
    logs = tmp_path / "kafka"
    logs.mkdir()
    (logs / "feed-0").mkdir()
    if meta is not None:
        (logs / "meta.properties").write_bytes(meta)
    with pytest.raises(DataDirectoryForeign, match=why) as caught:
        await EmbeddedBroker(tmp_path).start()
    assert f"rm -r '{logs.resolve()}'" in str(caught.value)
    assert (logs / "feed-0").is_dir()


async def test_a_data_directory_that_cannot_be_is_said(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("not a folder")
    with pytest.raises(DataDirUnusable, match=r"(?s)file: File exists.*STEELYARD_DATA_DIR"):
        await EmbeddedBroker(taken).start()


async def test_data_of_a_newer_kafka_is_left_alone(tmp_path: Path) -> None:
    logs = tmp_path / "kafka"
    logs.mkdir()
    meta = f"version=1\nnode.id={NODE_ID}\ncluster.id={CLUSTER_ID}\n"
    (logs / "meta.properties").write_text(meta)
    (logs / "formatted-by").write_text("99.1.0\n")
    with pytest.raises(DataDirectoryForeign, match=r"made by Kafka 99\.1\.0"):
        await EmbeddedBroker(tmp_path).start()


async def test_two_brokers_do_not_share_a_data_directory(broker: EmbeddedBroker) -> None:
    with pytest.raises(DataDirectoryInUse, match="already runs"):
        await EmbeddedBroker(broker.storage.data_dir).start()
    assert broker.running


async def test_a_java_that_does_not_run_is_said(broker: EmbeddedBroker, tmp_path: Path) -> None:
    with pytest.raises(JavaUnusable, match="No such file"):
        await EmbeddedBroker(tmp_path / "a", java=tmp_path / "nowhere").start()
    broken = tmp_path / "java"
    broken.write_text("#!/bin/sh\necho libjvm.so is missing >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(JavaUnusable, match=r"libjvm\.so is missing"):
        await EmbeddedBroker(tmp_path / "b", java=broken).start()
    assert not (tmp_path / "b" / "kafka").exists()


async def test_a_broker_that_dies_at_start_shows_why(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path, heap_mb=10**9)
    with pytest.raises(JavaUnusable, match="initialization of VM"):
        await broker.start()
    assert not broker.running


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("java.io.IOException: No space left on device", DiskFull),
        ("Error occurred during initialization of VM", JavaUnusable),
        ("java.net.BindException: Address already in use", PortTaken),
        ("No MetadataVersion with feature level 99; metadata.version", DataDirectoryForeign),
        ("something nobody foresaw", BrokerDied),
    ],
)
def test_the_log_of_a_dead_broker_tells_its_error(
    tmp_path: Path, line: str, error: type[EmbeddedKafkaError]
) -> None:
    found = diagnose(["INFO up", line], Storage(tmp_path), Path("java"), f"excerpt: {line}")
    assert type(found) is error
    assert found.exit_code == 2


async def test_a_full_disk_ends_the_broker_with_that_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_module, "MIN_FREE_BYTES", 1)
    with small_disk(tmp_path / "disk", size_mb=24) as disk:
        broker = EmbeddedBroker(disk, heap_mb=384)
        await broker.start()
        settings = Settings(kafka=broker.bootstrap, partitions=1)
        with (disk / "ballast").open("wb") as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(64 * 1024))
                ballast.flush()
        assert broker.process is not None
        # Metadata of new topics has nowhere to go now.
        attempt = asyncio.create_task(ensure_topics(settings))
        try:
            await asyncio.to_thread(broker.process.wait, DEATH_TIMEOUT_S)
            assert isinstance(broker.death(), DiskFull)
        finally:
            attempt.cancel()
            await asyncio.gather(attempt, return_exceptions=True)
            broker.kill()


@contextlib.contextmanager
def small_disk(folder: Path, size_mb: int) -> Iterator[Path]:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
