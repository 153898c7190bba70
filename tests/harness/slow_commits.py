"""The application, whose last commits last until a rebalance has begun, and on into it.

`faust -A tests.harness.slow_commits worker`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.consumer.group_coordinator import GroupCoordinator

import app as product

GOES_ON_S = 1.0
commit_offsets = GroupCoordinator._do_commit_offsets


async def slowly(self: GroupCoordinator, *args: Any, **kwargs: Any) -> Any:
    if product.app.should_stop:
        await asyncio.wait([self._rejoin_needed_fut])
        await asyncio.sleep(GOES_ON_S)
    return await commit_offsets(self, *args, **kwargs)


GroupCoordinator._do_commit_offsets = slowly
app = product.app
