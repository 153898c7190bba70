"""`python -m exchange` as a person starts it: a process of its own."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from exchange.__main__ import main

ROOT = Path(__file__).parents[2]


async def launch(*arguments: str) -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", "exchange", *arguments]
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=pipe, stderr=pipe)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_where_it_listens_and_ends_on_a_signal(
    tmp_path: Path, number: signal.Signals
) -> None:
    port_file, truth = tmp_path / "port", tmp_path / "truth"
    process = await launch(
        "--instruments=2", "--rate=15", f"--port-file={port_file}", f"--truth={truth}"
    )
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.timeout(20):
        line = (await process.stdout.readline()).decode()
        port = port_file.read_text().strip()
        assert line == f"exchange ready ws://127.0.0.1:{port}/ws/api/v2 SIMULATED\n"
        async with connect(line.split()[2]) as socket:
            await socket.send('{"id":1,"method":"public/get_time"}')
            assert json.loads(await socket.recv())["id"] == 1
            begin = time.monotonic()
            process.send_signal(number)
            assert await process.wait() == 0
            assert time.monotonic() - begin < 2
        assert (await process.stderr.read()) == b""
    assert truth.read_text().count('"type":"snapshot"') == 2 * 3
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recording", "absent.jsonl"], "absent.jsonl: No such file"),
        (["--credentials", "half"], "--credentials has the form id:secret"),
        (["--credentials", "half:"], "--credentials has the form id:secret"),
        (["--instruments", "501"], "1 to 500 possible"),
        (["--rate", "5000"], "lower --rate or raise --instruments"),
        (["--hold"], "give --recording"),
        (["--truth", "/no/such/folder/truth"], "No such file or directory"),
    ],
)
def test_bad_input_is_said_and_exits_2(arguments: list[str], message: str, capsys: Any) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.startswith("exchange: ")
    assert captured.out == ""


def test_a_recording_with_a_bad_line_names_it(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('1 {"a":1}\n2 {"a":1\n')
    assert main(["--recording", str(path)]) == 2
    assert f"{path}:2: the message is not JSON" in capsys.readouterr().err


async def test_a_port_in_use_is_said_and_exits_2() -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        process = await launch(f"--port={port}", "--instruments=1", "--rate=5")
        _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2
    assert b"address already in use" in errors
