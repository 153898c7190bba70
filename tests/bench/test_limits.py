"""A share of a core: where its group is made, what is written, that it holds, and that it goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.limits import Group, Hierarchy, NoGroups, limited
from tests.harness.processes import POLL_S

PATIENCE_S = 60.0
PERCENT = 10.0
STARTS_A_CHILD = """
import subprocess, sys
sys.stdin.readline()
busy = "import time, sys\\nwhile time.monotonic() < float(sys.argv[1]): pass"
subprocess.run([sys.executable, "-c", busy, sys.argv[1]])
"""
MIXED = """\
sysfs /sys sysfs rw 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
cgroup /sys/fs/cgroup/cpuset cgroup rw,relatime,cpuset 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0
"""
UNIFIED = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n"


def test_the_quota_of_version_1_is_taken_where_both_are() -> None:
    found = Hierarchy.found(MIXED, "3:cpuset:/a\n2:cpu,cpuacct:/b\n0::/c\n")
    assert found == Hierarchy(Path("/sys/fs/cgroup/cpu,cpuacct"), "/b", is_unified=False)


def test_version_2_alone() -> None:
    found = Hierarchy.found(UNIFIED, "0::/user.slice/session.scope\n")
    assert found == Hierarchy(Path("/sys/fs/cgroup"), "/user.slice/session.scope", is_unified=True)
    root = Path("/sys/fs/cgroup")
    slice_ = root / "user.slice"
    assert list(found.parents()) == [slice_ / "session.scope", slice_, root]


def test_a_machine_without_groups() -> None:
    assert Hierarchy.found("proc /proc proc rw 0 0\n", "") is None
    with pytest.raises(NoGroups), limited(PERCENT, "a", Hierarchy(Path("/nowhere"), "/", False)):
        pass


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which new groups get their files, as the kernel makes them; of version 2, the
    group of this process shares nothing out."""
    (tmp_path / "own").mkdir()
    plain = Path.mkdir

    def mkdir(path: Path) -> None:
        plain(path)
        settings = ["cgroup.procs"]
        if path.parent != tmp_path / "own":
            settings += ["cpu.max", "cpu.cfs_period_us", "cpu.cfs_quota_us"]
        for name in settings:
            (path / name).write_text("")

    def rmdir(path: Path) -> None:
        for file in path.iterdir():
            file.unlink()
        os.rmdir(path)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    monkeypatch.setattr(Path, "rmdir", rmdir)
    return tmp_path


def test_version_2_is_limited_beside_this_process_and_removed(kernel: Path) -> None:
    with limited(40, "worker-1", Hierarchy(kernel, "/own", is_unified=True)) as group:
        assert group.path == kernel / f"steelyard-bench-{os.getpid()}-worker-1"
        assert (group.path / "cpu.max").read_text() == "40000 100000"
        group.add(77)
        assert (group.path / "cgroup.procs").read_text() == "77"
        (kernel / "cgroup.procs").write_text("")
    # What still ran in it is let go, to where the group was.
    assert (kernel / "cgroup.procs").read_text() == "77"
    assert [path.name for path in kernel.iterdir() if path.is_dir()] == ["own"]


def test_version_1_is_limited(kernel: Path) -> None:
    with limited(40, "worker-1", Hierarchy(kernel, "/", is_unified=False)) as group:
        assert (group.path / "cpu.cfs_period_us").read_text() == "100000"
        assert (group.path / "cpu.cfs_quota_us").read_text() == "40000"


def test_what_a_killed_bench_left_behind_is_removed(kernel: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    left, running = (
        kernel / f"steelyard-bench-{pid}-worker-1" for pid in (ended.pid, os.getppid())
    )
    for path in (left, running):
        path.mkdir()
    with limited(40, "worker-1", Hierarchy(kernel, "/", is_unified=False)):
        pass
    assert (left.exists(), running.exists()) == (False, True)


@pytest.fixture
def group() -> Iterator[Group]:
    """A real group; where none can be made there is nothing to test."""
    try:
        with limited(PERCENT, "test") as made:
            yield made
    except NoGroups as error:
        pytest.skip(f"no cgroup here: {error}")


def test_a_process_and_its_children_are_held(group: Group) -> None:
    deadline = time.monotonic() + PATIENCE_S
    command = [sys.executable, "-c", STARTS_A_CHILD, str(deadline)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        group.add(process.pid)
        assert process.stdin is not None
        process.stdin.write(b"begin\n")
        process.stdin.flush()
        try:
            while len(held(group)) < 2 or not group.waits():
                assert time.monotonic() < deadline, "nothing was held"
                time.sleep(POLL_S)
        finally:
            for pid in held(group) or [process.pid]:
                os.kill(pid, signal.SIGKILL)


def held(group: Group) -> list[int]:
    """Return the processes of a group."""
    return [int(pid) for pid in (group.path / "cgroup.procs").read_text().split()]
