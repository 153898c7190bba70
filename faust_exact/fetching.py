"""What is fetched, and how it is handed on: the part of the exact consumer that reads.

Of a keeper's topic all that a fetch brought is handed over as one delivery. Of a partition nothing
is fetched while deliveries are waiting (held), or while all that comes of it is looped back
(unfetched).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Final

from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from mode.services import WaitResults

from faust_exact.client_thread import CALM_FETCH_WAIT_MS, FETCH_WAIT_MS, ExactThread
from faust_exact.fast.eager import Ended, begin
from faust_exact.partition_states import StateKeeper
from faust_exact.record_batch import Delivery

MAX_UNDONE: Final = 2
"""Deliveries of a topic that may be under way: one is processed, and the next is at hand."""
LOOK_EVERY_S: Final = 1.0
"""A partition that has not moved from one look to the next, although it has more, is read again."""
HELD_WAIT_S: Final = 0.02
"""While partitions are held, a fetch of the others waits so long, so that they are soon let go."""

log = logging.getLogger("steelyard.consumer")


class FetchingConsumer(driver.Consumer):  # type: ignore[misc]
    """A consumer that fetches no more than is processed, and goes back between two fetches only.

    What overrides Faust overrides a named method of faust-streaming 0.15.3.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._fetching: asyncio.Task[Any] | None = None
        """The task that fetches."""
        self.rounds = 0
        """Fetches that were handed on to their last record."""
        self._undone: dict[str, set[Delivery]] = {}
        """By topic: what was handed to an agent and is not processed yet."""
        self._held: set[TP] = set()
        """Partitions of which nothing is fetched until a delivery is done."""
        self.unfetched: set[TP] = set()
        """Partitions of which nothing is fetched because all that comes is looped back."""
        self._look_at = 0.0
        """When to look next for partitions that stand still."""

    def _new_consumer_thread(self) -> ExactThread:
        return ExactThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def knows_coordinator(self) -> bool:
        """Whether the group has a coordinator, as far as the client knows."""
        thread: ExactThread = self._thread
        return thread.knows_coordinator

    @property
    def keepers(self) -> list[StateKeeper[Any]]:
        """The keepers of the app, whose topics are consumed exactly."""
        keepers: list[StateKeeper[Any]] = self.app.keepers
        return keepers

    def _keeper(self, tp: TP) -> StateKeeper[Any] | None:
        for keeper in self.keepers:
            if keeper.wants(tp):
                return keeper
        return None

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Fetch; between two fetches, and only there, go back to what was not delivered.

        A seek while a fetched batch is being iterated is undone by the rest of that batch.
        """
        self._fetching = asyncio.current_task()
        await self._reread()
        self._thread.let_fetches_wait(CALM_FETCH_WAIT_MS if self.is_calm else FETCH_WAIT_MS)
        async for tp, message in super().getmany(HELD_WAIT_S if self._held else timeout):
            yield tp, message
        self.rounds += 1

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:
        """Fetch; what came of a keeper's topic becomes one delivery (F23)."""
        fetched, active = await super()._wait_next_records(timeout)
        if not fetched:
            return fetched, active
        others = {tp: records for tp, records in fetched.items() if self._keeper(tp) is None}
        for keeper in self.keepers:
            mine = {
                tp: records
                for tp, records in fetched.items()
                if keeper.wants(tp) and not keeper.is_reread(tp)
            }
            if mine:
                others[next(iter(mine))] = [self._delivery(keeper, mine)]
        return others, active

    def _delivery(self, keeper: StateKeeper[Any], fetched: dict[TP, list[Any]]) -> Delivery:
        generation = self.app.consumer_generation_id

        def may_go_on() -> bool:
            return bool(self.flow_active) and self.app.consumer_generation_id == generation

        # Faust's scheduler lets the partitions take turns.
        records = [record for _, record in self.scheduler.iterate(fetched)]
        delivery = Delivery(records, may_go_on, partial(self._done, keeper))
        undone = self._undone.setdefault(keeper.topic, set())
        undone.add(delivery)
        if len(undone) >= MAX_UNDONE:
            for number in keeper.partitions:
                self._hold(keeper.input_tp(number))
        return delivery

    def _hold(self, tp: TP) -> None:
        """Fetch no more of a partition until a delivery of its topic is done."""
        self._held.add(tp)
        self.on_buffer_full(tp)

    @property
    def is_calm(self) -> bool:
        """Whether nothing is fetched of what the keepers have."""
        wanted = {each.input_tp(number) for each in self.keepers for number in each.partitions}
        return bool(wanted) and wanted <= self.unfetched

    def leave_out(self, tp: TP) -> None:
        """Fetch no more of a partition, until it is read again or begun anew."""
        self.unfetched.add(tp)
        self.on_buffer_full(tp)

    def fetch_all(self) -> None:
        """Begin anew: what was handed over is given up, and nothing is held or left out."""
        self._undone.clear()  # the agents' queues are cleared before the flow goes on
        for keeper in self.keepers:
            if keeper.loopback is not None:
                keeper.loopback.forget()
        self._held |= self.unfetched
        self.unfetched.clear()
        self._let_go()

    def _done(self, keeper: StateKeeper[Any], delivery: Delivery) -> None:
        """A delivery was processed, or given up."""
        self._undone.get(keeper.topic, set()).discard(delivery)
        self._let_go(keeper)
        if keeper.loopback is not None:
            keeper.loopback.wake()

    def _let_go(self, keeper: StateKeeper[Any] | None = None) -> None:
        """Fetch again what was held, of a keeper or of all, as far as it is still ours."""
        for tp in [tp for tp in self._held if keeper is None or keeper.wants(tp)]:
            self._held.discard(tp)
            if tp not in self.unfetched:
                self._fetch_again(tp)

    def _fetch_again(self, tp: TP) -> None:
        if tp in self.assignment():
            self.on_buffer_drop(tp)
        else:
            self._buffered_partitions.discard(tp)

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        if not isinstance(record, Delivery):
            return super()._to_message(tp, record)
        last = next(each for each in reversed(record.records) if each.partition == tp.partition)
        message = super()._to_message(tp, last)
        message.key, message.value = None, record
        return message

    async def wait_first(self, *coros: Any, timeout: Any = None) -> WaitResults:
        """Wait for the first of these; a hand-over that need not wait costs no task (F23)."""
        handover, *others = coros
        is_handover = asyncio.iscoroutine(handover) and asyncio.current_task() is self._fetching
        if not is_handover or self.should_stop:
            return await super().wait_first(*coros, timeout=timeout)
        begun = begin(handover)
        if not isinstance(begun, Ended):
            return await super().wait_first(begun, *others, timeout=timeout)
        for other in others:
            other.close()
        return WaitResults([handover], [begun.value], False)

    async def _still_there(self, keeper: StateKeeper[Any], wanted: dict[TP, int]) -> dict[TP, int]:
        """Return where to go on; what retention has deleted meanwhile is skipped, and said."""
        try:
            firsts = await self.earliest_offsets(*wanted)
        except KafkaError as error:
            log.debug("Kafka does not say where topics begin: %r", error)
            return wanted
        if not self.flow_active:  # revoked meanwhile: what is skipped is up to the next owner
            return {}
        for tp, position in wanted.items():
            first = firsts.get(tp) or 0
            if first > position:
                await keeper.skip(tp, first)
        return {tp: max(position, firsts.get(tp) or 0) for tp, position in wanted.items()}

    def _look_for_standing(self) -> None:
        """Read again where nothing comes although there is more.

        The client goes on at the beginning of a log by itself when what it wants is not there any
        more; until somebody appends the next record nothing would show that.
        """
        now = time.monotonic()
        if now < self._look_at or not self.flow_active:
            return
        self._look_at = now + LOOK_EVERY_S
        assigned = self.assignment()
        for keeper in self.keepers:
            if self._undone.get(keeper.topic):
                continue
            for number, partition in keeper.partitions.items():
                tp = keeper.input_tp(number)
                stood, partition.looked_at = partition.looked_at, partition.position
                if tp not in assigned or tp in self.unfetched or stood != partition.position:
                    continue
                if (super().highwater(tp) or 0) > partition.position:
                    partition.is_reread = True

    async def _reread(self) -> None:
        self._look_for_standing()
        assigned = self.assignment()
        for keeper in self.keepers:
            wanted = {tp: offset for tp, offset in keeper.rereads().items() if tp in assigned}
            if wanted and self.flow_active:
                seeks = await self._still_there(keeper, wanted)
                await self.seek_wait(seeks)
                for tp in seeks:
                    keeper.reread_done(tp)
                    if tp in self.unfetched:
                        self.unfetched.discard(tp)
                        self._fetch_again(tp)

    def highwater(self, tp: TP) -> int | None:
        """Return the end of a partition as of the last fetch, or of the last append of ours."""
        fetched: int | None = super().highwater(tp)
        keeper = self._keeper(tp)
        if keeper is None or keeper.loopback is None:
            return fetched
        return max(fetched or 0, keeper.loopback.end(tp))
