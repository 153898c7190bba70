"""Checks at start what must hold for a worker; says what does not, and what to do."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import math
import os
import shutil
import time
from pathlib import Path
from typing import Any, Final

from app.errors import UserError
from app.settings import Settings
from app.topics.admin import KafkaUnreachable, ensure_topics
from app.topics.ownership import check_claims

log = logging.getLogger("steelyard.worker")

MIN_FREE_BYTES: Final = 256 * 1024 * 1024
"""RocksDB keeps failing once it has met a full disk, so a worker does not start near one."""
ASK_AGAIN_S: Final = 1.0
SAY_EVERY_S: Final = 60.0
"""How often the log says that the worker waits for Kafka."""
IDENTITY: Final = "steelyard.json"
LOCK: Final = "steelyard.lock"

_held: list[Any] = []
"""Locks of this process, held until it ends."""


class DiskFull(UserError):
    """There is too little space for the tables."""


class FolderForeign(UserError):
    """The folder of the tables belongs to something else."""


class FolderLocked(UserError):
    """Another worker uses the folder of the tables."""


async def check_start(settings: Settings, folder: Path) -> None:
    """Check folder, disk, topics and whose they are; raise a UserError that says what to do."""
    prepare_folder(settings, folder)
    await _when_kafka_answers(settings)


async def _when_kafka_answers(settings: Settings) -> None:
    """Check topics and whose they are; wait for a silent Kafka, and say so each minute."""
    said_at = -math.inf
    while True:
        try:
            await ensure_topics(settings)
            await check_claims(settings)
        except KafkaUnreachable as error:
            if time.monotonic() - said_at >= SAY_EVERY_S:
                log.warning("%s\nThe worker waits for it.", error)
                said_at = time.monotonic()
            await asyncio.sleep(ASK_AGAIN_S)
        else:
            return


def prepare_folder(settings: Settings, folder: Path) -> None:
    """Make and lock the folder of a worker's tables, and check that it is this installation's."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FolderForeign(
            f"{folder} cannot be made ({error.strerror}): set STEELYARD_DATA_DIR"
        ) from error
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE_BYTES:
        raise DiskFull(
            f"{folder} has {free // 2**20} MiB free, {MIN_FREE_BYTES // 2**20} are needed: "
            "make room, or set STEELYARD_DATA_DIR to another disk"
        )
    _lock(folder)
    _check_identity(settings, folder)


def _lock(folder: Path) -> None:
    lock = (folder / LOCK).open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise FolderLocked(
            f"{folder} is in use by the worker with pid {holder}: stop it, or give this one a "
            "name of its own (STEELYARD_WORKER_NAME)"
        ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    _held.append(lock)


def _check_identity(settings: Settings, folder: Path) -> None:
    """A folder made for other topics would be ahead of, or beside, the changelogs it is given."""
    wanted = {
        "app_id": settings.app_id,
        "topic_prefix": settings.topic_prefix,
        "partitions": settings.partitions,
    }
    path = folder / IDENTITY
    if not path.exists():
        path.write_text(json.dumps(wanted) + "\n")
        return
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise FolderForeign(f"{path} is damaged ({error}): delete {folder}") from error
    if found != wanted:
        raise FolderForeign(
            f"{folder} was made for {found}, the settings say {wanted}: delete it (it is rebuilt "
            "from Kafka), or set STEELYARD_WORKER_NAME or STEELYARD_DATA_DIR"
        )
