"""The check of a folder of segments: the bytes, the counts and the chains that the manifests say.

Each segment is read whole, once for its hash and once for its lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from app.recordings.manifest import (
    SUMMARY_NAME,
    Manifest,
    Summary,
    new_summary,
    read_manifest,
    sha256_of,
    tally_of,
)
from app.recordings.reader import BadRecording, segments_of
from app.recordings.segments import is_in_use

WHOLE: Final = "whole"
CUT: Final = "cut"
"""Its recorder was killed or lost the disk; what is whole of it is as the manifest says."""
OPEN: Final = "open"
"""It is being written now."""
UNENDED: Final = "unended"
"""Its recorder was killed, and no other has written its manifest yet."""
DAMAGED: Final = "damaged"
"""It is not what its manifest says."""


class Verdict(msgspec.Struct):
    """The result of checking one segment, or the summary."""

    name: str
    status: str
    lines: int = 0
    gaps: int = 0
    disconnects: int = 0
    bytes: int = 0
    problems: list[str] = []
    notes: list[str] = []
    """What is not whole, and is known not to be."""


def check(folder: Path) -> Iterator[Verdict]:
    """Yield a verdict on each segment of a folder, then on the summary; raise BadRecording."""
    paths = segments_of(folder)
    if not paths:
        raise BadRecording(f"{folder}: no recording in this folder; `record` names them 000001-….")
    summary, number = new_summary(), int(paths[0].name[:6]) - 1
    ended_at: dict[str, int] | None = None
    for path in paths:
        missing = [
            f"segment {lost:06} is missing" for lost in range(number + 1, int(path.name[:6]))
        ]
        number = int(path.name[:6])
        manifest = read_manifest(path)
        if manifest is None:
            is_open = path is paths[-1] and is_in_use(folder)
            yield _without_manifest(path, ended_at or {}, missing, is_open)
            ended_at = None
            continue
        verdict = _compare(path, manifest)
        if missing:
            verdict.problems += missing
        elif ended_at is not None and manifest.started_at != ended_at:
            verdict.problems.append("its books do not stand where the segment before left them")
        if verdict.problems:
            verdict.status = DAMAGED
        yield verdict
        summary.add(manifest)
        ended_at = manifest.ended_at
    yield _check_summary(folder, summary)


def _without_manifest(
    path: Path, started_at: dict[str, int], missing: list[str], is_open: bool
) -> Verdict:
    tally, damages = tally_of(path, started_at)
    counts = tally.counts
    # What is being written has no end yet.
    problems = missing + [str(each) for each in damages if not (is_open and each.is_end)]
    if not is_open:
        problems.append("it has no manifest; the next `record` into this folder writes it")
    return Verdict(
        path.name,
        OPEN if is_open else UNENDED,
        counts.lines,
        counts.gaps,
        counts.disconnects,
        path.stat().st_size,
        problems,
    )


def _compare(path: Path, manifest: Manifest) -> Verdict:
    """Compare a segment with its manifest."""
    tally, damages = tally_of(path, manifest.started_at)
    size = path.stat().st_size
    verdict = Verdict(path.name, WHOLE if manifest.is_whole else CUT, bytes=size)
    verdict.lines, verdict.gaps = tally.counts.lines, tally.counts.gaps
    verdict.disconnects = tally.counts.disconnects
    problems = verdict.problems
    if manifest.segment != path.name:
        problems.append(f"its manifest is of {manifest.segment}")
    if size != manifest.bytes:
        problems.append(f"it has {size} bytes, its manifest says {manifest.bytes}")
    elif sha256_of(path) != manifest.sha256:
        problems.append("its SHA-256 is not the one in its manifest")
    if manifest.is_whole:
        problems += map(str, damages)
    else:  # whose recorder was killed: that it ends in the middle is what its manifest says
        problems += (str(each) for each in damages if not each.is_end)
        verdict.notes += (str(each) for each in damages if each.is_end)
    if tally.counts != manifest.counts:
        problems.append(f"{_difference(manifest, tally.counts)} are not as its manifest says")
    if tally.positions() != manifest.ended_at:
        problems.append("its books do not end where its manifest says")
    return verdict


def _difference(manifest: Manifest, counts: msgspec.Struct) -> str:
    names = [
        name
        for name in counts.__struct_fields__
        if getattr(counts, name) != getattr(manifest.counts, name)
    ]
    return ", ".join(names)


def _check_summary(folder: Path, expected: Summary) -> Verdict:
    path = folder / SUMMARY_NAME
    counts = expected.counts
    verdict = Verdict(
        SUMMARY_NAME, WHOLE, counts.lines, counts.gaps, counts.disconnects, expected.bytes
    )
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Summary)
    except FileNotFoundError:
        if expected.segments:
            verdict.problems.append("there is none")
    except (OSError, msgspec.MsgspecError) as error:
        verdict.problems.append(f"it cannot be read: {error}")
    else:
        if found != expected:
            verdict.problems.append("it is not the sum of the manifests")
    if verdict.problems:
        verdict.status = DAMAGED
    return verdict
