"""The manifest of a segment and the summary of a folder: JSON files, each written whole or not.

A segment without a manifest is being written, or its recorder was killed.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

import msgspec

from app.recordings.reader import BadRecording, read_lines
from app.recordings.statistics import Counts, SegmentStatistics
from app.recordings.unpacking import Damage

VERSION: Final = 1
SUMMARY_NAME: Final = "summary.json"
HASH_READ_BYTES: Final = 1024 * 1024

STOPPED: Final = "stopped"
ROTATED: Final = "rotated"
KILLED: Final = "killed"
"""Its recorder did not end it; the next one has written the manifest."""
FAILED: Final = "failed"
"""The disk refused to take more."""


class Manifest(msgspec.Struct):
    """Describes one segment that is written to its end."""

    version: int
    segment: str
    """Name of the file beside the manifest."""
    ended: str
    """`stopped`, `rotated`; or `killed`, `failed`: readable up to its last whole line."""
    venue: str
    simulated: bool | None
    """Whether the venue said that it is simulated; None if it was not heard."""
    bytes: int
    sha256: str
    counts: Counts
    ends_connected: bool
    """Whether the last line is no disconnect: then the recording goes on in the next segment."""
    started_at: dict[str, int]
    """The change_id that each book stood at before the first line."""
    ended_at: dict[str, int]
    """And after the last."""

    @property
    def is_whole(self) -> bool:
        """Return whether the segment was written to its end."""
        return self.ended in (STOPPED, ROTATED)


class SegmentLine(msgspec.Struct):
    """A segment in the summary."""

    name: str
    ended: str
    bytes: int
    sha256: str


class Summary(msgspec.Struct):
    """All segments of a folder together."""

    version: int
    bytes: int
    counts: Counts
    segments: list[SegmentLine]

    def add(self, manifest: Manifest) -> None:
        """Add the next segment."""
        self.bytes += manifest.bytes
        self.counts.add(manifest.counts)
        self.segments.append(
            SegmentLine(manifest.segment, manifest.ended, manifest.bytes, manifest.sha256)
        )


def new_summary() -> Summary:
    """Return the summary of no segment."""
    return Summary(VERSION, 0, Counts(), [])


def manifest_path(segment: Path) -> Path:
    """Return where the manifest of a segment is."""
    return segment.with_name(f"{segment.name.partition('.')[0]}.manifest.json")


def read_manifest(segment: Path) -> Manifest | None:
    """Return the manifest of a segment, None if it has none; raise BadRecording if unreadable."""
    path = manifest_path(segment)
    try:
        manifest = _manifest.decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise BadRecording(f"{path}: {error}; delete it to have it made anew") from error
    if manifest.version != VERSION:
        raise BadRecording(f"{path}: version {manifest.version} is not {VERSION}")
    return manifest


_manifest = msgspec.json.Decoder(Manifest)


def tally_of(segment: Path, positions: dict[str, int]) -> tuple[SegmentStatistics, list[Damage]]:
    """Return the tally of a segment's whole lines, and what of it is not whole."""
    tally, damages = SegmentStatistics(positions), list[Damage]()
    try:
        for received_ns, message in read_lines(segment, on_damage=damages.append):
            tally.add(received_ns, message)
    except BadRecording as error:
        damages.append(Damage(segment, 0, segment.stat().st_size, str(error)))
    return tally, damages


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(HASH_READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def write_whole(path: Path, value: msgspec.Struct) -> None:
    """Write a JSON file so that a reader, or a crash, finds the old one or the new one."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
