"""What the bench starts ends with it, however it ends: a peer once ran on for 81 minutes."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from tests.harness.processes import ROOT

PATIENCE_S = 60.0
STARTS_A_PEER = """
import sys, time
from pathlib import Path
from tests.harness.processes import Child, python
peer = Child("peer", python("-c", "import time; time.sleep(3600)"), {}, Path(sys.argv[1])).start()
print(peer.pid, flush=True)
time.sleep(3600)
"""


def test_a_peer_dies_with_a_bench_that_is_killed(tmp_path: Path) -> None:
    bench = subprocess.Popen(
        [sys.executable, "-c", STARTS_A_PEER, str(tmp_path / "log")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with bench:
        assert bench.stdout is not None
        peer = int(bench.stdout.readline())
        ended, readable = os.pidfd_open(peer), []
        try:
            bench.kill()
            readable, _, _ = select.select([ended], [], [], PATIENCE_S)
            assert readable, "the peer runs on"
        finally:
            if not readable:
                signal.pidfd_send_signal(ended, signal.SIGKILL)
            os.close(ended)
