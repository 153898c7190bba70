"""A coroutine is begun by hand, and becomes a task only if it has to wait.

Faust gives each event to its agent by `wait_first`, beside the end of the flow: four tasks, of
which three are cancelled, and several turns of the loop. While a worker is behind a turn is long:
forty records of other topics held up the next fetch of the feed by two seconds. Nearly always the
agent's queue has room, and nothing has to wait.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from dataclasses import dataclass
from functools import partial
from types import coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ended(Generic[T]):
    """The coroutine did not have to wait."""

    value: T


def begin(begun: Coroutine[Any, Any, T]) -> Ended[T] | Coroutine[Any, Any, T]:
    """Run a coroutine to where it waits; return its end, or what is still to be awaited of it."""
    try:
        waits_for = begun.send(None)
    except StopIteration as end:
        return Ended(end.value)
    return _rest(begun, waits_for)


async def _rest(begun: Coroutine[Any, Any, T], waits_for: Any) -> T:
    return await _go_on(begun, waits_for)


@coroutine
def _go_on(begun: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """Hand on what comes from outside, and what the coroutine waits for, until its end."""
    while True:
        try:
            value = yield waits_for
        except BaseException as error:  # a cancellation, which is the coroutine's own
            step = partial(begun.throw, error)
        else:
            step = partial(begun.send, value)
        try:
            waits_for = step()
        except StopIteration as end:
            result: T = end.value
            return result
