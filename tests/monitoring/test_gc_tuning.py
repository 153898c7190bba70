"""Garbage is collected by the minute, what survives is set aside, and every hour is looked at."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from contextlib import suppress

import pytest

from app.monitoring import gc_tuning
from app.monitoring.gc_tuning import LOOKS_PER_WHOLE, YOUNG_OBJECTS, GcTuning


class Node:
    """An object that can be part of a cycle."""

    def __init__(self) -> None:
        self.itself: Node | None = self


@pytest.fixture(autouse=True)
def nothing_set_aside() -> Iterator[None]:
    """Let Python not look by itself meanwhile, and leave nothing behind."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


def test_a_look_collects_cycles_and_sets_aside_what_lives() -> None:
    node, watch = Node(), GcTuning()
    ends = weakref.ref(Node())
    assert ends() is not None
    watch.look()
    assert ends() is None
    assert gc.get_freeze_count() > 0
    assert not any(each is node for each in gc.get_objects()), "it is set aside"


def test_what_was_set_aside_is_looked_at_again_every_hour() -> None:
    node, watch = Node(), GcTuning()
    ends = weakref.ref(node)
    watch.look()
    del node
    for _ in range(LOOKS_PER_WHOLE - 1):
        watch.look()
        assert ends() is not None, "it is set aside"
    watch.look()
    assert ends() is None


async def test_python_has_its_own_rule_back_when_the_watch_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, looked = gc.get_threshold(), asyncio.Event()
    monkeypatch.setattr(gc_tuning.GcTuning, "look", lambda _: looked.set())
    task = asyncio.create_task(GcTuning().watch())
    await looked.wait()
    assert gc.get_threshold() == (YOUNG_OBJECTS, *before[1:])
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
