"""Segments: lines go into one file until an edge of UTC or a size is reached, then into the next.

A file is made once and never opened for writing again: a start after a crash leaves the torn
segment as it is, writes the manifest that it lacks, and goes on in a new one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from app.recordings import manifest as manifests
from app.recordings.compression import Compression, Compressor, new_stream
from app.recordings.manifest import Manifest, Summary
from app.recordings.reader import DISCONNECT, SEGMENT_NAME, segments_of
from app.recordings.statistics import SegmentStatistics

FLUSH_NS: Final = 1_000_000_000
"""What came within this time before a kill may be lost."""
SYNC_NS: Final = 10_000_000_000
"""And within this before the machine itself ends."""
LOCK_NAME: Final = ".recorder.lock"

Line = tuple[int, bytes]
"""The receive time, ns since the epoch, and the message."""


class FolderInUse(Exception):
    """Another recorder writes into the folder."""


class Segment:
    """One file that is being written."""

    def __init__(
        self, path: Path, stream: Compressor, tally: SegmentStatistics, first_ns: int
    ) -> None:
        self.path = path
        self.first_ns = first_ns
        self.size = 0
        """Bytes in the file."""
        self._stream = stream
        self._digest = hashlib.sha256()
        self.started_at = tally.positions()
        self.tally = tally
        self._flushed_ns = self._synced_ns = first_ns
        self._is_flushed = True
        # Unbuffered: what the disk did not take is not held back, to be tried again by close().
        self._file = path.open("xb", buffering=0)

    def append(self, received_ns: int, message: bytes) -> None:
        """Add a line."""
        self._write(self._stream.compress(b"%d %b\n" % (received_ns, message)))
        self.tally.add(received_ns, message)
        self._is_flushed = False
        self.flush(received_ns)

    def flush(self, now_ns: int) -> None:
        """Make the lines readable, and at times durable, if that was not done for a while."""
        if self._is_flushed or _is_within(FLUSH_NS, self._flushed_ns, now_ns):
            return
        self._flushed_ns, self._is_flushed = now_ns, True
        self._write(self._stream.flush())
        if not _is_within(SYNC_NS, self._synced_ns, now_ns):
            self._synced_ns = now_ns
            os.fsync(self._file.fileno())

    def finish(self) -> str:
        """End the file and make it durable; return its SHA-256."""
        self._write(self._stream.finish())
        os.fsync(self._file.fileno())
        self._file.close()
        return self._digest.hexdigest()

    def abandon(self) -> None:
        """Close the file as it is."""
        self._file.close()

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            count = self._file.write(left)
            self._digest.update(left[:count])
            self.size += count
            left = left[count:]


class Segments:
    """The segments of a folder: the finished ones, and the one that is being written."""

    def __init__(
        self,
        folder: Path,
        *,
        venue: str,
        compression: Compression = Compression.ZST,
        rotate_ms: int | None = None,
        rotate_bytes: int | None = None,
        on_finished: Callable[[Manifest], None] = lambda manifest: None,
    ) -> None:
        self.folder = folder
        self.simulated: bool | None = None
        """What the venue says of itself; kept in the manifests."""
        self.summary: Summary = manifests.new_summary()
        self.adopted: list[Manifest] = []
        """Segments that a recorder before this one did not end, and how much of them is whole."""
        self.segment: Segment | None = None
        self._venue = venue
        self._compression = compression
        self._rotate_ns = None if rotate_ms is None else rotate_ms * 1_000_000
        self._rotate_bytes = rotate_bytes
        self._on_finished = on_finished
        self._number = 0
        self._tally = SegmentStatistics()
        self._must_disconnect = False
        folder.mkdir(parents=True, exist_ok=True)
        self._lock: int | None = _locked(folder)
        try:
            self._adopt()
        except BaseException:
            self._unlock()
            raise

    def append(self, lines: Iterable[Line]) -> None:
        """Write lines, each into the segment that its receive time belongs to."""
        for received_ns, message in lines:
            self._rotate(received_ns)
            if self.segment is None:
                self._open(received_ns)
            assert self.segment is not None
            self.segment.append(received_ns, message)

    def flush(self, now_ns: int) -> None:
        """Make readable what was written; end the segment if its time is over."""
        self._rotate(now_ns)
        if self.segment is not None:
            self.segment.flush(now_ns)

    def close(self) -> None:
        """End the segment, and let others write into the folder."""
        self._finish(manifests.STOPPED)
        self._unlock()

    def fail(self) -> Manifest | None:
        """Give up the segment after an error of the disk; return what is whole of it, if known."""
        segment, self.segment = self.segment, None
        try:
            if segment is None:
                return None
            segment.abandon()
            manifest = self._manifest_of(segment.path, segment.started_at, manifests.FAILED)
            self._keep(segment.path, manifest)
            return manifest
        except OSError:  # the disk may not even take the manifest; the next start writes it
            return None
        finally:
            self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _rotate(self, now_ns: int) -> None:
        segment = self.segment
        if segment is None:
            return
        every_ns = self._rotate_ns
        is_over = every_ns is not None and now_ns // every_ns != segment.first_ns // every_ns
        if is_over or (self._rotate_bytes is not None and segment.size >= self._rotate_bytes):
            self._finish(manifests.ROTATED)

    def _open(self, received_ns: int) -> None:
        began = datetime.fromtimestamp(received_ns // 1_000_000_000, UTC)
        name = f"{self._number + 1:06}-{began:%Y%m%dT%H%M%SZ}.jsonl{self._compression.suffix}"
        assert SEGMENT_NAME.fullmatch(name), name
        stream = new_stream(self._compression)
        self.segment = Segment(self.folder / name, stream, self._tally, received_ns)
        self._number += 1
        if self._must_disconnect:  # the recorder before this one was killed: nothing goes on
            self.segment.append(received_ns, DISCONNECT)
            self._must_disconnect = False

    def _finish(self, ended: str) -> None:
        segment = self.segment
        if segment is None:
            return
        sha256 = segment.finish()
        manifest = self._manifest(
            segment.path, ended, segment.size, sha256, segment.tally, segment.started_at
        )
        self.segment = None
        self._keep(segment.path, manifest)
        self._tally = segment.tally.next_segment()

    def _keep(self, path: Path, manifest: Manifest) -> None:
        manifests.write_whole(manifests.manifest_path(path), manifest)
        self.summary.add(manifest)
        manifests.write_whole(self.folder / manifests.SUMMARY_NAME, self.summary)
        self._on_finished(manifest)

    def _adopt(self) -> None:
        """Read what is in the folder, and write the manifests that a kill has left out."""
        ended_at: dict[str, int] = {}
        for path in segments_of(self.folder):
            manifest = manifests.read_manifest(path)
            if manifest is None:
                manifest = self._manifest_of(path, ended_at, manifests.KILLED)
                manifests.write_whole(manifests.manifest_path(path), manifest)
                self.adopted.append(manifest)
            self.summary.add(manifest)
            ended_at = manifest.ended_at
            self._must_disconnect = manifest.ends_connected or not manifest.is_whole
            self._number = int(path.name[:6])
        self._tally = SegmentStatistics(ended_at)
        if self.adopted:
            manifests.write_whole(self.folder / manifests.SUMMARY_NAME, self.summary)

    def _manifest_of(self, path: Path, started_at: dict[str, int], ended: str) -> Manifest:
        """Return the manifest of a segment that was not ended, from what can be read of it."""
        tally, _ = manifests.tally_of(path, started_at)
        size, sha256 = path.stat().st_size, manifests.sha256_of(path)
        return self._manifest(path, ended, size, sha256, tally, started_at)

    def _manifest(
        self,
        path: Path,
        ended: str,
        size: int,
        sha256: str,
        tally: SegmentStatistics,
        started_at: dict[str, int],
    ) -> Manifest:
        return Manifest(
            version=manifests.VERSION,
            segment=path.name,
            ended=ended,
            venue=self._venue,
            simulated=self.simulated,
            bytes=size,
            sha256=sha256,
            counts=tally.counts,
            ends_connected=tally.ends_connected,
            started_at=started_at,
            ended_at=tally.positions(),
        )


def _is_within(limit_ns: int, since_ns: int, now_ns: int) -> bool:
    """Return whether less than a limit has passed; False if the clock was set back."""
    return 0 <= now_ns - since_ns < limit_ns


def _locked(folder: Path) -> int:
    """Return a descriptor that keeps other recorders out of the folder while it is open."""
    number = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(number)
        raise FolderInUse(f"{folder}: another recorder writes into this folder") from None
    return number


def is_in_use(folder: Path) -> bool:
    """Return whether a recorder writes into the folder now."""
    try:
        os.close(_locked(folder))
    except FolderInUse:
        return True
    return False
