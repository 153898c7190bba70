"""Positions: a record's is never below that of its content, whatever led to its being written."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.processing.processor import Processor, Rules
from app.processing.state_codec import VERSION, BooksCodec
from app.settings import Settings
from app.state.history_chunks import Chunk, HistoryCodec
from app.topics.admin import changelog_name, topics
from faust_exact import checkpoint as checkpoints
from faust_exact.partition import Partition
from faust_exact.partition_states import Codec
from faust_exact.state_record import BadRecord, InvariantBroken, pack, position_of, unpack
from tests.faust_exact.counting import Count, CountCodec
from tests.faust_exact.test_partition_states import CHANGELOG, INPUT, Kit
from tests.faust_exact.test_store import apply, event

RULES = Rules((1_000,), 250, 3_000)


async def counted(kit: Kit, count: int) -> None:
    for _ in range(count):
        await kit.take(b"a")
    await kit.keeper.checkpoint(0)


# States that are ahead of their partition


@pytest.mark.parametrize("is_lazy", [False, True])
@pytest.mark.parametrize("why", ["overtaken", "doubted", "doubted later"])
async def test_a_state_that_is_ahead_is_written_as_of_its_own_position(
    tmp_path: Path, is_lazy: bool, why: str
) -> None:
    kit = Kit(tmp_path, is_lazy=is_lazy)
    await counted(kit, 7)
    kit.keeper.drop([0])
    if why == "overtaken":
        kit.store.overtaken[0] = {b"a"}
    kit.keeper.begin(0, 3, 0, 7)
    if why == "doubted":
        kit.keeper.doubt(kit.partition)
    await kit.take(b"a")
    if why == "doubted later":
        kit.keeper.doubt(kit.partition)
    committed = await kit.keeper.checkpoint(0, whole=True)
    assert committed == 4
    record = kit.store.get_record(0, b"a") or b""
    assert position_of(record) == 7
    kit.keeper.drop([0])
    kit.keeper.begin(0, committed, 0, 9)
    while kit.partition.position < 9:
        await kit.take(b"a")
    state = kit.keeper.peek(0, b"a")
    assert state is not None
    assert state.count == 9


async def test_a_record_that_would_be_labelled_too_low_is_not_written(kit: Kit) -> None:
    class TooLow(CountCodec):
        def dump(self, key: bytes, state: Count, position: int) -> bytes:
            return pack(1, position - 1, msgspec.json.encode(state))

    kit.keeper.codec = TooLow()
    await kit.take(b"a")
    with pytest.raises(InvariantBroken, match="a record of position 0 was made of a state of 1"):
        await kit.keeper.checkpoint(0)
    assert kit.log.records == []


def processor(position: int) -> Processor:
    state = Processor("BTC-PERPETUAL", RULES)
    state.position = position
    return state


CODECS: list[tuple[Codec[Any], Any]] = [
    (BooksCodec(RULES), processor(9)),
    (HistoryCodec(), Chunk({1_000: b"{}"}, 9)),
    (CountCodec(), Count(position=9)),
]


@pytest.mark.parametrize(("codec", "state"), CODECS)
def test_every_codec_checks_positions_when_it_writes_and_when_it_reads(
    codec: Codec[Any], state: Any
) -> None:
    with pytest.raises(InvariantBroken, match="a record of position 8 cannot hold a state of 9"):
        codec.dump(b"k", state, 8)
    for position in (9, 12):
        record = codec.dump(b"k", state, position)
        assert record is not None
        assert codec.load(b"k", record).position == position, "none of what is between is its own"
    version = VERSION if isinstance(codec, BooksCodec) else record[4]
    _, payload = unpack(record, version)
    with pytest.raises(BadRecord, match="its position is 8, but its content is of 9"):
        codec.load(b"k", pack(version, 8, payload))


async def test_a_record_that_was_labelled_too_low_is_computed_anew(
    kit: Kit, caplog: pytest.LogCaptureFixture
) -> None:
    await counted(kit, 5)
    payload = msgspec.json.encode(kit.partition.states[b"a"])
    kit.keeper.drop([0])
    apply(kit.store, event(b"a", None, 1), event(b"a", pack(1, 3, payload), 2))
    kit.keeper.begin(0, 3, 0, 5)
    assert kit.partition.position == 0
    assert kit.partition.states == {}
    assert "its position is 3, but its content is of 5" in caplog.text


# What is changed, when, and under what


async def test_a_change_outside_of_its_record_is_refused(kit: Kit) -> None:
    with pytest.raises(InvariantBroken, match="outside of the record at 0"):
        kit.partition.touch(b"a", 0)
    async with kit.partition.whole:
        with pytest.raises(InvariantBroken, match="changed at offset 4, outside"):
            kit.partition.touch(b"a", 4)
        kit.partition.touch(b"a", 0)


async def test_a_partition_begins_within_its_input(kit: Kit) -> None:
    kit.keeper.drop([0])
    with pytest.raises(InvariantBroken, match="begun at 9, but there is 4 to 8"):
        kit.keeper.begin(0, 9, 4, 8)


# An input that was made anew


@pytest.mark.parametrize("is_lazy", [False, True])
@pytest.mark.parametrize("disk", ["the same disk", "an empty disk"])
async def test_what_an_input_that_was_made_anew_says_is_all_new(
    tmp_path: Path, is_lazy: bool, disk: str
) -> None:
    kit = Kit(tmp_path / "one", is_lazy=is_lazy)
    await counted(kit, 20)
    kit.keeper.drop([0])
    kit.keeper.begin(0, 0, 0, 6)  # a feed that was deleted, and has six records now
    for _ in range(6):
        await kit.take(b"a")
    committed = await kit.keeper.checkpoint(0, whole=True)
    assert committed == 6
    changelog = kit.log.records
    if disk == "an empty disk":
        kit = Kit(tmp_path / "another", is_lazy=is_lazy)
        kit.log.records[:] = changelog
        events = [event(key, value, at) for at, (key, value) in enumerate(changelog)]
        apply(kit.store, *events)
    kit.keeper.drop([0])
    kit.keeper.begin(0, committed, 0, 8)
    for _ in range(2):
        await kit.take(b"a")
    state = kit.keeper.peek(0, b"a")
    assert state is not None
    assert state.count == 20 + 6 + 2


async def test_a_quiet_state_of_an_input_that_was_made_anew_is_written_at_once(kit: Kit) -> None:
    await counted(kit, 20)
    kit.keeper.drop([0])
    kit.keeper.begin(0, 0, 0, 6)
    await kit.take(b"b")
    assert await kit.keeper.checkpoint(0) == 1
    kit.keeper.drop([0])
    kit.keeper.begin(0, 1, 0, 30)  # more than the state had seen of the one before
    assert kit.partition.states[b"a"].position == 1


# Keys that were deleted


async def delete(kit: Kit, key: bytes) -> None:
    async def expire(partition: Partition[Count], record: Any) -> None:
        partition.states.pop(record.key, None)
        partition.touch(record.key, record.offset)

    apply_before, kit.keeper.apply = kit.keeper.apply, expire
    await kit.take(key)
    kit.keeper.apply = apply_before


@pytest.mark.parametrize("when", ["before the checkpoint", "during it"])
async def test_a_deleted_key_is_not_read_again_from_the_table(tmp_path: Path, when: str) -> None:
    kit = Kit(tmp_path, is_lazy=True)
    await counted(kit, 3)
    await delete(kit, b"a")
    sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    checkpoint = None
    if when == "during it":
        kit.partition.sent.append(sent)
        checkpoint = asyncio.create_task(kit.keeper.checkpoint(0))
        await asyncio.wait({checkpoint}, timeout=0.05)
        assert not checkpoint.done()
    assert kit.store.get_record(0, b"a") is not None, "the table still has it"
    assert kit.keeper.peek(0, b"a") is None
    assert list(kit.keeper.stored_keys(kit.partition, b"")) == []
    await kit.take(b"a")
    assert kit.partition.states[b"a"].count == 1
    sent.set_result(None)
    if checkpoint is not None:
        assert await checkpoint == 4
    assert await kit.keeper.checkpoint(0) == 5
    state = kit.keeper.peek(0, b"a")
    assert state is not None
    assert state.count == 1


# What is not the last of the changelog yet


async def test_the_offset_stays_until_all_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "MAX_RESENT_RECORDS", 1)
    kit = Kit(tmp_path, is_lazy=True)
    for key in (b"a", b"b", b"c"):
        await kit.take(key)
    await kit.keeper.checkpoint(0)
    kit.keeper.drop([0])
    kit.log.records.clear()
    kit.keeper.begin(0, 3, 0, 3, range(0))
    kit.keeper.committed(INPUT)
    persisted = []
    for _ in range(3):
        await kit.keeper.checkpoint(0)
        persisted.append(kit.store.persisted_offset(INPUT._replace(topic=CHANGELOG)))
    assert persisted == [None, None, 2]
    assert kit.store.doubtful == set()


async def test_what_could_not_be_written_again_stays_to_be_written(tmp_path: Path) -> None:
    kit = Kit(tmp_path, is_lazy=True)
    for key in (b"a", b"b"):
        await kit.take(key)
    await kit.keeper.checkpoint(0)
    kit.keeper.doubt(kit.partition)
    kit.log.error = RuntimeError("refused")
    with pytest.raises(RuntimeError, match="refused"):
        await kit.keeper.checkpoint(0)
    assert sorted(kit.partition.unsure) == [b"a", b"b"]


async def test_a_table_that_is_doubtful_is_written_again_whole(kit: Kit) -> None:
    await counted(kit, 3)
    kit.keeper.drop([0])
    kit.store.doubtful.add(0)
    kit.keeper.begin(0, 3, 0, 3)
    assert kit.keeper.is_dirty(INPUT)
    await kit.keeper.checkpoint(0)
    assert [key for key, _ in kit.log.records] == [b"a", b"a"]


# What a failed checkpoint must not forget, and what a checkpoint must not see


async def test_what_a_cancelled_checkpoint_waited_for_is_waited_for_again(kit: Kit) -> None:
    await kit.take(b"a")
    sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    kit.partition.sent.append(sent)
    first = asyncio.create_task(kit.keeper.checkpoint(0))
    await asyncio.wait({first}, timeout=0.05)
    first.cancel()
    await asyncio.wait({first})
    assert not sent.cancelled(), "it is on its way all the same"
    second = asyncio.create_task(kit.keeper.checkpoint(0))
    await asyncio.wait({second}, timeout=0.05)
    assert not second.done()
    assert kit.log.records == []
    sent.set_result(None)
    assert await second == 1


async def test_what_was_refused_is_never_included_in_a_commit(kit: Kit) -> None:
    await kit.take(b"a")
    refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    refused.set_exception(RuntimeError("too large"))
    under_way: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    kit.partition.sent += [under_way, refused]
    for _ in range(2):
        with pytest.raises(RuntimeError, match="too large"):
            await kit.keeper.checkpoint(0)
    assert kit.log.records == []
    assert kit.partition.safe_position == 0


async def test_records_are_made_under_the_lock_of_the_partition(kit: Kit) -> None:
    class Watched(CountCodec):
        def dump(self, key: bytes, state: Count, position: int) -> bytes:
            were_locked.append(kit.partition.whole.locked())
            return super().dump(key, state, position)

    were_locked: list[bool] = []
    kit.keeper.codec = Watched()
    for key in (b"a", b"b", b"c"):
        await kit.take(key)
    await kit.keeper.checkpoint(0)
    assert were_locked == [True] * 3


async def test_a_state_that_outgrows_its_record_is_not_sent(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kit.take(b"a")
    size = len(CountCodec().dump(b"a", kit.partition.states[b"a"], 1))
    monkeypatch.setattr(checkpoints, "MAX_RECORD_BYTES", size - 1)
    with pytest.raises(ValueError, match=f"b'a' has {size} bytes, more than {size - 1}"):
        await kit.keeper.checkpoint(0)
    assert kit.log.records == []
    monkeypatch.setattr(checkpoints, "MAX_RECORD_BYTES", size)
    assert await kit.keeper.checkpoint(0) == 1


def test_no_record_is_larger_than_its_topic_takes(installation: Settings) -> None:
    changelog = changelog_name(installation.app_id, "books")
    topic = next(each for each in topics(installation) if each.name == changelog)
    assert int(topic.configs["max.message.bytes"]) >= checkpoints.MAX_RECORD_BYTES


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path)
