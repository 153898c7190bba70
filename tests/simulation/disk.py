"""A simulated disk: what rocksdict offers and a state store uses, on a dictionary.

Opening a RocksDB takes as long as a simulated minute. The store's own code runs unchanged on it;
what RocksDB makes of a crash is shown on real ones, in tests/faust_exact/test_store.py and in
tests/system/chaos.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import faust

from faust_exact.store import StateStore, StateTable


class WriteBatch:
    """Takes the place of `rocksdict.WriteBatch`: all of it is written, or nothing."""

    def __init__(self, raw_mode: bool = True) -> None:
        self.changes: list[tuple[bytes, bytes | None]] = []

    def put(self, key: bytes, value: bytes) -> None:
        self.changes.append((key, value))

    def delete(self, key: bytes) -> None:
        self.changes.append((key, None))


class Database:
    """The database of one partition; its content outlives the process that opened it."""

    def __init__(self, content: dict[bytes, bytes]) -> None:
        self.content = content
        self.is_open = True

    def get(self, key: bytes) -> bytes | None:
        return self.content.get(key)

    def delete(self, key: bytes) -> None:
        self.content.pop(key, None)

    def write(self, batch: WriteBatch) -> None:
        if not self.is_open:
            raise RuntimeError("a write to a database that was closed")
        for key, value in batch.changes:
            if value is None:
                self.content.pop(key, None)
            else:
                self.content[key] = value

    def iter(self) -> Cursor:
        return Cursor(sorted(self.content.items()))

    def close(self) -> None:
        self.is_open = False


class Cursor:
    """Iterates over a snapshot, as RocksDB's does."""

    def __init__(self, items: list[tuple[bytes, bytes]]) -> None:
        self._items = items
        self._at = 0

    def seek_to_first(self) -> None:
        self._at = 0

    def seek(self, key: bytes) -> None:
        self._at = next((n for n, (k, _) in enumerate(self._items) if k >= key), len(self._items))

    def valid(self) -> bool:
        return self._at < len(self._items)

    def key(self) -> bytes:
        return self._items[self._at][0]

    def value(self) -> bytes:
        return self._items[self._at][1]

    def next(self) -> None:
        self._at += 1

    def status(self) -> None:
        return


Disk = dict[tuple[str, int], dict[bytes, bytes]]
"""By table and partition: what is on it."""


@cache
def _app() -> faust.App:
    return faust.App("simulation", autodiscover=False)


def store_on(disk: Disk, name: str) -> StateStore:
    """Return the product's store of a table, on a simulated disk."""
    table = StateTable(_app(), name=name, partitions=1, key_type=bytes, value_type=bytes)
    store: StateStore = table.data

    def open_(partition: int) -> Any:
        return Database(disk.setdefault((name, partition), {}))

    store._open_healthy = open_  # type: ignore[method-assign]
    return store
