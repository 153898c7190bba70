"""The application, whose consumer begins to stop when a rebalance has begun.

`faust -A tests.harness.slow_stop worker`.
"""

from __future__ import annotations

import asyncio

import app as product
from faust_exact.consumer import ExactConsumer

on_stop = ExactConsumer.on_stop


async def rebalance(self: ExactConsumer) -> None:
    await asyncio.wait([self._thread._consumer._coordinator._rejoin_needed_fut])


async def late(self: ExactConsumer) -> None:
    begun = asyncio.run_coroutine_threadsafe(rebalance(self), self._thread.thread_loop)
    await asyncio.wrap_future(begun)
    await on_stop(self)


ExactConsumer.on_stop = late
app = product.app
