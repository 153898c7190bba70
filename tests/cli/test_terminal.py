"""`get`, `tail` and `watch` as a person starts them, against a worker's real views."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
from rich.console import Console

from app.__main__ import main
from app.api.authentication import Access
from app.api.push.conflation import Key
from app.api.push.hub import Hub
from app.api.site import Limits
from app.cli.terminal.rendering import draw
from app.cli.terminal.sse import Event
from app.cli.terminal.table import Board, Order
from app.settings import settings
from orderbook.windows.span import Span
from tests.api.recorded import RecordedServing, served_with_hub
from tests.harness.commands import PATIENCE_S, command, ended, run

ETH, LOST = "ETH-PERPETUAL", "LTC_USDC-PERPETUAL"
MAX_MS = 10**14
EACH_SECOND = Span.tumbling(1_000)
COLOUR = r"\x1b\[(\d+;)*[349][0-9][;m]"
LEAVES_SCREEN = b"\x1b[?1049l"


@pytest.fixture(scope="module")
def built() -> RecordedServing:
    serving = RecordedServing(simulated=True)
    serving.add(ETH, 2_000)
    serving.add(LOST, 1_995, drop=1_500)
    return serving


@pytest.fixture
async def site(built: RecordedServing) -> AsyncIterator[tuple[str, Hub]]:
    async with served_with_hub(built) as (url, hub):
        yield url, hub


async def get(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run `get` in a thread, which is quicker than in a process."""
    code = await asyncio.to_thread(main, ["get", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


async def test_get_prints_one_answer(site: tuple[str, Hub]) -> None:
    code, out, err = await run("get", "books", ETH, "--depth", "2", "--url", site[0])
    assert (code, err) == (0, "")
    answer = json.loads(out)
    assert answer["ok"] is True
    assert answer["data"]["instrument"] == ETH
    assert [len(answer["data"][side]) for side in ("bids", "asks")] == [2, 2]


async def test_get_windows_passes_on_what_is_asked_for(
    site: tuple[str, Hub], built: RecordedServing, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--length", "1s", "--limit", "2", "--url", f"{site[0]}/")
    code, out, err = await get(capsys, "windows", ETH, *options)
    assert (code, err) == (0, "")
    assert out.count("\n") == 1
    for window in built.windows(ETH, EACH_SECOND, 0, MAX_MS, 2):
        assert window.decode() in out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("imbalance", "ETH-PERP"), 2, "did you mean ETH-PERPETUAL"),
        (("imbalance", "a/b"), 2, "no instrument's name"),
        (("books",), 2, "needs an instrument"),
        (("instruments", ETH), 2, "is of all instruments"),
        (("windows", ETH, "--length", "7s"), 2, "there are no windows of '7s'"),
        (("tea",), 2, "tea"),
        (("imbalance", "--url", "localhost:6066"), 2, "write it like http://127.0.0.1:6066"),
        (("imbalance", "--url", "http://localhost:66066"), 2, "write it like http://127.0.0.1"),
        (("imbalance", "--url", "http://[::1"), 2, "write it like http://127.0.0.1:6066"),
    ],
)
async def test_get_says_what_is_wrong_on_stderr(
    site: tuple[str, Hub],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    monkeypatch.setenv("STEELYARD_WEB_PORT", site[0].rpartition(":")[2])
    monkeypatch.setenv("STEELYARD_KAFKA", "127.0.0.1:1")
    found, out, err = await get(capsys, *arguments)
    assert (found, out) == (code, "")
    assert said in " ".join(err.split())


async def test_a_worker_that_knows_nothing_yet_is_no_mistake_of_the_asker(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with served_with_hub(RecordedServing()) as (url, _):
        code, out, err = await get(capsys, "imbalance", ETH, "--url", url)
    assert (code, out) == (1, "")
    assert "no instrument is known yet" in err


async def test_the_token_of_the_settings_is_given(
    built: RecordedServing, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "a-token-of-the-test"
    limits = Limits(access=Access(token))
    async with served_with_hub(built, 0, limits) as (url, _):
        code, _, err = await get(capsys, "imbalance", ETH, "--url", url)
        assert code == 2
        assert "set STEELYARD_WEB_TOKEN" in err
        monkeypatch.setenv("STEELYARD_WEB_TOKEN", token)
        settings.cache_clear()
        code, out, err = await get(capsys, "imbalance", ETH, "--url", url)
    assert (code, err) == (0, "")
    assert token not in out


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
async def test_a_worker_is_never_asked_through_a_proxy(
    site: tuple[str, Hub], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    connections: list[str] = []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(str(writer.get_extra_info("peername")))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as proxy:
        address = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        environment = {variable: address, "no_proxy": "", "NO_PROXY": ""}
        for arguments in (("get", "imbalance", ETH), ("tail", "--count", "1"), ("watch", "--once")):
            async with command(*arguments, "--url", site[0], environment=environment) as process:
                out, err = await ended(process)
            assert process.returncode == 0, err
            assert ETH in out
    assert connections == []


@pytest.mark.parametrize("arguments", [("get", "imbalance"), ("tail",)])
async def test_no_worker_at_all_is_said(arguments: tuple[str, ...]) -> None:
    code, out, err = await run(*arguments)
    assert (code, out) == (2, "")
    assert "no worker answers at http://127.0.0.1:1: " in err
    assert "onnection refused" in err
    assert "Traceback" not in err


async def test_tail_prints_states_as_lines(site: tuple[str, Hub]) -> None:
    code, out, err = await run("tail", "--count", "2", "--url", site[0])
    assert (code, err) == (0, "")
    rows = [json.loads(line) for line in out.splitlines()]
    assert sorted(row["instrument"] for row in rows) == [ETH, LOST]
    assert {row["instrument"]: row["status"] for row in rows}[LOST] != "live"


async def test_tail_prints_windows_byte_for_byte_and_ctrl_c_ends_it(
    site: tuple[str, Hub], built: RecordedServing
) -> None:
    url, hub = site
    windows = built.windows(ETH, EACH_SECOND, 0, MAX_MS, 3)
    async with command("tail", ETH, "--length", "1s", "--url", url) as process:
        assert process.stdout is not None
        await asyncio.wait_for(hub.windows_followed.wait(), PATIENCE_S)
        for window in windows:
            hub.put_windows([(Key("1s", ETH), window)])
            line = await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)
            assert line == window + b"\n"
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert (process.returncode, out, err) == (0, b"", b"")


async def test_tail_ends_without_a_word_when_its_reader_has_gone(
    site: tuple[str, Hub], built: RecordedServing
) -> None:
    url, hub = site
    reading, writing = os.pipe()
    (window,) = built.windows(ETH, EACH_SECOND, 0, MAX_MS, 1)
    async with command("tail", "--length", "1s", "--url", url, stdout=writing) as process:
        os.close(writing)
        await asyncio.wait_for(hub.windows_followed.wait(), PATIENCE_S)
        os.close(reading)
        hub.put_windows([(Key("1s", ETH), window)])
        _, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert (process.returncode, err) == (0, b"")


async def test_tail_connects_again_and_says_so(built: RecordedServing) -> None:
    async with AsyncExitStack() as first:
        url, _ = await first.enter_async_context(served_with_hub(built))
        port = int(url.rpartition(":")[2])
        async with command("tail", ETH, "--url", url) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            async with asyncio.timeout(PATIENCE_S):
                assert json.loads(await process.stdout.readline())["instrument"] == ETH
                await first.aclose()
                assert (await process.stderr.readline()).startswith(b"lost ")
                async with served_with_hub(built, port):
                    while not (await process.stderr.readline()).startswith(b"connected"):
                        pass
                    assert json.loads(await process.stdout.readline())["instrument"] == ETH
                    process.terminate()
                    assert await process.wait() == 0


async def test_watch_without_a_terminal_prints_plain_text_once(site: tuple[str, Hub]) -> None:
    code, out, err = await run("watch", "--url", site[0])
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    assert "SIMULATED" in out
    lines = out.splitlines()
    assert lines[1].split()[:3] == ["instrument", "quality", "age"]
    assert [line.split()[0] for line in lines[2:]] == [ETH, LOST]
    assert lines[2].split()[1] in {"live", "stale"}
    assert lines[3].split()[1] == "gap"


class Terminal:
    """A terminal of so many cells, and what was written to it."""

    def __init__(self) -> None:
        self.ours, self.theirs = pty.openpty()
        self.seen = b""
        os.set_blocking(self.ours, False)

    async def until(self, condition: Callable[[bytes], object]) -> None:
        """Read until what was written meets a condition."""
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()
        loop.add_reader(self.ours, arrived.set)
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition(self.seen):
                    await arrived.wait()
                    arrived.clear()
                    try:
                        self.seen += os.read(self.ours, 65_536)
                    except BlockingIOError:
                        continue
                    except OSError:  # the other end is closed
                        assert condition(self.seen), self.seen[-2_000:]
        finally:
            loop.remove_reader(self.ours)

    def close(self) -> None:
        os.close(self.ours)


async def test_watch_in_a_terminal_draws_and_leaves_it_as_it_was(site: tuple[str, Hub]) -> None:
    terminal = Terminal()
    ends = {"stdin": terminal.theirs, "stdout": terminal.theirs, "stderr": terminal.theirs}
    size = {"COLUMNS": "140", "LINES": "20"}
    try:
        async with command("watch", "--url", site[0], environment=size, **ends) as process:
            os.close(terminal.theirs)
            await terminal.until(lambda seen: seen.count(ETH.encode()) >= 2)
            assert LEAVES_SCREEN not in terminal.seen
            assert b"SIMULATED" in terminal.seen
            assert re.search(rb"\x1b\[[0-9;]*38;5", terminal.seen)  # colours
            process.send_signal(signal.SIGINT)
            await terminal.until(lambda seen: LEAVES_SCREEN in seen)
            assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0
        assert b"Traceback" not in terminal.seen
    finally:
        terminal.close()


def test_watch_has_no_colour_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"instrument": ETH, "status": "live", "imbalance_10": 0.5, "received_ms": 1}
    message = {"as_of_ms": 2, "worker": "worker-1", "states": [row], "whole": True}
    board = Board()
    board.apply(Event("states", json.dumps(message).encode(), None), 0.0)

    def drawn() -> str:
        out = io.StringIO()
        console = Console(file=out, force_terminal=True, width=140, highlight=False)
        console.print(draw(board, 0.0, Order.INSTRUMENT, 140, 20))
        return out.getvalue()

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert re.search(COLOUR, drawn())
    monkeypatch.setenv("NO_COLOR", "1")
    assert ETH in drawn()
    assert not re.search(COLOUR, drawn())
