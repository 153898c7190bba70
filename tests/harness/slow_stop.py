"""The application, whose consumer takes three seconds to stop: so that a rebalance falls into it.

`faust -A tests.harness.slow_stop worker`.
"""

from __future__ import annotations

import asyncio

import app as product
from app.exact.transport import ExactConsumer

STOP_TAKES_S = 3.0
on_stop = ExactConsumer.on_stop


async def slowly(self: ExactConsumer) -> None:
    await asyncio.sleep(STOP_TAKES_S)
    await on_stop(self)


ExactConsumer.on_stop = slowly
app = product.app
