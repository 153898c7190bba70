"""The application, whose event loop a signal blocks: for a while, or for good.

`faust -A tests.harness.blocked_loop worker`.
"""

from __future__ import annotations

import signal
import time
from types import FrameType

import app as product
from tests.harness.signals import A_WHILE_S, BLOCK_FOR_A_WHILE, BLOCK_FOR_GOOD


def a_handler_that_blocks(number: int, _frame: FrameType | None) -> None:
    """Run on the loop's own thread, as a view or an agent does."""
    ends = time.monotonic() + A_WHILE_S
    while number == BLOCK_FOR_GOOD or time.monotonic() < ends:
        time.sleep(0.1)


for blocking in (BLOCK_FOR_A_WHILE, BLOCK_FOR_GOOD):
    signal.signal(blocking, a_handler_that_blocks)
app = product.app
