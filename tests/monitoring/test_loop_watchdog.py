"""A blocked event loop is seen, said by file and line, and ends the process (B20)."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from app.monitoring.loop_watchdog import END_AFTER_LOOKS
from tests.harness.processes import ROOT

START = """
import asyncio, os, signal, time
from app.monitoring import loop_watchdog
loop_watchdog.LOOK_EVERY_S = {look_s}
import logging
logging.basicConfig(level=logging.INFO)

def a_long_computation(seconds):
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        sum(range(1_000))

async def main():
    pulse = loop_watchdog.LoopWatchdog()
    pulse.start()

    async def beats():
        while True:
            pulse.beat()
            await asyncio.sleep(loop_watchdog.LOOK_EVERY_S / 4)

    beating = asyncio.create_task(beats())
    await asyncio.sleep(4 * loop_watchdog.LOOK_EVERY_S)
    {then}
    pulse.stop()
    print("ended in peace")

asyncio.run(main())
"""
LIMIT_S = 60.0
LOOK_S = 0.05


def run(then: str, look_s: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", START.format(then=then, look_s=look_s)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.mark.parametrize("how", ["a_long_computation(600)", "time.sleep(600)"])
def test_a_loop_that_is_blocked_for_good_ends_the_process_and_says_where(how: str) -> None:
    done = run(how, look_s=0.1)
    assert done.returncode == 1, done.stderr
    warned, ended = done.stderr.splitlines()
    assert warned.startswith("WARNING:steelyard.pulse:the event loop is blocked, ")
    assert ended.startswith("ERROR:steelyard.pulse:the event loop is blocked for good")
    assert "main" in ended
    if "computation" in how:
        assert "a_long_computation" in ended
    assert "ended in peace" not in done.stdout


HOLDERS = {
    "in C, asleep": "import ctypes; ctypes.PyDLL(None).sleep(300)",
    "in C, at work": "pow(7, 7 ** 11, 10 ** 400_000 + 1)",
    "in a regular expression": "import re; re.match('(a+)+$', 'a' * 64 + 'b')",
}
"""Code that keeps the interpreter to itself, for far longer than a loop may be blocked."""


@pytest.mark.parametrize("then", HOLDERS.values(), ids=HOLDERS)
def test_code_that_holds_the_interpreter_ends_the_process_and_says_where(then: str) -> None:
    started = time.monotonic()
    done = run(then, look_s=0.02)
    assert done.returncode == 1, done.stderr
    assert time.monotonic() - started < LIMIT_S / 2
    assert "Timeout" in done.stderr
    assert 'File "<string>", line' in done.stderr
    assert " in main" in done.stderr
    assert "ended in peace" not in done.stdout


def test_who_watches_no_more_is_not_ended() -> None:
    then = "pulse.stop(); pulse.beat(); time.sleep(60 * loop_watchdog.LOOK_EVERY_S * 2)"
    done = run(then, look_s=0.02)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_loop_that_turns_again_lives_on() -> None:
    done = run("time.sleep(20 * loop_watchdog.LOOK_EVERY_S); await asyncio.sleep(1)", look_s=LOOK_S)
    assert done.returncode == 0, done.stderr
    warned, again = done.stderr.splitlines()
    assert "is blocked, " in warned
    assert again.startswith("INFO:steelyard.pulse:the event loop turns again")
    assert "ended in peace" in done.stdout


def test_a_process_that_was_paused_is_not_taken_for_blocked() -> None:
    program = START.format(then="print('up', flush=True); await asyncio.sleep(1)", look_s=LOOK_S)
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(1.5 * END_AFTER_LOOKS * LOOK_S)
        process.send_signal(signal.SIGCONT)
        told, said = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, said) == (0, "")
    assert "ended in peace" in told


def test_a_process_without_memory_ends_and_says_so() -> None:
    limit = (
        "import resource; pages = int(open('/proc/self/statm').read().split()[0]); "
        "limit = pages * resource.getpagesize() + loop_watchdog.RESERVE_BYTES // 2; "
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit)); await asyncio.sleep(600)"
    )
    done = run(limit, LOOK_S)
    assert done.returncode == 1, done.stderr
    (said,) = done.stderr.splitlines()
    assert said.startswith("ERROR:steelyard.pulse:not even 16 MB of memory are left")
