"""A share of a core for a process and its children: the processor quota of Linux's control groups.

So workers can be compared on a machine that has not enough cores for them: see replay.py.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

PERIOD_US: Final = 100_000
"""Of this time a group may use its share, then it waits: what Docker and Kubernetes take too."""
REMOVED_WITHIN_S: Final = 10.0
POLL_S: Final = 0.05
PREFIX: Final = "steelyard-bench-"
MOUNTS: Final = Path("/proc/self/mounts")
OWN_GROUPS: Final = Path("/proc/self/cgroup")


class NoGroups(Exception):
    """No control group can be made here; says why."""


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """Where control groups with a processor quota are, and how a quota is written."""

    mount: Path
    own: str
    """The path of this process in it."""
    is_unified: bool
    """Version 2, where all controllers share one tree."""

    @classmethod
    def found(cls, mounts: str, own_groups: str) -> Self | None:
        """Return that of this machine, from its two tables; None if there is none.

        Where versions are mixed, the quota is at version 1: it has one tree a controller.
        """
        own = {
            controller: path
            for _, controllers, path in (line.split(":", 2) for line in own_groups.splitlines())
            for controller in controllers.split(",")
        }
        unified = None
        for line in mounts.splitlines():
            _, mount, kind, options, *_ = line.split()
            if kind == "cgroup" and "cpu" in options.split(","):
                return cls(Path(mount), own.get("cpu", "/"), is_unified=False)
            if kind == "cgroup2":
                unified = cls(Path(mount), own.get("", "/"), is_unified=True)
        return unified

    def parents(self) -> Iterable[Path]:
        """Yield where a group may be made: where this process is, then further up.

        Of version 2, a group that holds processes can't share out: its parent may.
        """
        place = self.mount / self.own.lstrip("/")
        yield place
        if place != self.mount:
            yield from (up for up in place.parents if up.is_relative_to(self.mount))

    def limit(self, group: Path, percent: float) -> None:
        """Write the quota of a group; raise OSError if that can't be done."""
        quota_us = round(PERIOD_US * percent / 100)
        if self.is_unified:
            _write(group / "cpu.max", f"{quota_us} {PERIOD_US}")
        else:
            _write(group / "cpu.cfs_period_us", str(PERIOD_US))
            _write(group / "cpu.cfs_quota_us", str(quota_us))


@dataclass(frozen=True, slots=True)
class Group:
    """A control group, whose processes together get no more than its share of a core."""

    path: Path

    def add(self, pid: int) -> None:
        """Limit a process, and all children that it starts from now on."""
        _write(self.path / "cgroup.procs", str(pid))

    def waits(self) -> int:
        """Return in how many periods its processes wanted more than their share."""
        figures = dict(line.split() for line in (self.path / "cpu.stat").read_text().splitlines())
        return int(figures["nr_throttled"])


def hierarchy() -> Hierarchy | None:
    """Return the control groups of this machine; None if it has none with a quota."""
    try:
        return Hierarchy.found(MOUNTS.read_text(), OWN_GROUPS.read_text())
    except OSError:
        return None  # not Linux


@contextmanager
def limited(percent: float, name: str, tree: Hierarchy | None = None) -> Iterator[Group]:
    """Make a group of so many percent of one core, and remove it; raise NoGroups if it can't be.

    What still runs in it in the end goes on without a limit.
    """
    tree = tree or hierarchy()
    if tree is None:
        raise NoGroups("no cgroup with a processor quota is mounted")
    group, parent = _made(tree, percent, name)
    try:
        yield group
    finally:
        _remove(group, parent)


def _made(tree: Hierarchy, percent: float, name: str) -> tuple[Group, Path]:
    refused = "none can be made"
    for parent in tree.parents():
        _sweep(parent)
        path = parent / f"{PREFIX}{os.getpid()}-{name}"
        try:
            path.mkdir()
        except OSError as error:
            refused = str(error)
            continue
        try:
            tree.limit(path, percent)
        except OSError as error:  # such as: this parent does not share out processors
            refused = str(error)
            path.rmdir()
            continue
        return Group(path), parent
    raise NoGroups(refused)


def _remove(group: Group, parent: Path) -> None:
    deadline = time.monotonic() + REMOVED_WITHIN_S
    while True:
        for pid in (group.path / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):  # it has ended meanwhile
                _write(parent / "cgroup.procs", pid)
        try:
            group.path.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)  # a process that is just ending still holds it
        else:
            return


def _sweep(parent: Path) -> None:
    """Remove the groups of a bench that was killed."""
    for left in parent.glob(f"{PREFIX}*"):
        pid = left.name.removeprefix(PREFIX).partition("-")[0]
        if not Path(f"/proc/{pid}").exists():
            with suppress(OSError):  # another bench has done it
                left.rmdir()


def _write(path: Path, text: str) -> None:
    # Never made: a file that is not there is no setting of the kernel.
    with path.open("r+") as file:
        file.write(text)
