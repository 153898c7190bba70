"""What is written is read back byte for byte; what is torn, up to its last whole line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.recordings.compression import Compression, new_stream
from app.recordings.marks import (
    ConnectedMark,
    GapMark,
    InstrumentMark,
    Mark,
    SubscribedMark,
    TickMark,
    encode_mark,
    read_mark,
)
from app.recordings.reader import (
    DISCONNECT,
    BadRecording,
    DamagedRecording,
    read_lines,
    read_recording,
    segments_of,
)
from app.recordings.segments import Line
from app.recordings.unpacking import Damage
from exchange.recording import read as read_as_the_exchange_does
from tests.recordings.made import (
    ALL_COMPRESSIONS,
    START_NS,
    chain,
    each_second,
    line_lists,
    written,
)

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
        said: list[Damage] = []
        found = list(read_recording(path, on_damage=said.append))
        is_torn = bool(said)
        assert all(damage.is_end and str(path) in str(damage) for damage in said)
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
    said: list[Damage] = []
    found = list(read_recording(tmp_path, on_damage=said.append))
    assert found[-3:] == [(lines[-2][0], DISCONNECT), *lines[-2:]]
    assert len(said) == 1
    assert second.name in str(said[0])
    with pytest.raises(DamagedRecording, match=second.name):
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
        ("no.jsonl.gz", b"this is no gzip file", r"nothing in the format \.gz"),
        ("no.jsonl.zst", b"this is no zst frame", r"nothing in the format \.zst"),
    ],
)
def test_what_is_no_recording_is_said(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadRecording, match=message) as raised:
        list(read_recording(path, on_damage=pytest.fail))
    assert str(path) in str(raised.value)


MEMBERS = [each_second(chain(40, first), START_NS + first * 10**9) for first in (100, 200)]


def packed(compression: Compression, lines: list[Line]) -> bytes:
    """Return lines as one stream, flushed after each as the recorder does each second."""
    stream = new_stream(compression)
    data = b"".join(
        stream.compress(b"%d %b\n" % line) + (stream.flush() if number % 8 == 7 else b"")
        for number, line in enumerate(lines)
    )
    return data + stream.finish()


def unfinished(compression: Compression, lines: list[Line]) -> bytes:
    """Return lines as a stream of which all is flushed, and nothing ended."""
    stream = new_stream(compression)
    return b"".join(stream.compress(b"%d %b\n" % line) for line in lines) + stream.flush()


def damaged(path: Path, *parts: bytes) -> tuple[list[Line], list[Damage]]:
    """Write a file of these parts; return its lines, and what is said of it."""
    path.write_bytes(b"".join(parts))
    said: list[Damage] = []
    return list(read_recording(path, on_damage=said.append)), said


@pytest.mark.parametrize("zeros", [64, 4_096, 200_000])
@pytest.mark.parametrize("compression", ALL_COMPRESSIONS)
def test_zeros_after_a_loss_of_power_are_said_and_all_before_is_kept(
    tmp_path: Path, compression: Compression, zeros: int
) -> None:
    first = unfinished(compression, MEMBERS[0])
    path = tmp_path / f"lost.jsonl{compression.suffix}"
    found, said = damaged(path, first, bytes(zeros))
    assert found == MEMBERS[0]
    (damage,) = said
    assert "zeros" in damage.reason
    assert abs(damage.size - zeros) <= 4
    assert abs(damage.at - len(first)) <= 4
    assert not damage.is_padding
    with pytest.raises(DamagedRecording, match="zeros, after line 40"):
        list(read_recording(path))


@pytest.mark.parametrize("compression", [Compression.GZ, Compression.ZST])
def test_zeros_behind_a_whole_file_lose_nothing(tmp_path: Path, compression: Compression) -> None:
    path = tmp_path / f"padded.jsonl{compression.suffix}"
    one, two = (packed(compression, lines) for lines in MEMBERS)
    found, said = damaged(path, one, bytes(512), two, bytes(70_000))
    assert found == MEMBERS[0] + MEMBERS[1]
    assert [(each.at, each.size, each.is_padding) for each in said] == [
        (len(one), 512, True),
        (len(one) + 512 + len(two), 70_000, True),
    ]


@pytest.mark.parametrize("garbage", [b"\xa5garbage\x1f\x8b\x08" * 9, b"line without a time\n" * 3])
@pytest.mark.parametrize("compression", ALL_COMPRESSIONS)
def test_what_stands_behind_garbage_is_read_after_a_disconnect(
    tmp_path: Path, compression: Compression, garbage: bytes
) -> None:
    path = tmp_path / f"garbage.jsonl{compression.suffix}"
    one, two = (packed(compression, lines) for lines in MEMBERS)
    found, said = damaged(path, one, garbage + b"\n", two)
    assert found == [*MEMBERS[0], (MEMBERS[1][0][0], DISCONNECT), *MEMBERS[1]]
    assert len(garbage) <= sum(each.size for each in said) <= len(garbage) + 1
    assert said[0].at == len(one)


@pytest.mark.parametrize("place", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("compression", ALL_COMPRESSIONS)
def test_a_hole_in_the_middle_costs_nothing_before_it_and_no_later_member(
    tmp_path: Path, compression: Compression, place: float
) -> None:
    path = tmp_path / f"hole.jsonl{compression.suffix}"
    one, two = (packed(compression, lines) for lines in MEMBERS)
    at = int(len(one) * place)
    before, _ = damaged(path, one[:at])
    found, said = damaged(path, one[:at], bytes(100), one[at + 100 :], two)
    assert before == MEMBERS[0][: len(before)]
    assert found[: len(before)] == before
    assert before or compression is Compression.ZST
    assert found[-40:] == MEMBERS[1]
    assert said


def test_of_a_large_block_all_before_the_damage_is_kept(tmp_path: Path) -> None:
    """A failed call of the library takes along what it has unpacked: here that is most lines."""
    lines = each_second(chain(4_000))
    whole = bytearray(gzip.compress(b"".join(b"%d %b\n" % line for line in lines), mtime=0))
    assert len(whole) < 64 * 1024
    whole[-6] ^= 0xFF  # in the checksum
    found, said = damaged(tmp_path / "checksum.jsonl.gz", bytes(whole))
    assert found == lines
    assert "incorrect data check" in str(said[0])


def test_a_segment_that_is_not_one_at_all_is_said_and_the_next_is_read(tmp_path: Path) -> None:
    lines = each_second(chain(6))
    written(tmp_path, lines, compression=Compression.GZ, rotate_ms=2_000)
    middle = segments_of(tmp_path)[1]
    middle.write_bytes(b"<html>not found</html>")
    said: list[Damage] = []
    found = list(read_recording(tmp_path, on_damage=said.append))
    assert found == [*lines[:2], (lines[4][0], DISCONNECT), *lines[4:]]
    assert [(each.path, each.size) for each in said] == [(middle, 22)]


@pytest.mark.parametrize(("text", "unit"), [("1795399200", "s"), ("1795399200123", "ms")])
def test_receive_times_in_another_unit_are_refused_where_they_stand(
    tmp_path: Path, text: str, unit: str
) -> None:
    path = tmp_path / "coarse.jsonl"
    path.write_bytes(b'1795399200123456789 {"a":1}\n' + f'{text} {{"a":2}}\n'.encode())
    with pytest.raises(BadRecording, match=f"line 2: the receive time {text} is in {unit}"):
        list(read_recording(path, on_damage=pytest.fail))


def test_an_empty_folder_is_no_recording(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a segment")
    with pytest.raises(BadRecording, match="no recording in this folder"):
        list(read_recording(tmp_path))


@pytest.mark.parametrize(
    "mark",
    [
        ConnectedMark(simulated=True),
        SubscribedMark(["book.BTC-PERPETUAL.raw", "book.ETH-PERPETUAL.raw"]),
        InstrumentMark("SOL_USDC-PERPETUAL", True, [(0.0, 0.01), (100.0, 0.05)], "sol_usdc"),
        GapMark("book.BTC-PERPETUAL.raw", 41, 43),
        GapMark("book.BTC-PERPETUAL.raw", None, None),
        TickMark(1_795_399_200_000, 1_700),
    ],
)
def test_a_mark_is_read_as_it_was_written(mark: Mark) -> None:
    assert read_mark(encode_mark(mark)) == mark


@pytest.mark.parametrize(
    "message",
    [
        b"null",
        b"{}",
        b'{"method":"steelyard/gap","params":{"channel":5}}',
        b'{"method":"steelyard/tick"}',
        b'{"method":"steelyard/unheard-of","params":{}}',
        b'{"method":"steelyard/tick","params":{"venue_ms":1',
        *chain(2),
    ],
)
def test_no_other_message_is_a_mark(message: bytes) -> None:
    assert read_mark(message) is None
