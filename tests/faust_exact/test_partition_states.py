"""The keeper: what is checkpointed, when it may be committed, and what a foreign write leads to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from faust_exact import time_slice as turns
from faust_exact.checkpoint import INPUT_PER_RECORD, NO_STATE
from faust_exact.partition import MAX_LATER, Partition
from faust_exact.partition_states import StateKeeper
from faust_exact.state_record import pack, position_of
from faust_exact.store import StateStore
from tests.faust_exact.counting import Count, CountCodec
from tests.faust_exact.test_store import store_in

INPUT = TP("feed", 0)
CHANGELOG = "books-changelog"


class Log:
    """A producer, and the changelog that it appends to."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes, bytes | None]] = []
        self.error: Exception | None = None

    async def send(
        self, topic: str, key: bytes, value: bytes | None, partition: int, *_: Any
    ) -> asyncio.Future[Any]:
        assert (topic, partition) == (CHANGELOG, 0)
        future = asyncio.get_running_loop().create_future()
        if self.error is not None:
            future.set_exception(self.error)
        else:
            self.records.append((key, value))
            future.set_result(SimpleNamespace(offset=len(self.records) - 1))
        return future


class App:
    """What a keeper needs of an app."""

    def __init__(self) -> None:
        self.producer = Log()
        self.crashes: list[BaseException] = []

    async def crash(self, error: BaseException) -> None:
        self.crashes.append(error)


class Kit:
    """A keeper on a real RocksDB and a changelog in a list."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.app = App()
        self.store: StateStore = store_in(folder)
        topic = SimpleNamespace(get_topic_name=lambda: CHANGELOG)
        table: Any = SimpleNamespace(name="books", data=self.store, changelog_topic=topic)
        app: Any = self.app
        self.keeper: StateKeeper[Count] = StateKeeper(app, "feed", table, CountCodec(), **options)
        self.keeper.apply = self.count
        self.input_bytes = 0
        """What each event is said to be of."""
        self.keeper.begin(0, 0, 0, 0)

    @property
    def partition(self) -> Partition[Count]:
        return self.keeper.partitions[0]

    @property
    def log(self) -> Log:
        return self.app.producer

    def record(self, key: bytes, offset: int) -> Any:
        return SimpleNamespace(topic="feed", partition=0, offset=offset, key=key, value=b"1")

    async def take(self, key: bytes) -> None:
        """Apply the next event, to a key."""
        assert await self.keeper.take(self.record(key, self.partition.position))

    async def count(self, partition: Partition[Count], record: Any) -> None:
        state = self.keeper.state(partition, record.key)
        if state is None:
            state = partition.states[record.key] = Count()
        if state.position <= record.offset:
            state.add(record.value)
            state.position = record.offset + 1
            partition.touch(record.key, record.offset, self.input_bytes)


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path)


# What is due


async def test_a_quiet_state_is_not_written_and_holds_the_commit_back(tmp_path: Path) -> None:
    kit = Kit(tmp_path, max_age_s=3_600.0)
    await kit.take(b"a")
    await kit.take(b"b")
    assert await kit.keeper.checkpoint(0) == 2, "what was never written is"
    await kit.take(b"b")
    await kit.take(b"a")
    assert await kit.keeper.checkpoint(0) == 2, "3 is not in a record"
    assert len(kit.log.records) == 2
    assert await kit.keeper.checkpoint(0, whole=True) == 4
    assert [position_of(record or b"") for _, record in kit.log.records] == [2, 2, 4, 4]
    assert kit.partition.dirty == {}


async def test_a_state_is_written_once_it_was_told_enough(tmp_path: Path) -> None:
    kit = Kit(tmp_path, max_age_s=3_600.0)
    await kit.take(b"a")
    await kit.take(b"b")
    await kit.keeper.checkpoint(0)
    await kit.take(b"b")
    kit.input_bytes = INPUT_PER_RECORD * kit.partition.sizes[b"a"]
    await kit.take(b"a")
    assert await kit.keeper.checkpoint(0) == 2, "b begins there"
    assert [key for key, _ in kit.log.records] == [b"a", b"b", b"a"]


async def test_an_old_change_is_written(tmp_path: Path) -> None:
    kit = Kit(tmp_path, max_age_s=30.0)
    await kit.take(b"a")
    await kit.keeper.checkpoint(0)
    await kit.take(b"a")
    assert await kit.keeper.checkpoint(0) == 1
    kit.partition.dirty[b"a"].at -= 30.0
    assert await kit.keeper.checkpoint(0) == 2


async def test_what_could_not_be_written_still_holds_the_commit_back(tmp_path: Path) -> None:
    kit = Kit(tmp_path, max_age_s=3_600.0)
    await kit.take(b"a")
    kit.log.error = RuntimeError("refused")
    with pytest.raises(RuntimeError, match="refused"):
        await kit.keeper.checkpoint(0)
    await kit.take(b"a")
    assert kit.partition.safe_position == 0
    kit.log.error = None
    assert await kit.keeper.checkpoint(0) == 2


# Positions


async def test_only_the_next_offset_is_applied(kit: Kit) -> None:
    await kit.take(b"a")
    assert not await kit.keeper.take(kit.record(b"a", 0))
    assert kit.keeper.rereads() == {}
    assert not await kit.keeper.take(kit.record(b"a", 5))
    assert kit.keeper.rereads() == {INPUT: 1}
    kit.keeper.reread_done(INPUT)
    assert not await kit.keeper.take(kit.record(b"a", 7))
    assert kit.keeper.rereads() == {}, "asked again at once: at most once a second"
    assert await kit.keeper.take(kit.record(b"a", 1))


async def test_a_checkpoint_writes_what_is_dirty_as_of_the_position(kit: Kit) -> None:
    for key in (b"a", b"b", b"a"):
        await kit.take(key)
    assert await kit.keeper.checkpoint(0)
    written = dict(kit.log.records)
    assert sorted(written) == [b"a", b"b"]
    assert {position_of(record or b"") for record in written.values()} == {3}
    assert dict(kit.store.records(0)) == written
    assert kit.store.persisted_offset(TP(CHANGELOG, 0)) == 1
    await kit.take(b"b")
    assert await kit.keeper.checkpoint(0)
    assert [key for key, _ in kit.log.records] == [b"a", b"b", b"b"]


async def test_what_was_sent_on_is_waited_for(kit: Kit) -> None:
    await kit.take(b"a")
    sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    kit.partition.sent.append(sent)
    checkpoint = asyncio.create_task(kit.keeper.checkpoint(0))
    done, _ = await asyncio.wait({checkpoint}, timeout=0.1)
    assert not done
    sent.set_result(None)
    assert await checkpoint


# Events in between


class Between(CountCodec):
    """Does something when a certain state has been dumped."""

    def __init__(self, key: bytes, act: Callable[[], object]) -> None:
        self.key = key
        self.act = act

    def dump(self, key: bytes, state: Count, position: int) -> bytes | None:
        if key == self.key:
            self.act()
        return super().dump(key, state, position)


async def test_events_are_applied_between_the_records_of_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "TURN_S", 0.0)
    kit = Kit(tmp_path)
    for key in (b"a", b"b", b"c"):
        await kit.take(key)
    sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    tasks: list[asyncio.Task[None]] = []

    async def events() -> None:
        await kit.take(b"c")  # not written yet
        kit.partition.sent.append(sent)
        await kit.take(b"a")  # written already

    kit.keeper.codec = Between(b"a", lambda: tasks.append(asyncio.create_task(events())))
    checkpoint = asyncio.create_task(kit.keeper.checkpoint(0))
    done, _ = await asyncio.wait({checkpoint}, timeout=0.1)
    assert not done
    assert kit.log.records == [], "what the new state of c led to is not in Kafka yet"
    sent.set_result(None)
    assert await checkpoint == 4, "from there on a is not in a record"
    records = {key: CountCodec().load(key, record or b"") for key, record in kit.log.records}
    found = {key: (state.count, state.position) for key, state in records.items()}
    assert found[b"a"] == (1, 3)
    assert found[b"c"][0] == 2
    assert found[b"c"][1] in (4, 5)
    assert set(kit.partition.dirty) == {b"a"}
    kit.keeper.codec = CountCodec()
    assert await kit.keeper.checkpoint(0) == 5
    assert [task.exception() for task in tasks] == [None]


async def test_a_partition_that_fails_between_two_records_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "TURN_S", 0.0)
    kit = Kit(tmp_path)
    for key in (b"a", b"b"):
        await kit.take(key)
    kit.keeper.codec = Between(b"a", lambda: kit.keeper.fence(INPUT))
    assert await kit.keeper.checkpoint(0) is None
    assert kit.log.records == []
    assert set(kit.partition.dirty) == {b"a", b"b"}


# Failure


async def test_a_refused_record_fails_the_checkpoint_and_stays_dirty(kit: Kit) -> None:
    await kit.take(b"a")
    kit.log.error = RuntimeError("refused")
    with pytest.raises(RuntimeError, match="refused"):
        await kit.keeper.checkpoint(0)
    assert set(kit.partition.dirty) == {b"a"}
    assert dict(kit.store.records(0)) == {}, "not in the store before Kafka has it"
    kit.log.error = None
    assert await kit.keeper.checkpoint(0)
    assert dict(kit.store.records(0)) == dict(kit.log.records)


async def test_a_checkpoint_never_sees_half_an_event(kit: Kit) -> None:
    await kit.take(b"a")

    async def count(partition: Partition[Count], record: Any) -> None:
        nonlocal checkpoint
        await kit.count(partition, record)  # applied, but what follows from it is not sent yet
        checkpoint = asyncio.create_task(kit.keeper.checkpoint(0))
        done, _ = await asyncio.wait({checkpoint}, timeout=0.1)
        assert not done

    checkpoint: asyncio.Task[int | None]
    kit.keeper.apply = count
    await kit.take(b"a")
    assert await checkpoint
    ((_, record),) = kit.log.records
    state = CountCodec().load(b"a", record or b"")
    assert (state.count, state.position) == (2, 2)


async def test_an_event_that_cannot_be_applied_ends_the_worker_and_is_not_written(kit: Kit) -> None:
    await kit.take(b"a")

    async def fail(partition: Partition[Count], record: Any) -> None:
        await kit.count(partition, record)
        raise RuntimeError("no memory")

    kit.keeper.apply = fail
    with pytest.raises(RuntimeError, match="no memory"):
        await kit.take(b"a")
    assert [str(error) for error in kit.app.crashes] == ["no memory"]
    assert kit.keeper.committable(INPUT) is None
    assert await kit.keeper.checkpoint(0) is None
    assert kit.log.records == []


async def test_a_cancelled_event_is_not_written_either(kit: Kit) -> None:
    async def hang(partition: Partition[Count], record: Any) -> None:
        await kit.count(partition, record)
        await asyncio.Event().wait()

    kit.keeper.apply = hang
    task = asyncio.create_task(kit.take(b"a"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert await kit.keeper.checkpoint(0) is None
    assert kit.log.records == []
    assert kit.app.crashes == []


async def test_a_refused_commit_fences_the_partition(kit: Kit) -> None:
    await kit.take(b"a")
    kit.keeper.fence(INPUT)
    assert kit.keeper.committable(INPUT) is None
    assert await kit.keeper.checkpoint(0) is None
    assert kit.log.records == []


async def test_a_partition_that_was_given_up_is_not_committed(kit: Kit) -> None:
    await kit.take(b"a")
    kit.keeper.drop([0])
    assert await kit.keeper.checkpoint(0) is None


async def test_an_answer_that_comes_after_a_revocation_leaves_the_table_alone(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By then another worker may have gone on, and this one may have read that, and own it again.

    The older record in the table would be what the next start begins with.
    """
    sent: list[asyncio.Future[Any]] = []

    async def send(*_: Any) -> asyncio.Future[Any]:
        sent.append(asyncio.get_running_loop().create_future())
        return sent[-1]

    tp = TP(CHANGELOG, 0)
    await kit.take(b"a")
    monkeypatch.setattr(kit.log, "send", send)
    checkpointing = asyncio.create_task(kit.keeper.checkpoint(0))
    while not sent:
        await asyncio.sleep(0)
    kit.keeper.drop([0])
    newer = CountCodec().dump(b"a", Count(), 9)
    kit.store.put_acknowledged(tp, {b"a": newer}, 1)
    kit.keeper.begin(0, 9, 0, 9)
    sent[0].set_result(SimpleNamespace(offset=0))
    assert await checkpointing is None
    assert kit.store.get_record(0, b"a") == newer
    assert kit.store.persisted_offset(tp) == 1


# Somebody else writes


async def test_after_a_foreign_write_every_state_is_written_again(kit: Kit) -> None:
    for key in (b"a", b"b"):
        await kit.take(key)
    await kit.keeper.checkpoint(0)
    kit.log.records.append((b"a", pack(1, 0, b"a zombie's")))
    await kit.take(b"b")
    await kit.keeper.checkpoint(0)
    assert kit.store.persisted_offset(TP(CHANGELOG, 0)) == 1, "the zombie's has not been read"
    assert kit.keeper.is_dirty(INPUT), "a checkpoint is due although nothing more comes"
    await kit.keeper.checkpoint(0)
    assert dict(kit.log.records) == dict(kit.store.records(0))
    assert not kit.keeper.is_dirty(INPUT)


async def test_after_a_foreign_write_states_that_left_memory_are_written_too(
    tmp_path: Path,
) -> None:
    kit = Kit(tmp_path, is_lazy=True)
    for key in (b"a", b"b", b"c"):
        await kit.take(key)
    await kit.keeper.checkpoint(0)
    assert kit.partition.states == {}
    kit.log.records.append((b"a", pack(1, 0, b"a zombie's")))
    await kit.take(b"b")
    await kit.keeper.checkpoint(0)
    await kit.keeper.checkpoint(0)
    assert dict(kit.log.records) == dict(kit.store.records(0))


async def test_a_record_that_recovery_saw_overtaken_is_written_again(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    await kit.take(b"a")
    await kit.keeper.checkpoint(0)
    kit.keeper.drop([0])
    kit.store.overtaken[0] = {b"a"}
    kit.keeper.begin(0, 1, 0, 1)
    assert kit.keeper.is_dirty(INPUT)
    await kit.keeper.checkpoint(0)
    assert [key for key, _ in kit.log.records] == [b"a", b"a"]
    assert kit.store.overtaken == {}


# Taking over


async def test_a_state_that_cannot_be_read_is_computed_anew(kit: Kit) -> None:
    for key in (b"a", b"b"):
        await kit.take(key)
    await kit.keeper.checkpoint(0)
    kit.store.put_acknowledged(TP(CHANGELOG, 0), {b"a": b"damaged"}, 1)
    kit.keeper.drop([0])
    kit.keeper.begin(0, 2, 0, 2)
    assert kit.partition.position == 0, "from the beginning: b skips what it includes"
    assert list(kit.partition.states) == [b"b"]
    assert kit.partition.states[b"b"].position == 2


async def test_lazy_states_leave_memory_when_they_are_written(tmp_path: Path) -> None:
    kit = Kit(tmp_path, is_lazy=True)
    await kit.take(b"a")
    await kit.keeper.checkpoint(0)
    assert kit.partition.states == {}
    seen = kit.keeper.peek(0, b"a")
    assert seen is not None
    assert seen.count == 1
    await kit.take(b"a")
    assert kit.partition.states[b"a"].count == 2


@pytest.mark.parametrize(
    ("opened_at", "changelog", "why"),
    [
        (-1, range(0), "books-changelog is empty"),
        (-1, range(7, 9), "was truncated: it begins at 7"),
        (3, range(5, 9), "was truncated: it begins at 5"),
        (1, range(1), "was made anew: it ends at 1, 1 had been read"),
    ],
)
async def test_a_changelog_that_lost_records_means_computing_again(
    kit: Kit, caplog: pytest.LogCaptureFixture, opened_at: int, changelog: range, why: str
) -> None:
    kit.keeper.drop([0])
    kit.store.opened_at[0] = opened_at
    kit.keeper.begin(0, 50, 4, 60, changelog)
    assert kit.partition.position == 4
    assert why in caplog.text


async def test_what_is_computed_again_is_committed_before_anything_is_written(kit: Kit) -> None:
    """A crash after the first record would leave a changelog that is not empty, and the commit of
    before: the next owner would go on there, without what all other states were to be told.
    """
    kit.keeper.drop([0])
    kit.store.opened_at[0] = -1
    kit.keeper.begin(0, 6, 4, 9, range(0))  # the changelog is empty, and 6 is committed
    tp = kit.keeper.input_tp(0)
    await kit.take(b"a")
    written = len(kit.log.records)
    assert await kit.keeper.checkpoint(0) == 4
    assert await kit.keeper.checkpoint(0, whole=True) == 4
    assert len(kit.log.records) == written
    kit.keeper.committed(tp)
    assert await kit.keeper.checkpoint(0) == 5
    assert len(kit.log.records) > written


async def test_input_without_states_is_not_computed_again(tmp_path: Path) -> None:
    kit = Kit(tmp_path / "one")

    async def nothing(partition: Partition[Count], record: Any) -> None:
        """Do what a tick of a partition does that no instrument is in."""

    kit.keeper.apply = nothing
    for _ in range(50):
        await kit.take(b"")
    assert await kit.keeper.checkpoint(0) == 50
    assert await kit.keeper.checkpoint(0) == 50
    assert kit.log.records == [(NO_STATE, None)], "once"

    for folder in ("one", "another"):  # on this disk, and on an empty one
        if folder == "another":
            kit = Kit(tmp_path / folder)
            message = SimpleNamespace(
                tp=TP(CHANGELOG, 0), partition=0, offset=0, key=NO_STATE, value=None
            )
            event = SimpleNamespace(message=message)
            kit.store.apply_changelog_batch([event], bytes, bytes)  # type: ignore[list-item]
        kit.keeper.drop([0])
        kit.keeper.begin(0, 50, 0, 60, range(1))
        assert kit.partition.position == 50
        assert kit.partition.states == {}


@pytest.mark.parametrize(("opened_at", "changelog"), [(-1, range(9)), (4, range(5, 9))])
async def test_a_whole_changelog_is_believed(kit: Kit, opened_at: int, changelog: range) -> None:
    kit.keeper.drop([0])
    kit.store.opened_at[0] = opened_at
    kit.keeper.begin(0, 50, 4, 60, changelog)
    assert kit.partition.position == 50


@pytest.mark.parametrize("is_lazy", [False, True])
async def test_what_a_new_changelog_lacks_is_written_to_it(tmp_path: Path, is_lazy: bool) -> None:
    kit = Kit(tmp_path, is_lazy=is_lazy)
    for key in (b"a", b"b"):
        await kit.take(key)
    await kit.keeper.checkpoint(0)
    kept = dict(kit.store.records(0))
    kit.keeper.drop([0])
    kit.log.records.clear()
    kit.keeper.begin(0, 2, 0, 2, range(0))
    assert kit.keeper.is_dirty(INPUT)
    assert await kit.keeper.checkpoint(0) == 0
    kit.keeper.committed(INPUT)
    await kit.keeper.checkpoint(0)
    assert {key for key, _ in kit.log.records} == kept.keys()
    assert dict(kit.log.records) == dict(kit.store.records(0))
    assert kit.store.persisted_offset(TP(CHANGELOG, 0)) == 1


# What is sent later


async def test_what_is_sent_later_is_sent_before_the_checkpoint_that_includes_it(kit: Kit) -> None:
    order: list[str] = []

    async def send(partition: Partition[Count]) -> None:
        future = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda _: order.append("acknowledged"))
        order.append(f"sent {partition.later}")
        partition.sent.append(future)
        asyncio.get_running_loop().call_later(0.01, future.set_result, None)

    kit.keeper.send_later = send
    await kit.take(b"a")
    kit.partition.later += ["one", "two"]
    append = kit.log.send

    async def noted(*args: Any) -> Any:
        order.append("record")
        return await append(*args)

    kit.log.send = noted  # type: ignore[method-assign]
    assert await kit.keeper.checkpoint(0) == 1
    assert order == ["sent ['one', 'two']", "acknowledged", "record"]
    assert kit.partition.later == []
    kit.partition.later.append("three")
    await kit.keeper.flush()
    assert order[3:] == ["sent ['three']"]
    kit.partition.later.append("four")
    kit.keeper.fence(INPUT)
    await kit.keeper.flush()
    assert kit.partition.later == ["four"], "whose fate is another's now"


async def test_what_is_sent_later_is_bounded_while_another_partition_stalls(kit: Kit) -> None:
    """A flush waits for the partition that stalls; the others send what is as much as may wait."""
    kit.keeper.begin(1, 0, 0, 0)
    stalled, flowing = kit.keeper.partitions.values()
    goes_on, sent = asyncio.Event(), asyncio.Queue[tuple[int, int]]()

    async def send(partition: Partition[Count]) -> None:
        sent.put_nowait((partition.number, len(partition.later)))
        if partition is stalled:
            await goes_on.wait()

    async def close(partition: Partition[Count], count: int) -> int:
        """Have windows closed, and return the most that was held meanwhile."""
        most = 0
        for number in range(count):
            async with partition.whole:
                await kit.keeper.later(partition, number)
            most = max(most, len(partition.later))
        return most

    kit.keeper.send_later = send
    await close(stalled, 1)
    flushing = asyncio.create_task(kit.keeper.flush())
    assert await sent.get() == (0, 1)
    assert await close(flowing, 2 * MAX_LATER + 1) == MAX_LATER - 1
    assert [sent.get_nowait() for _ in range(sent.qsize())] == 2 * [(1, MAX_LATER)]
    more = asyncio.create_task(close(stalled, 1))
    await asyncio.sleep(0)
    assert not more.done(), "what stalls closes nothing more"
    goes_on.set()
    await asyncio.gather(flushing, more)
    assert (len(stalled.later), flowing.later) == (1, [])
    assert sent.get_nowait() == (1, 1)
