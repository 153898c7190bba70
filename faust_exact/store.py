"""A table whose records carry their position, in a RocksDB that is never ahead of its changelog.

Two rules differ from Faust's own store:

- A value and the changelog offset that it has are written together, in one batch, after Kafka has
  acknowledged it. Faust writes the value first and the offset later, so that a crash in between
  leaves a database ahead of the changelog (F5 in docs/exactness.md).
- Of two records of a key the one with the higher position wins, whatever their order in the
  changelog: a worker that was paused, lost its partitions and woke up may have written one late.

The persisted offset says two things: everything up to it has been read, and what the table holds is
the last of its key there. While the second is not so, the offset stays, and the next recovery finds
the same again. A table is deleted for damage only, never because it could not be opened.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import faust
import rocksdict
from faust.stores import rocksdb
from faust.types import TP, EventT
from yarl import URL

from faust_exact.errors import UserError
from faust_exact.state_record import BadRecord, InvariantBroken, position_of

log = logging.getLogger("steelyard.store")

BLOCK_CACHE_BYTES = 8 * 1024 * 1024
"""Of a worker; Faust's default is 2 GiB per table and partition. What is read is mostly history:
chunks of 16 kB that are read once, and would fill a cache of each partition in hours."""
WRITE_BUFFER_BYTES = 1024 * 1024
"""Of a database, and a partition has two. They fill before anything leaves them: with 4 MB a worker
of 8 partitions grew for half an hour, to 187 MB; with 1 MB it is at 152 after a quarter."""
MAX_WRITE_BUFFERS = 2
DAMAGE = ("Corruption", os.strerror(errno.ENOENT))
"""In the text of RocksDB's error when its files are damaged, or one of them is missing."""
HELD = ("lock hold by current process", os.strerror(errno.EAGAIN))
"""In the text of its error when another process, or this one, has the database open."""
NO_DAMAGE = tuple(
    os.strerror(number)
    for number in (
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT),
        *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOLCK),
    )
)
"""In the text when the machine refused something: whatever else it says, the files may be whole."""
STORE_OPTIONS = {
    "driver": "rocksdict",
    "write_buffer_size": WRITE_BUFFER_BYTES,
    "max_write_buffer_number": MAX_WRITE_BUFFERS,
}
_block_cache = rocksdict.Cache(BLOCK_CACHE_BYTES)


class StoreOptions(rocksdb.RocksDBOptions):  # type: ignore[misc]
    """Faust's options, but for the cache of blocks: all databases of a worker share one.

    Its size is the worker's then, however many partitions it is given.
    """

    def as_options(self) -> rocksdict.Options:
        """Return the options to open a database with."""
        options = super().as_options()
        blocks = rocksdict.BlockBasedOptions()
        blocks.set_bloom_filter(self.bloom_filter_size, block_based=True)
        blocks.set_block_cache(_block_cache)
        options.set_block_based_table_factory(blocks)
        return options


class StoreLocked(UserError):
    """Another process holds the database of a partition."""


class StoreRefused(UserError):
    """The machine does not let the database of a partition be opened or read."""


class StateStore(rocksdb.Store):  # type: ignore[misc]
    """RocksDB store of state records, one database a partition."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rocksdb_options = StoreOptions(**self.options, use_rocksdict=True)
        self.overtaken: dict[int, set[bytes]] = {}
        """By partition: keys of which recovery met an older record after a newer one."""
        self.read_to: dict[int, int] = {}
        """By partition: the last offset of the changelog that has been read."""
        self.doubtful: set[int] = set()
        """Partitions whose table holds records that may not be the last of the changelog."""
        self.opened_at: dict[int, int] = {}
        """By partition: the changelog offset that its database had when it was opened, else -1."""

    def get_record(self, partition: int, key: bytes) -> bytes | None:
        """Return the record of a key."""
        value: bytes | None = self._db_for_partition(partition).get(key)
        return value

    def records(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over all records of a partition."""
        yield from self._visible_items(self._db_for_partition(partition))

    def keys(self, partition: int, first: bytes) -> Iterator[bytes]:
        """Iterate over the keys of a partition in their order, from one on."""
        iterator = self._db_for_partition(partition).iter()
        iterator.seek(first)
        while iterator.valid():
            key = iterator.key()
            if key != self.offset_key:
                yield key
            iterator.next()
        iterator.status()

    def put_acknowledged(
        self, tp: TP, records: Mapping[bytes, bytes | None], offset: int | None
    ) -> None:
        """Write records that Kafka has acknowledged, with the changelog offset they reach.

        `offset` is None if the changelog holds records before it that have not been read here:
        the persisted offset then stays, so that the next recovery reads them.
        """
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, record in records.items():
            if record is None:
                batch.delete(key)
            else:
                batch.put(key, record)
        database = self._db_for_partition(tp.partition)
        if offset is not None:
            known = self.persisted_offset(tp)
            if known is not None and offset < known:
                raise InvariantBroken(f"{tp}: the changelog is at {offset}, and was at {known}")
            batch.put(self.offset_key, str(offset).encode())
        database.write(batch)
        if offset is not None:
            self.read_to[tp.partition] = offset

    def last_read(self, partition: int) -> int:
        """Return the last offset of the changelog that has been read, -1 if nothing was."""
        self._db_for_partition(partition)
        return self.read_to.get(partition, -1)

    def forget_offset(self, partition: int) -> None:
        """Let the next recovery read the changelog from its beginning, and doubt the table."""
        self._db_for_partition(partition).delete(self.offset_key)
        self.read_to.pop(partition, None)
        self.doubtful.add(partition)

    def apply_changelog_batch(
        self,
        batch: Iterable[EventT],
        to_key: Callable[[Any], Any],
        to_value: Callable[[Any], Any],
    ) -> None:
        """Take records of the changelog: of each key the one with the highest position."""
        newest: dict[tuple[int, bytes], bytes | None] = {}
        offsets: dict[TP, int] = {}
        for event in batch:
            message = event.message
            offsets[message.tp] = max(message.offset, offsets.get(message.tp, -1))
            where = message.partition, message.key
            known = newest[where] if where in newest else self.get_record(*where)
            overtaken = self.overtaken.setdefault(message.partition, set())
            if self._is_overtaken(message.value, known):
                overtaken.add(message.key)
                newest[where] = known
            else:
                overtaken.discard(message.key)
                newest[where] = message.value
        by_partition: dict[int, dict[bytes, bytes | None]] = {}
        for (partition, key), record in newest.items():
            by_partition.setdefault(partition, {})[key] = record
        for tp, offset in offsets.items():
            known = self.persisted_offset(tp)
            is_last = tp.partition not in self.doubtful and not self.overtaken[tp.partition]
            is_last &= known is None or offset >= known  # else the changelog was made anew
            records = by_partition.get(tp.partition, {})
            self.put_acknowledged(tp, records, offset if is_last else None)
            self.read_to[tp.partition] = offset

    def _is_overtaken(self, record: bytes | None, known: bytes | None) -> bool:
        if record is None or known is None:
            return False
        try:
            return position_of(record) < position_of(known)
        except BadRecord as error:
            log.warning("a record of %s is unreadable: %s", self.table_name, error)
            return False

    def _visible_items(self, db: Any) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over all records; raise if a block is damaged, where Faust's would just end."""
        iterator = db.iter()
        iterator.seek_to_first()
        while iterator.valid():
            key = iterator.key()
            if key != self.offset_key:
                yield key, iterator.value()
            iterator.next()
        iterator.status()

    async def _try_open_db_for_partition(self, partition: int, **_: Any) -> Any:
        """Open a partition's database at once; Faust tries a held lock for half a minute."""
        return self._db_for_partition(partition)

    def _open_for_partition(self, partition: int) -> Any:
        database = self._open_healthy(partition)
        stored = database.get(self.offset_key)
        offset = -1 if stored is None else int(stored)
        self.opened_at[partition] = self.read_to[partition] = offset
        self.overtaken.pop(partition, None)
        if offset < 0 and next(self._visible_items(database), None) is not None:
            self.doubtful.add(partition)
        return database

    def _open_healthy(self, partition: int) -> Any:
        """Open a partition's database; drop it for recovery if, and only if, it is damaged."""
        path = self.partition_path(partition)
        try:
            database = super()._open_for_partition(partition)
        except Exception as error:
            problem = str(error)
        else:
            found = self._problem(database)
            if found is None:
                return database
            problem = found
            database.close()
        if any(words in problem for words in HELD):
            raise StoreLocked(
                f"{path} is held by another process: give each worker a name of its own "
                "(STEELYARD_WORKER_NAME), or stop the other one"
            )
        if any(words in problem for words in NO_DAMAGE) or not any(
            words in problem for words in DAMAGE
        ):
            raise StoreRefused(
                f"{path} cannot be read ({problem}): mend that (open files, memory, disk, rights) "
                "and start again. Nothing was deleted"
            )
        log.warning("%s is damaged (%s): dropped, to be rebuilt from the changelog", path, problem)
        shutil.rmtree(path, ignore_errors=True)
        return super()._open_for_partition(partition)

    def _problem(self, database: Any) -> str | None:
        """Say why not all can be read; reading every block checks every checksum."""
        try:
            for _ in self._visible_items(database):
                pass
        except Exception as error:
            # Only the text leaves: the traceback would keep the iterator, and so the lock.
            return str(error)
        return None


class StateTable(faust.Table):  # type: ignore[misc]
    """A table of state records; written by a StateKeeper, read by views."""

    def _new_store(self) -> StateStore:
        return StateStore(
            URL("rocksdb:"),
            self.app,
            self,
            table_name=self.name,
            key_type=self.key_type,
            value_type=self.value_type,
            loop=self.loop,
            options=STORE_OPTIONS,
        )
