"""`DutyCycle`: a process that gets only a share of the time, by SIGSTOP and SIGCONT.

Neither root nor cgroups are needed. A pause is shorter than any timeout of the system's, so that
nobody takes the process for dead; what it gets in between has to be less than it needs.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Final, Self

PERIOD_S: Final = 1.0
"""A worker of 300 notifications/s keeps up with 20 ms of 200 ms, and with 10 ms of them nearly."""


class DutyCycle:
    """Stops a process for all but a share of each period while it is entered; then lets it run."""

    def __init__(self, pid: int, share: float, period_s: float = PERIOD_S) -> None:
        assert 0 < share < 1, share
        self.pid = pid
        self.runs_s = share * period_s
        self.stands_s = period_s - self.runs_s
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="duty cycle", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def _run(self) -> None:
        """Stop it and let it go on, again and again; whatever happens, it runs at the end."""
        try:
            while not self._ends.is_set():
                os.kill(self.pid, signal.SIGSTOP)
                self._ends.wait(self.stands_s)
                os.kill(self.pid, signal.SIGCONT)
                self._ends.wait(self.runs_s)
        except ProcessLookupError:
            return  # it has ended, which whoever slows it down will see
