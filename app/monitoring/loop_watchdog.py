"""Ends a worker whose event loop is blocked for good, or which has no memory left (B20).

All else that could end it runs on that loop, and needs memory. So a thread looks whether the loop
turns. It counts its own looks instead of seconds: a process that was paused, or a machine that was
asleep, is not taken for a blocked loop. It says why, and a supervisor starts the worker again.

That thread needs the interpreter, which compiled code may hold all the time. So the loop also winds
up a timer of the standard library that runs in C: it writes where all threads are, and exits. It
goes by the clock, twice as long, so a process that was stopped (SIGSTOP) for longer than that ends
when it goes on; Kafka gave its partitions to others long before.
"""

from __future__ import annotations

import faulthandler
import logging
import mmap
import os
import sys
import threading
import traceback
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

log = logging.getLogger("steelyard.pulse")

LOOK_EVERY_S: Final = 0.5
SAY_AFTER_LOOKS: Final = 6
"""3 s: whoever follows this worker calls it stale by then."""
END_AFTER_LOOKS: Final = 40
"""20 s: Kafka has given its partitions to others after 8."""
HELD_FACTOR: Final = 2
"""40 s: who holds the interpreter is not seen by the thread, which would have ended all before."""
RESERVE_BYTES: Final = 16 * 1024**2
"""A worker that is refused so much would limp: what it drops is caught here and logged there."""
END_AFTER_REFUSALS: Final = 4
"""2 s: no moment's peak."""
SAY_TIMEOUT_S: Final = 1.0
EXIT_CODE: Final = 1
STDERR: Final = 2
"""Its descriptor: the object may have been replaced by one without a file behind it."""
FRAMES_SAID: Final = 12
_ENDS: Final = "the worker ends, to be started again"


class LoopWatchdog:
    """The watch over one loop; `beat` is called by a task on it."""

    def __init__(self, end: Callable[[int], object] = os._exit) -> None:
        self._end = end
        self._beats = 0
        self._refusals = 0
        self._loop_thread = 0
        self._stopped = threading.Event()
        self._words: SimpleQueue[tuple[int, str, threading.Event]] = SimpleQueue()

    def start(self) -> None:
        """Begin to watch the loop of the thread that calls this."""
        self._loop_thread = threading.get_ident()
        self._wind_up()
        for target in (self._watch, self._speak):
            threading.Thread(target=target, name="pulse", daemon=True).start()

    def beat(self) -> None:
        """Note that the loop turns."""
        self._beats += 1
        if not self._stopped.is_set():
            self._wind_up()

    def stop(self) -> None:
        """Watch no more: the loop ends."""
        self._stopped.set()
        faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        seen, looks = self._beats, 0
        while not self._stopped.wait(LOOK_EVERY_S):
            if self._has_no_memory():
                mb = RESERVE_BYTES // 1024**2
                self._say(logging.ERROR, f"not even {mb} MB of memory are left: {_ENDS}")
                self._end(EXIT_CODE)
                return
            if self._beats != seen:
                if looks >= SAY_AFTER_LOOKS:
                    self._say(logging.INFO, f"the event loop turns again, {_seconds(looks)}")
                seen, looks = self._beats, 0
                continue
            looks += 1
            if looks == SAY_AFTER_LOOKS:
                where = self._where(1)
                self._say(logging.WARNING, f"the event loop is blocked, {_seconds(looks)}: {where}")
            elif looks == END_AFTER_LOOKS:
                text = f"the event loop is blocked for good, {_seconds(looks)}; {_ENDS}"
                self._say(logging.ERROR, f"{text}: {self._where(FRAMES_SAID)}")
                self._end(EXIT_CODE)
                return

    @staticmethod
    def _wind_up() -> None:
        """Have the process exit with EXIT_CODE, as faulthandler does, unless it is wound again."""
        after_s = HELD_FACTOR * END_AFTER_LOOKS * LOOK_EVERY_S
        faulthandler.dump_traceback_later(after_s, exit=True, file=STDERR)

    def _has_no_memory(self) -> bool:
        try:
            # Given back at once, and never touched, so never paid for.
            mmap.mmap(-1, RESERVE_BYTES).close()
        except (OSError, MemoryError):
            self._refusals += 1
        else:
            self._refusals = 0
        return self._refusals >= END_AFTER_REFUSALS

    def _where(self, frames: int) -> str:
        """Say where the loop's thread is, its innermost frame last."""
        frame = sys._current_frames().get(self._loop_thread)
        found = traceback.extract_stack(frame)[-frames:] if frame is not None else []
        return " > ".join(f"{each.filename}:{each.lineno} {each.name}" for each in found)

    def _say(self, level: int, text: str) -> None:
        # Not here: the blocked thread may hold the lock of the log, or be stuck in writing to it.
        said = threading.Event()
        self._words.put((level, text, said))
        said.wait(SAY_TIMEOUT_S)

    def _speak(self) -> None:
        while True:
            level, text, said = self._words.get()
            log.log(level, "%s", text)
            said.set()


def _seconds(looks: int) -> str:
    return f"{looks * LOOK_EVERY_S:.0f} s"
