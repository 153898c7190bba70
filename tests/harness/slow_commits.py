"""The application, with commits that take three seconds: so that a rebalance falls into the last.

`faust -A tests.harness.slow_commits worker`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.consumer.group_coordinator import GroupCoordinator

import app as product

COMMIT_TAKES_S = 3.0
commit_offsets = GroupCoordinator._do_commit_offsets


async def slowly(self: GroupCoordinator, *args: Any, **kwargs: Any) -> Any:
    await asyncio.sleep(COMMIT_TAKES_S)
    return await commit_offsets(self, *args, **kwargs)


GroupCoordinator._do_commit_offsets = slowly
app = product.app
