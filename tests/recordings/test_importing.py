"""Captures of other collectors lead to the windows of a recording of the same messages."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pytest

from app.__main__ import main
from app.processing.processor import Rules
from app.recordings.compute import compute
from app.recordings.importing import READERS, detect
from app.recordings.reader import DISCONNECT, read_recording
from app.recordings.segments import Line
from models.window import encode_window

EXCERPT = Path(__file__).parents[1] / "data" / "coinm-ethusd-excerpt.jsonl.gz"
RULES = Rules((1_000,), 250, 3_000)
BROKEN_AT = 900


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    """A real recording with a disconnect; times are cut to 1 ms, which each format can hold."""
    found = [(ns // 1_000_000 * 1_000_000, m) for ns, m in islice(read_recording(EXCERPT), 1_500)]
    return [*found[:BROKEN_AT], (found[BROKEN_AT - 1][0], DISCONNECT), *found[BROKEN_AT:]]


def cryptofeed(lines: list[Line]) -> bytes:
    url = "wss://www.deribit.com/ws/api/v2"
    since = lines[0][0] / 1e9
    rows = ["configuration: {'DERIBIT': {'l2_book': ['ETH-USD-PERP']}}", f"{url} <-> {since}"]
    rows += [f'{url} <- {since}: {{"jsonrpc": "2.0", "method": "public/subscribe"}}']
    rows += [f'https://www.deribit.com/api/v2/get -> {since}: {{"result": []}}']
    for received_ns, message in lines:
        time = f"{received_ns // 10**9}.{received_ns % 10**9 // 10**6:03}"
        rows.append(f"{url} <-> {time}" if message == DISCONNECT else f"{time}: {message.decode()}")
    return "\n".join([*rows, ""]).encode()


def tardis(lines: list[Line]) -> bytes:
    rows = []
    for received_ns, message in lines:
        second = datetime.fromtimestamp(received_ns // 10**9, UTC)
        time = f"{second:%Y-%m-%dT%H:%M:%S}.{received_ns % 10**9 // 100:07}Z"
        rows.append("" if message == DISCONNECT else f"{time} {message.decode()}")
    return "\n".join([*rows, ""]).encode()


def milliseconds(lines: list[Line]) -> bytes:
    return b"".join(b"%d %b\n" % (ns // 10**6, message) for ns, message in lines)


def microseconds(lines: list[Line]) -> bytes:
    return b"".join(b"%d %b\n" % (ns // 10**3, message) for ns, message in lines)


CAPTURES: dict[str, Callable[[list[Line]], bytes]] = {
    "cryptofeed": cryptofeed,
    "tardis": tardis,
    "ms": milliseconds,
    "us": microseconds,
}


def printed(capfdbinary: pytest.CaptureFixture[bytes], *arguments: str) -> tuple[int, bytes, str]:
    code = main(list(arguments))
    out, said = capfdbinary.readouterr()
    return code, out, said.decode()


@pytest.mark.parametrize("name", CAPTURES)
def test_a_capture_leads_to_the_windows_of_a_recording(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], lines: list[Line], name: str
) -> None:
    expected = b"".join(encode_window(window) + b"\n" for window in compute(lines, RULES))
    capture = tmp_path / "capture.gz"
    capture.write_bytes(gzip.compress(CAPTURES[name](lines)))
    output = tmp_path / "made.jsonl.zst"
    code, _, said = printed(capfdbinary, "import", str(capture), "-o", str(output))
    assert code == 0, said
    assert "1500 messages and 1 disconnects" in said
    assert f"read as {name}" in said
    assert list(read_recording(output)) == lines
    assert printed(capfdbinary, "compute", str(output))[:2] == (0, expected)
    direct = printed(capfdbinary, "compute", str(capture), "--from", name)
    assert direct[:2] == (0, expected)
    assert READERS[name].lacks in direct[2]


def test_json_lines_have_the_times_of_the_venue(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], lines: list[Line]
) -> None:
    messages = [message for _, message in lines if message != DISCONNECT]
    bare, wrapped = tmp_path / "bare.jsonl", tmp_path / "wrapped.jsonl"
    answer = b'{"jsonrpc":"2.0","id":1,"result":["ok"]}\n'
    bare.write_bytes(answer + b"".join(message + b"\n" for message in messages))
    wrapped.write_bytes(b"".join(b'{"test":"x","msg":%b}\n' % message for message in messages))
    outs = []
    for path in (bare, wrapped):
        code, out, said = printed(capfdbinary, "compute", str(path), "--from", "json")
        assert code == 0, said
        assert "no receive times" in said
        outs.append(out)
    assert outs[0] == outs[1]
    assert outs[0].count(b"\n") > 5


@pytest.mark.parametrize("name", CAPTURES)
def test_compute_says_what_a_capture_looks_like(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], lines: list[Line], name: str
) -> None:
    capture = tmp_path / "capture"
    capture.write_bytes(CAPTURES[name](lines[:20]))
    code, out, said = printed(capfdbinary, "compute", str(capture))
    assert (code, out) == (2, b"")
    assert f"--from {name}" in said


def test_lines_that_are_none_are_left_out_and_said(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], lines: list[Line]
) -> None:
    whole = tardis(lines[:200]).splitlines(keepends=True)
    whole[100] = b"2024-08-08T23:54:17 torn {\n"
    capture, output = tmp_path / "capture", tmp_path / "made.jsonl"
    capture.write_bytes(b"".join(whole))
    code, _, said = printed(capfdbinary, "import", str(capture), "-o", str(output))
    assert code == 0
    assert f"left out: {capture}, line 101: " in said
    before = lines[99][0], DISCONNECT
    assert list(read_recording(output)) == [*lines[:100], before, *lines[101:200]]
    code, _, said = printed(capfdbinary, "import", str(capture), "-o", str(output))
    assert code == 2
    assert "not written over" in said


def test_what_is_no_capture_is_said(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("nothing of the kind\n")
    for arguments in (["import", str(path), "-o", str(tmp_path / "x")], ["compute", str(path)]):
        code, _, said = printed(capfdbinary, *arguments)
        assert code == 2
        assert "none of the formats" in said or "no capture of another collector" in said
    code, _, said = printed(capfdbinary, "compute", str(path), "--from", "csv")
    assert (code, "there are cryptofeed, tardis" in said) == (2, True)


def test_a_recording_is_none_of_the_captures(lines: list[Line]) -> None:
    assert detect(b"%d %b" % line for line in lines) is None
