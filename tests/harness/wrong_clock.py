"""The application on a machine whose clock is wrong.

`CLOCK_AHEAD_S=-3600 faust -A tests.harness.wrong_clock worker`.
"""

from __future__ import annotations

import os
import time

ahead_s = int(os.environ["CLOCK_AHEAD_S"])
true_ns, true_s = time.time_ns, time.time
time.time_ns = lambda: true_ns() + ahead_s * 10**9
time.time = lambda: true_s() + ahead_s

import app as product  # noqa: E402

app = product.app
