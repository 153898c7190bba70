"""The application, whose last commits last until a rebalance has begun, and on into it.

`faust -A tests.harness.slow_commits worker`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.consumer.group_coordinator import GroupCoordinator
from faust.types import TP

import app as product
from faust_exact.partition_states import StateKeeper

GOES_ON_S = 1.0
commit_offsets = GroupCoordinator._do_commit_offsets
is_dirty = StateKeeper.is_dirty


async def slowly(self: GroupCoordinator, *args: Any, **kwargs: Any) -> Any:
    if product.app.should_stop:
        await asyncio.wait([self._rejoin_needed_fut])
        await asyncio.sleep(GOES_ON_S)
    return await commit_offsets(self, *args, **kwargs)


def always(self: StateKeeper[Any], tp: TP) -> bool:
    """Have a last commit made: a worker that is stopped as soon as it is ready may need none."""
    return product.app.should_stop or is_dirty(self, tp)


GroupCoordinator._do_commit_offsets = slowly
StateKeeper.is_dirty = always  # type: ignore[method-assign]
app = product.app
