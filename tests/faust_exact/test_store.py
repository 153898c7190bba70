"""The store: value and offset in one step, the newer record wins, and damage is not served."""

from __future__ import annotations

import logging
import random
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.types import TP

from faust_exact.state_record import InvariantBroken, pack, position_of
from faust_exact.store import (
    BLOCK_CACHE_BYTES,
    MAX_WRITE_BUFFERS,
    WRITE_BUFFER_BYTES,
    StateStore,
    StateTable,
    StoreLocked,
    StoreRefused,
)
from tests.harness.processes import Child, python
from tests.system.chaos.steps import damage

TOPIC = TP("books-changelog", 0)


def store_in(folder: Path) -> StateStore:
    """Return the store of a table, with nothing but a disk behind it."""
    app = faust.App("store", datadir=folder, autodiscover=False)
    table = StateTable(app, name="books", partitions=1, key_type=bytes, value_type=bytes)
    store: StateStore = table.data
    folder_of = store.partition_path(0).parent
    folder_of.mkdir(parents=True, exist_ok=True)
    return store


def close(store: StateStore) -> None:
    for database in store._dbs.values():
        database.close()
    store._dbs.clear()


def reopened(store: StateStore, folder: Path) -> StateStore:
    close(store)
    return store_in(folder)


def event(key: bytes, value: bytes | None, offset: int) -> Any:
    message = SimpleNamespace(key=key, value=value, offset=offset, partition=0, tp=TOPIC)
    return SimpleNamespace(message=message)


def apply(store: StateStore, *events: Any) -> None:
    store.apply_changelog_batch(events, to_key=lambda key: key, to_value=lambda value: value)


def filled(folder: Path) -> StateStore:
    """A store with enough in it that RocksDB has written a table file."""
    store = store_in(folder)
    for offset in range(200):
        payload = random.Random(offset).randbytes(2_000)
        store.put_acknowledged(TOPIC, {b"k%d" % offset: pack(1, offset, payload)}, offset)
    store._db_for_partition(0).flush()
    return store


# Memory


def test_all_databases_of_a_worker_share_one_cache_of_blocks(tmp_path: Path) -> None:
    stores = [filled(tmp_path / name) for name in ("one", "another")]
    for _ in range(2):  # a block is kept when it is read
        for store in stores:
            assert len(list(store.records(0))) == 200

    def measured(name: str) -> set[int]:
        asked = f"rocksdb.block-cache-{name}"
        return {int(store._db_for_partition(0).property_value(asked)) for store in stores}

    assert measured("capacity") == {BLOCK_CACHE_BYTES}
    (usage,) = measured("usage")  # of both: the same cache
    assert 2 * 200 * 2_000 < usage <= BLOCK_CACHE_BYTES


def test_what_a_database_has_not_written_to_its_tables_is_bounded(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    database = store._db_for_partition(0)
    held = []
    for offset in range(4 * WRITE_BUFFER_BYTES // 2_000):
        payload = random.Random(offset).randbytes(2_000)
        store.put_acknowledged(TOPIC, {b"k%d" % offset: pack(1, offset, payload)}, offset)
        held.append(int(database.property_value("rocksdb.cur-size-all-mem-tables")))
    # RocksDB takes a buffer in blocks of an eighth, and switches when the last one does not fit.
    assert WRITE_BUFFER_BYTES / 2 < max(held) <= MAX_WRITE_BUFFERS * WRITE_BUFFER_BYTES * 9 / 8


# Value and offset


def test_value_and_offset_are_kept_together(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.put_acknowledged(TOPIC, {b"a": b"1", b"b": b"2"}, 7)
    store.put_acknowledged(TOPIC, {b"a": None}, 8)
    store = reopened(store, tmp_path)
    assert dict(store.records(0)) == {b"b": b"2"}
    assert store.persisted_offset(TOPIC) == 8


def test_an_offset_that_is_not_known_stays(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.put_acknowledged(TOPIC, {b"a": b"1"}, 7)
    store.put_acknowledged(TOPIC, {b"a": b"2"}, None)
    assert store.get_record(0, b"a") == b"2"
    assert store.persisted_offset(TOPIC) == 7


WRITER = """
import sys
from pathlib import Path
from faust_exact.state_record import pack
from tests.faust_exact.test_store import TOPIC, store_in
store = store_in(Path(sys.argv[1]))
for offset in range(10_000_000):
    store.put_acknowledged(TOPIC, {b"a": pack(1, offset, b"x" * 500)}, offset)
    if offset == 10:  # killed sooner, it would show nothing
        print("writing", flush=True)
"""


@pytest.mark.parametrize("seed", range(3))
def test_a_kill_at_any_moment_leaves_value_and_offset_alike(tmp_path: Path, seed: int) -> None:
    log = tmp_path / "writer.log"
    writer = Child("writer", python("-c", WRITER, str(tmp_path / "db")), {}, log).start()
    writer.wait_until("writing", lambda: b"writing" in log.read_bytes(), 20)
    time.sleep(random.Random(seed).uniform(0.05, 0.3))
    writer.signal(signal.SIGKILL)
    writer.wait()
    store = store_in(tmp_path / "db")
    record = store.get_record(0, b"a")
    assert record is not None
    assert position_of(record) == store.persisted_offset(TOPIC)
    assert store.persisted_offset(TOPIC) > 0


# Which record wins


def test_the_higher_position_wins_whatever_the_order(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    old, new = pack(1, 10, b"old"), pack(1, 20, b"new")
    apply(store, event(b"a", old, 0), event(b"a", new, 1), event(b"b", new, 2), event(b"b", old, 3))
    assert dict(store.records(0)) == {b"a": new, b"b": new}
    assert store.overtaken == {0: {b"b"}}
    assert store.last_read(0) == 3
    assert store.persisted_offset(TOPIC) is None, "the next recovery finds it, too"


def test_what_was_overtaken_is_found_again_until_its_owner_wrote_it_again(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    old, new = pack(1, 10, b"old"), pack(1, 20, b"new")
    apply(store, event(b"a", new, 0))
    apply(store, event(b"a", old, 1))
    apply(store, event(b"b", new, 2))
    store = reopened(store, tmp_path)  # killed before the record was written again
    assert store.persisted_offset(TOPIC) == 0
    apply(store, event(b"a", old, 1), event(b"b", new, 2))
    assert store.overtaken == {0: {b"a"}}
    apply(store, event(b"a", new, 3))  # as a standby reads what its owner wrote
    assert store.overtaken == {0: set()}
    assert store.persisted_offset(TOPIC) == 3


def test_the_persisted_offset_never_falls(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.put_acknowledged(TOPIC, {b"a": pack(1, 1, b"x")}, 7)
    with pytest.raises(InvariantBroken, match="the changelog is at 6, and was at 7"):
        store.put_acknowledged(TOPIC, {b"a": pack(1, 2, b"y")}, 6)
    apply(store, event(b"a", pack(1, 3, b"z"), 0))  # a changelog that was made anew
    assert store.persisted_offset(TOPIC) == 7


def test_a_table_without_an_offset_is_doubtful(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.put_acknowledged(TOPIC, {b"a": pack(1, 1, b"x")}, 7)
    store.forget_offset(0)
    store = reopened(store, tmp_path)
    assert store.last_read(0) == -1
    assert store.doubtful == {0}
    apply(store, event(b"a", pack(1, 1, b"x"), 0))
    assert store.persisted_offset(TOPIC) is None, "until its owner has written all again"


def test_a_late_record_of_another_batch_does_not_win(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    old, new = pack(1, 10, b"old"), pack(1, 20, b"new")
    apply(store, event(b"a", new, 0))
    store = reopened(store, tmp_path)
    apply(store, event(b"a", old, 1))
    assert dict(store.records(0)) == {b"a": new}
    assert store.overtaken == {0: {b"a"}}


def test_of_equal_positions_the_later_record_wins(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    first, second = pack(1, 10, b"first"), pack(1, 10, b"second")
    apply(store, event(b"a", first, 0), event(b"a", second, 1))
    assert dict(store.records(0)) == {b"a": second}
    assert not any(store.overtaken.values())


def test_a_deleted_key_is_gone(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    apply(store, event(b"a", pack(1, 10, b"x"), 0), event(b"a", None, 1))
    assert dict(store.records(0)) == {}


# Damage


@pytest.mark.parametrize("how", ["flip", "truncate", "no-manifest", "no-current"])
def test_a_damaged_database_is_dropped_and_said(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = filled(tmp_path)
    path = store.partition_path(0)
    close(store)
    damage(path, how)
    store = store_in(tmp_path)
    with caplog.at_level(logging.WARNING, "steelyard.store"):
        assert dict(store.records(0)) == {}
    assert store.persisted_offset(TOPIC) is None, "so that recovery reads the changelog anew"
    assert "is damaged" in caplog.text
    assert str(path) in caplog.text
    store.put_acknowledged(TOPIC, {b"a": b"1"}, 1)
    assert store.get_record(0, b"a") == b"1"


REFUSED = """
import os, resource, sys
from pathlib import Path
from faust_exact.store import StoreRefused
from tests.faust_exact.test_store import store_in

def attempt():
    store = store_in(Path(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, 4096))
    try:
        return f"read {len(dict(store.records(0)))}"
    except StoreRefused as error:
        return str(error)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 4096))

opened = len(os.listdir("/proc/self/fd")) - 1
for limit in range(opened, opened + 7):
    print(attempt())
"""


def test_a_database_that_the_machine_does_not_let_open_is_kept(tmp_path: Path) -> None:
    """Each number of files that may still be opened stops RocksDB at another step."""
    close(filled(tmp_path))
    done = subprocess.run(
        python("-c", REFUSED, str(tmp_path)), capture_output=True, text=True, check=True
    )
    assert done.stdout.count("Too many open files") == 7
    assert len(dict(store_in(tmp_path).records(0))) == 200


@pytest.mark.parametrize(
    "problem",
    [
        "IO error: While pread offset 0 len 4096: /db/000009.sst: Input/output error",
        "IO error: While appending to file: /db/000011.log: No space left on device",
        "Invalid argument: options incompatible: IO error: /db/CURRENT: Cannot allocate memory",
        "Corruption: IO error: While open a file: /db/000009.sst: Too many open files in system",
        "IO error: While open a file for random read: /db/CURRENT: Permission denied",
        "Not implemented: a format of another release",
    ],
)
def test_only_damage_deletes_a_table(
    tmp_path: Path, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = reopened(filled(tmp_path), tmp_path)
    with monkeypatch.context() as refused:
        refused.setattr(store, "_problem", lambda _: problem)
        with pytest.raises(StoreRefused, match="Nothing was deleted") as raised:
            store.get_record(0, b"k1")
    assert raised.value.exit_code == 2
    assert problem in str(raised.value)
    assert len(dict(store.records(0))) == 200


def test_a_healthy_database_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = reopened(filled(tmp_path), tmp_path)
    assert len(dict(store.records(0))) == 200
    assert store.persisted_offset(TOPIC) == 199
    assert caplog.text == ""


HOLDER = """
import sys, time
from pathlib import Path
from tests.faust_exact.test_store import store_in
store = store_in(Path(sys.argv[1]))
store._db_for_partition(0)
print("holding", flush=True)
time.sleep(60)
"""


def test_a_database_that_another_process_holds_is_left_alone(tmp_path: Path) -> None:
    close(filled(tmp_path / "db"))
    log = tmp_path / "holder.log"
    holder = Child("holder", python("-c", HOLDER, str(tmp_path / "db")), {}, log).start()
    try:
        holder.wait_until("holding", lambda: b"holding" in log.read_bytes(), 20)
        store = store_in(tmp_path / "db")
        with pytest.raises(StoreLocked, match="STEELYARD_WORKER_NAME"):
            store.get_record(0, b"k1")
    finally:
        holder.kill()
    assert len(dict(store_in(tmp_path / "db").records(0))) == 200
