"""Segments: cut at edges and sizes, never damaged by a later start, as their manifests say."""

from __future__ import annotations

import errno
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from app.recordings import segments as segments_module
from app.recordings.compression import Compression
from app.recordings.manifest import Manifest, manifest_path, read_manifest
from app.recordings.reader import DISCONNECT, read_recording, segments_of
from app.recordings.segments import FolderInUse, Segments
from app.recordings.verification import CUT, DAMAGED, OPEN, UNENDED, WHOLE, check
from tests.recordings.made import (
    ALL_COMPRESSIONS,
    BOOK,
    HOUR_NS,
    START_NS,
    VENUE,
    book,
    chain,
    each_second,
    written,
)


def manifests_of(folder: Path) -> list[Manifest]:
    found = [read_manifest(path) for path in segments_of(folder)]
    assert all(found)
    return found  # type: ignore[return-value]


def statuses(folder: Path) -> list[str]:
    return [verdict.status for verdict in check(folder)]


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in segments_of(folder)
    }


def kill(segments: Segments) -> None:
    """Leave everything as a SIGKILL does: what was not flushed is gone, the lock is free."""
    assert segments.segment is not None
    segments.segment.abandon()
    segments._unlock()


def test_segments_begin_at_edges_of_utc(tmp_path: Path) -> None:
    raws = chain(5)
    offsets = (HOUR_NS - 2, HOUR_NS - 1, HOUR_NS, 2 * HOUR_NS - 1, 5 * HOUR_NS)
    lines = [(START_NS + offset, raw) for offset, raw in zip(offsets, raws, strict=True)]
    written(tmp_path, lines, rotate_ms=3_600_000)
    assert [path.name for path in segments_of(tmp_path)] == [
        "000001-20261123T025959Z.jsonl.zst",
        "000002-20261123T030000Z.jsonl.zst",
        "000003-20261123T070000Z.jsonl.zst",
    ]
    assert [each.counts.lines for each in manifests_of(tmp_path)] == [2, 2, 1]
    assert [each.ended for each in manifests_of(tmp_path)] == ["rotated", "rotated", "stopped"]
    assert list(read_recording(tmp_path)) == lines


def test_an_hour_that_is_over_ends_its_segment_though_nothing_comes(tmp_path: Path) -> None:
    segments = Segments(tmp_path, venue=VENUE, rotate_ms=3_600_000)
    segments.append([(START_NS, book(10))])
    segments.flush(START_NS + HOUR_NS - 1)
    assert not manifest_path(segments_of(tmp_path)[0]).exists()
    segments.flush(START_NS + HOUR_NS)
    assert [each.ended for each in manifests_of(tmp_path)] == ["rotated"]
    segments.close()


def test_segments_are_cut_by_their_size_on_disk(tmp_path: Path) -> None:
    lines = each_second(chain(60))
    written(tmp_path, lines, compression=Compression.NONE, rotate_bytes=1_000)
    sizes = [path.stat().st_size for path in segments_of(tmp_path)]
    assert len(sizes) > 4
    assert all(1_000 <= size < 1_200 for size in sizes[:-1])
    assert list(read_recording(tmp_path)) == lines


@pytest.mark.parametrize("compression", ALL_COMPRESSIONS)
def test_manifest_and_summary_say_what_is_there(tmp_path: Path, compression: Compression) -> None:
    lines = each_second([*chain(4), book(20, 19), book(30), DISCONNECT])
    segments = written(tmp_path, lines, compression=compression, rotate_ms=3_000)
    first, second, third = manifests_of(tmp_path)
    for path, manifest in zip(segments_of(tmp_path), (first, second, third), strict=True):
        assert manifest.bytes == path.stat().st_size
        assert manifest.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert manifest.venue == VENUE
    assert second.started_at == first.ended_at == {BOOK: 12}
    assert (second.counts.gaps, second.counts.channels[BOOK].first_change_id) == (1, 13)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["counts"] == {
        "lines": 7,
        "messages": 6,
        "disconnects": 1,
        "gaps": 1,
        "line_bytes": sum(len(b"%d %b\n" % line) for line in lines),
        "first_received_ns": lines[0][0],
        "last_received_ns": lines[-1][0],
        "channels": {
            BOOK: {
                "messages": 6,
                "snapshots": 2,
                "gaps": 1,
                "first_change_id": 10,
                "last_change_id": 30,
            }
        },
    }
    assert [line["sha256"] for line in summary["segments"]] == [
        each.sha256 for each in (first, second, third)
    ]
    assert summary["bytes"] == sum(path.stat().st_size for path in segments_of(tmp_path))
    assert segments.summary.counts.lines == 7
    assert statuses(tmp_path) == [WHOLE] * 4
    assert list(tmp_path.glob(".*.part")) == []


def test_a_second_start_goes_on_in_a_new_segment(tmp_path: Path) -> None:
    first = each_second([*chain(3), DISCONNECT])
    second = each_second(chain(2, first=50), START_NS + HOUR_NS)
    written(tmp_path, first)
    before = hashes(tmp_path)
    written(tmp_path, second, compression=Compression.GZ)
    assert {name: hashes(tmp_path)[name] for name in before} == before
    assert [path.name[:6] for path in segments_of(tmp_path)] == ["000001", "000002"]
    assert list(read_recording(tmp_path)) == first + second
    assert statuses(tmp_path) == [WHOLE] * 3


@pytest.mark.parametrize("compression", ALL_COMPRESSIONS)
def test_after_a_kill_what_was_flushed_is_kept_and_the_break_is_in_band(
    tmp_path: Path, compression: Compression
) -> None:
    lines = each_second(chain(8))
    killed = Segments(tmp_path, venue=VENUE, compression=compression)
    killed.append(lines)
    kill(killed)
    before = hashes(tmp_path)
    assert statuses(tmp_path)[0] == UNENDED
    again = each_second([*chain(2, first=90), DISCONNECT], START_NS + HOUR_NS)
    segments = written(tmp_path, again, compression=compression)
    assert {name: hashes(tmp_path)[name] for name in before} == before
    (adopted,) = segments.adopted
    assert (adopted.ended, adopted.ended_at) == ("killed", {BOOK: 17})
    assert adopted.counts.lines == len(lines)
    said: list[str] = []
    found = list(read_recording(tmp_path, on_damage=said.append))
    assert found == [*lines, (again[0][0], DISCONNECT), *again]
    assert len(said) == (compression is not Compression.NONE)
    assert statuses(tmp_path) == [CUT, WHOLE, WHOLE]


def test_a_torn_plain_line_is_left_as_it_is(tmp_path: Path) -> None:
    killed = Segments(tmp_path, venue=VENUE, compression=Compression.NONE)
    killed.append(each_second(chain(3)))
    kill(killed)
    (path,) = segments_of(tmp_path)
    path.write_bytes(path.read_bytes() + b'1795399300000000000 {"jsonrpc":"2.')
    segments = written(tmp_path, each_second(chain(1)))
    assert segments.adopted[0].counts.lines == 3
    assert path.read_bytes().endswith(b'{"jsonrpc":"2.')
    assert statuses(tmp_path) == [CUT, WHOLE, WHOLE]


def test_two_recorders_do_not_share_a_folder(tmp_path: Path) -> None:
    segments = Segments(tmp_path, venue=VENUE)
    segments.append(each_second(chain(2)))
    with pytest.raises(FolderInUse, match="another recorder"):
        Segments(tmp_path, venue=VENUE)
    assert statuses(tmp_path)[0] == OPEN
    segments.close()
    Segments(tmp_path, venue=VENUE).close()


class FullDisk:
    """A file on a disk with room for so many bytes."""

    def __init__(self, file: Any, room: int) -> None:
        self._file = file
        self._room = room

    def write(self, data: memoryview) -> int:
        if self._room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = self._file.write(data[: self._room])
        self._room -= taken
        return int(taken)

    def fileno(self) -> int:
        return int(self._file.fileno())

    def close(self) -> None:
        self._file.close()


@pytest.mark.parametrize("compression", ALL_COMPRESSIONS)
def test_a_full_disk_keeps_what_it_took(tmp_path: Path, compression: Compression) -> None:
    segments = Segments(tmp_path, venue=VENUE, compression=compression)
    segments.append(each_second(chain(1)))
    assert segments.segment is not None
    segments.segment._file = FullDisk(segments.segment._file, 400)  # type: ignore[assignment]
    lines = each_second(chain(400)[1:], START_NS + 10**9)
    with pytest.raises(OSError, match="No space left"):
        segments.append(lines)
    manifest = segments.fail()
    assert manifest is not None
    assert manifest.ended == "failed"
    assert 1 < manifest.counts.lines < 100
    kept = list(read_recording(tmp_path, on_damage=lambda said: None))
    assert kept == (each_second(chain(1)) + lines)[: manifest.counts.lines]
    assert segments.summary.counts.lines == manifest.counts.lines
    written(tmp_path, each_second(chain(2), START_NS + HOUR_NS))
    assert statuses(tmp_path) == [CUT, WHOLE, WHOLE]


def test_a_disk_that_takes_not_even_the_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments = Segments(tmp_path, venue=VENUE)
    segments.append(each_second(chain(3)))

    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(segments_module.manifests, "write_whole", refuse)
        assert segments.fail() is None
    assert statuses(tmp_path)[0] == UNENDED
    assert len(Segments(tmp_path, venue=VENUE).adopted) == 1


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_the_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def drop_a_line(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:1] + lines[2:]))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (flip_a_byte, "SHA-256"),
        (cut_the_end, "bytes, its manifest says"),
        (drop_a_line, "lines, messages, gaps"),
        (Path.unlink, "segment 000002 is missing"),
    ],
)
def test_the_check_finds_damage(tmp_path: Path, damage: Any, said: str) -> None:
    written(tmp_path, each_second(chain(9)), compression=Compression.NONE, rotate_ms=3_000)
    assert statuses(tmp_path) == [WHOLE] * 4
    damage(segments_of(tmp_path)[1])
    verdicts = list(check(tmp_path))
    damaged = [verdict for verdict in verdicts if verdict.status == DAMAGED]
    assert said in "; ".join(problem for verdict in damaged for problem in verdict.problems)


def test_the_check_finds_a_summary_that_is_not_the_sum(tmp_path: Path) -> None:
    written(tmp_path, each_second(chain(3)))
    path = tmp_path / "summary.json"
    path.write_text(path.read_text().replace('"lines": 3', '"lines": 4'))
    assert statuses(tmp_path) == [WHOLE, DAMAGED]
