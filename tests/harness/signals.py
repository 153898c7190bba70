"""Signals that a worker with a fault built in understands: see blocked_loop.py, crashing.py."""

import signal

BLOCK_FOR_A_WHILE = int(signal.SIGRTMIN)
BLOCK_FOR_GOOD = BLOCK_FOR_A_WHILE + 1
A_WHILE_S = 12.0
"""Longer than Kafka waits for a member of the group, shorter than a worker waits for its loop."""
CRASH = BLOCK_FOR_A_WHILE + 2
