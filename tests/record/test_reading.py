"""What is written is read back byte for byte; what is torn, up to its last whole line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.record.segments import Line
from app.record.streams import Compression, new_stream
from app.recording import (
    BadRecording,
    GapMark,
    TornRecording,
    gap_mark,
    read_gap_mark,
    read_lines,
    read_recording,
    segments_of,
)
from exchange.recording import read as read_as_the_exchange_does
from tests.record.made import ALL_COMPRESSIONS, chain, each_second, line_lists, written

IN_NEW_FOLDERS = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@IN_NEW_FOLDERS
@given(
    lines=line_lists(),
    compression=st.sampled_from(Compression),
    rotate_ms=st.none() | st.integers(1_000, 7_200_000),
    rotate_bytes=st.none() | st.integers(1, 500),
)
def test_what_is_written_is_read_back_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[Line],
    compression: Compression,
    rotate_ms: int | None,
    rotate_bytes: int | None,
) -> None:
    folder = tmp_path_factory.mktemp("recording")
    written(
        folder,
        lines,
        compression=compression,
        rotate_ms=rotate_ms,
        rotate_bytes=rotate_bytes,
    )
    assert list(read_recording(folder)) == lines
    for segment in segments_of(folder):
        theirs = [(line.recv_ns, line.message) for line in read_as_the_exchange_does(segment)]
        assert theirs == list(read_lines(segment))


@pytest.mark.parametrize("compression", ALL_COMPRESSIONS)
def test_a_file_cut_anywhere_is_read_up_to_its_last_whole_line(
    tmp_path: Path, compression: Compression
) -> None:
    lines = each_second(chain(12))
    stream = new_stream(compression)
    whole = b""
    readable_at = []
    for received_ns, message in lines:
        whole += stream.compress(b"%d %b\n" % (received_ns, message)) + stream.flush()
        readable_at.append(len(whole))
    whole += stream.finish()
    path = tmp_path / f"cut.jsonl{compression.suffix}"
    for size in range(1, len(whole)):
        path.write_bytes(whole[:size])
        said: list[str] = []
        found = list(read_recording(path, on_torn=said.append))
        is_torn = bool(said)
        assert all(str(path) in text for text in said)
        flushed = sum(at <= size for at in readable_at)
        assert found == lines[: len(found)]
        assert flushed <= len(found)
        if compression is not Compression.NONE:
            assert is_torn
        elif not is_torn:  # a plain file cut after a whole message cannot be told from a short one
            assert whole[size - 1 : size] == b"\n" or whole[size : size + 1] == b"\n"


def test_a_folder_with_a_torn_segment_is_read_on_and_the_tear_is_said(tmp_path: Path) -> None:
    lines = each_second(chain(6))
    written(tmp_path, lines, compression=Compression.GZ, rotate_ms=2_000)
    second = segments_of(tmp_path)[1]
    second.write_bytes(second.read_bytes()[:-9])
    said: list[str] = []
    found = list(read_recording(tmp_path, on_torn=said.append))
    assert found[-2:] == lines[-2:]
    assert len(said) == 1
    assert second.name in said[0]
    with pytest.raises(TornRecording, match=second.name):
        list(read_recording(tmp_path))


def test_frames_one_after_the_other_are_one_recording(tmp_path: Path) -> None:
    path = tmp_path / "two.jsonl.zst"
    compress = zstandard.ZstdCompressor().compress
    path.write_bytes(compress(b'1 {"a":1}\n2 {"a"') + compress(b":2}\n3 null\n"))
    assert list(read_lines(path)) == [(1, b'{"a":1}'), (2, b'{"a":2}'), (3, b"null")]


def test_a_last_line_without_its_end_is_whole_if_its_message_is(tmp_path: Path) -> None:
    path = tmp_path / "by-hand.jsonl"
    path.write_bytes(b'1 {"a":1}\n2 {"a":2}')
    assert list(read_lines(path)) == [(1, b'{"a":1}'), (2, b'{"a":2}')]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("text.jsonl", b"hello\n", r"line 1: expected a receive time in ns"),
        ("text.jsonl", b"hello", r"line 1: expected a receive time in ns"),
        ("minus.jsonl", b"-5 {}\n", r"line 1: expected"),
        ("no.jsonl.gz", b"this is no gzip file", "incorrect header"),
        ("no.jsonl.zst", b"this is no zst frame", "zst|Unknown frame|unknown"),
    ],
)
def test_what_is_no_recording_is_said(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadRecording, match=message) as raised:
        list(read_recording(path, on_torn=pytest.fail))
    assert str(path) in str(raised.value)


def test_damage_in_the_middle_is_no_tear(tmp_path: Path) -> None:
    path = tmp_path / "damaged.jsonl.gz"
    whole = bytearray(gzip.compress(b"".join(b'%d {"a":1}\n' % n for n in range(2_000)), mtime=0))
    whole[-6] ^= 0xFF  # in the checksum
    path.write_bytes(whole)
    with pytest.raises(BadRecording, match="incorrect data check") as raised:
        list(read_recording(path, on_torn=pytest.fail))
    assert not isinstance(raised.value, TornRecording)


def test_an_empty_folder_is_no_recording(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a segment")
    with pytest.raises(BadRecording, match="no recording in this folder"):
        list(read_recording(tmp_path))


@pytest.mark.parametrize("expected", [None, 41])
@pytest.mark.parametrize("found", [None, 43])
def test_a_gap_mark_is_read_as_it_was_written(expected: int | None, found: int | None) -> None:
    mark = GapMark("book.BTC-PERPETUAL.raw", expected, found)
    assert read_gap_mark(gap_mark(mark)) == mark


@pytest.mark.parametrize(
    "message", [b"null", b"{}", b'{"method":"steelyard/gap","params":{"channel":5}}', *chain(2)]
)
def test_no_other_message_is_a_gap_mark(message: bytes) -> None:
    assert read_gap_mark(message) is None
