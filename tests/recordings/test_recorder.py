"""The recorder against the simulated exchange over a real websocket."""

from __future__ import annotations

import asyncio
import errno
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from app.processing.processor import Rules
from app.recordings.channel_selection import ChannelSelection
from app.recordings.compute import compute
from app.recordings.marks import (
    ConnectedMark,
    GapMark,
    Mark,
    SubscribedMark,
    TickMark,
    encode_mark,
    read_mark,
)
from app.recordings.reader import DISCONNECT, read_recording, segments_of
from app.recordings.recorder import DiskRefused, Recorder, VenueRefused
from app.recordings.segments import Segments
from app.recordings.verification import WHOLE, check
from deribit.auth import Credentials
from deribit.backoff import Backoff
from deribit.client import Client
from exchange import Config, Exchange
from models.window import encode_window

BTC, ETH = "BTC-PERPETUAL", "ETH-PERPETUAL"
BTC_BOOK = f"book.{BTC}.100ms"
LIVELY = {"seed": 7, "instruments": 4, "rate": 30.0}
EXCERPT = Path(__file__).parents[1] / "data" / "coinm-ethusd-excerpt.jsonl.gz"
DEMO_KEY = Credentials("demo", "demo-secret")
RULES = Rules((1_000, 10_000), 250, 3_000)
PLAYED = 5_000
PATIENCE_S = 60.0
POLL_S = 0.02


@dataclass
class Recording:
    """A recorder at work."""

    folder: Path
    client: Client
    recorder: Recorder
    said: list[str] = field(default_factory=list)
    running: asyncio.Task[None] | None = None

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait for a condition; fail if the recorder ends first."""
        assert self.running is not None
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                assert not self.running.done(), self.said
                await asyncio.sleep(POLL_S)

    async def stop(self) -> None:
        """Stop as Ctrl-C does, and wait for the end."""
        await self.client.close()
        assert self.running is not None
        await self.running

    def lines(self) -> list[tuple[int, bytes]]:
        """Return what is recorded, without the marks that say when nothing came."""
        return [
            (received_ns, message)
            for received_ns, message in read_recording(self.folder)
            if (mark := read_mark(message)) is None or isinstance(mark, GapMark)
        ]

    def messages_of(self, channel: str) -> list[bytes]:
        start = f'"channel":"{channel}"'.encode()
        return [message for _, message in self.lines() if start in message]


@asynccontextmanager
async def recording(
    url: str,
    folder: Path,
    channels: str = "book,trades,ticker",
    instruments: tuple[str, ...] = (),
    interval: str = "100ms",
    client: dict[str, Any] | None = None,
    **segments: Any,
) -> AsyncIterator[Recording]:
    backoff = Backoff(first_s=0.05, cap_s=0.1, floor_s=0.01)
    talker = Client(url, "recorder", backoff=backoff, **(client or {}))
    choice = ChannelSelection.parse(channels.split(","), instruments, interval)
    said: list[str] = []
    recorder = Recorder(talker, choice, Segments(folder, venue=url, **segments), said.append)
    recorded = Recording(folder, talker, recorder, said)
    recorded.running = asyncio.create_task(recorder.run())
    try:
        yield recorded
        await recorded.stop()
    finally:
        recorded.running.cancel()
        await asyncio.wait({recorded.running})


def is_tick(message: bytes) -> bool:
    return isinstance(read_mark(message), TickMark)


def windows_of(path: Path) -> dict[tuple[Any, ...], bytes]:
    """Return the windows of a recording by their keys, whatever speed it was recorded at.

    Ticks are a second apart by this machine's clock. How many of them come between two messages
    that an exchange plays at full speed is a matter of luck, and where each falls is, too.
    """
    lines = ((at, said) for at, said in read_recording(path) if not is_tick(said))
    windows = compute(lines, RULES)
    keys = ("channel", "length_ms", "start_ms")
    return {tuple(each[key] for key in keys): encode_window(each) for each in windows}


async def test_what_the_venue_sent_is_kept_byte_for_byte(tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    async with (
        Exchange(Config(**LIVELY, truth=truth)) as venue,
        recording(venue.url, tmp_path / "out", channels="book,trades") as recorded,
    ):
        await recorded.until(lambda: recorded.recorder.counts.messages > 120)
    sent = {line.split(b" ", 1)[1] for line in truth.read_bytes().splitlines()}
    *messages, (_, last) = recorded.lines()
    assert last == DISCONNECT
    assert len(messages) > 120
    channels = {json.loads(message)["params"]["channel"] for _, message in messages}
    assert len([name for name in channels if name.startswith("book.")]) == 4
    opening = [m for _, m in messages if b'"type":"snapshot"' in m]
    assert {message for _, message in messages} - sent <= set(opening)
    times = [received_ns for received_ns, _ in messages]
    assert times == sorted(times)
    assert {verdict.status for verdict in check(recorded.folder)} == {WHOLE}


async def test_a_lost_connection_is_a_line_and_books_begin_anew(tmp_path: Path) -> None:
    async with (
        Exchange(Config(**LIVELY)) as venue,
        recording(venue.url, tmp_path, instruments=(BTC,)) as recorded,
    ):
        await recorded.until(lambda: recorded.recorder.counts.messages > 5)
        venue.drop_connections()
        await recorded.until(lambda: recorded.recorder.counts.disconnects == 1)
        seen = recorded.recorder.counts.messages
        await recorded.until(lambda: recorded.recorder.counts.messages > seen + 5)
    messages = [message for _, message in recorded.lines()]
    breaks = [number for number, message in enumerate(messages) if message == DISCONNECT]
    assert len(breaks) == 2
    assert breaks[1] == len(messages) - 1
    books = [m for m in messages[breaks[0] + 1 :] if BTC_BOOK.encode() in m]
    assert b'"type":"snapshot"' in books[0]
    (manifest, _) = check(tmp_path)
    assert (manifest.status, manifest.disconnects, manifest.gaps) == (WHOLE, 2, 0)


async def test_a_gap_is_marked_and_the_next_snapshot_is_asked_for(tmp_path: Path) -> None:
    async with (
        Exchange(Config(**LIVELY)) as venue,
        recording(venue.url, tmp_path, instruments=(BTC, ETH)) as recorded,
    ):
        await recorded.until(lambda: recorded.recorder.counts.messages > 20)
        venue.skip_next(BTC_BOOK)
        await recorded.until(lambda: recorded.recorder.counts.gaps == 1)
        seen = recorded.recorder.counts.messages
        await recorded.until(lambda: recorded.recorder.counts.messages > seen + 30)
    messages = [message for _, message in recorded.lines()]
    (place,) = [number for number, m in enumerate(messages) if read_mark(m) is not None]
    mark = read_mark(messages[place])
    assert mark is not None
    before = [json.loads(m) for m in messages[:place] if BTC_BOOK.encode() in m]
    assert mark.channel == BTC_BOOK
    assert mark.expected == before[-1]["params"]["data"]["change_id"]
    after = [m for m in messages[place + 1 :] if BTC_BOOK.encode() in m]
    assert b'"type":"snapshot"' in after[0]
    assert b'"type":"snapshot"' not in b"".join(after[1:])
    assert [verdict.gaps for verdict in check(tmp_path)] == [1, 1]


async def test_the_windows_of_a_gap_say_so(tmp_path: Path) -> None:
    """The mark stands for what the messages do not show: a snapshot that could be a mere repeat."""
    async with (
        Exchange(Config(**LIVELY)) as venue,
        recording(venue.url, tmp_path, instruments=(BTC,)) as recorded,
    ):
        await recorded.until(lambda: recorded.recorder.counts.messages > 20)
        recorded.client.resync(BTC_BOOK)

        def gap_windows() -> list[Any]:
            windows = compute(read_recording(tmp_path, on_damage=lambda said: None), RULES)
            return [window for window in windows if window["gaps"]]

        await recorded.until(gap_windows)
    assert {window["status"] for window in gap_windows()} == {"gap"}


async def test_record_exchange_record_gives_the_same_windows(tmp_path: Path) -> None:
    original = tmp_path / "original.jsonl"
    lines = list(islice(read_recording(EXCERPT), PLAYED))
    begin_ns = lines[0][0]
    heard: list[Mark] = [ConnectedMark(True, "simulated")]
    heard.append(SubscribedMark([f"book.{ETH}.raw", f"trades.{ETH}.raw"]))
    marked = [*((begin_ns, encode_mark(mark)) for mark in heard), *lines]
    original.write_bytes(b"".join(b"%d %b\n" % line for line in marked))
    expected = windows_of(original)
    assert len(expected) > 20
    folder = tmp_path / "out"
    played = Config(recording=original, speed=float("inf"), hold="all")
    async with (
        Exchange(played) as venue,
        recording(
            venue.url,
            folder,
            channels="book,trades,quote",
            instruments=(ETH,),
            interval="raw",
            client={"credentials": DEMO_KEY},
            rotate_bytes=20_000,
        ) as recorded,
    ):
        await recorded.until(lambda: recorded.recorder.counts.messages >= PLAYED)
    messages = [message for _, message in recorded.lines()]
    assert messages == [*(message for _, message in lines), DISCONNECT]
    found = windows_of(folder)
    assert expected.items() <= found.items()
    assert {verdict.status for verdict in check(folder)} == {WHOLE}
    whole = tmp_path / "whole.jsonl.zst"
    parts = segments_of(folder)
    assert len(parts) > 3
    whole.write_bytes(b"".join(path.read_bytes() for path in parts))
    again = tmp_path / "again"
    async with (
        Exchange(Config(recording=whole, speed=float("inf"), hold="all")) as venue,
        recording(
            venue.url,
            again,
            channels=f"book.{ETH}.raw,trades.{ETH}.raw,quote.{ETH}",
            client={"credentials": DEMO_KEY},
        ) as recorded,
    ):
        await recorded.until(lambda: recorded.recorder.counts.disconnects == 1)
    assert expected.items() <= windows_of(again).items()


async def test_a_message_that_no_line_can_hold_is_marked(tmp_path: Path) -> None:
    async with (
        Exchange(Config(**LIVELY)) as venue,
        recording(venue.url, tmp_path, "book,trades", instruments=(BTC,)) as recorded,
    ):
        await recorded.until(lambda: recorded.recorder.counts.messages > 5)
        trades = f"trades.{BTC}.100ms"
        text = '{"jsonrpc":"2.0",\n"method":"subscription","params":{"channel":"%s","data":[]}}'
        venue.hub.inject(trades, text % trades)
        await recorded.until(lambda: recorded.recorder.counts.unwritable == 1)
        venue.hub.inject(BTC_BOOK, snapshot_over_lines(BTC_BOOK))
        await recorded.until(lambda: recorded.recorder.counts.unwritable == 2)
        await recorded.until(lambda: recorded.recorder.counts.gaps == 1)
    marks = [mark for _, m in recorded.lines() if (mark := read_mark(m)) is not None]
    assert [mark.channel for mark in marks] == [trades, BTC_BOOK]
    assert {verdict.status for verdict in check(tmp_path)} == {WHOLE}


def snapshot_over_lines(channel: str) -> str:
    """Return a snapshot whose JSON is laid out over several lines."""
    data = {"type": "snapshot", "change_id": 5, "timestamp": 1, "bids": [], "asks": []}
    data["instrument_name"] = BTC
    message = {"jsonrpc": "2.0", "method": "subscription"}
    return json.dumps(message | {"params": {"channel": channel, "data": data}}, indent=1)


async def test_raw_without_credentials_is_said_and_100ms_is_recorded(tmp_path: Path) -> None:
    async with (
        Exchange(Config(**LIVELY)) as venue,
        recording(venue.url, tmp_path, "book", (BTC,), interval="raw") as recorded,
    ):
        await recorded.until(lambda: recorded.recorder.counts.messages > 3)
    assert any("raw needs credentials" in text for text in recorded.said)
    assert len(recorded.messages_of(BTC_BOOK)) > 3


async def test_channels_that_the_venue_does_not_know_are_said(tmp_path: Path) -> None:
    wanted = f"{BTC_BOOK},book.NOBODY-PERPETUAL.100ms,platform_state"
    async with (
        Exchange(Config(**LIVELY)) as venue,
        recording(venue.url, tmp_path, wanted) as recorded,
    ):
        await recorded.until(lambda: recorded.recorder.counts.messages > 3)
    assert list(recorded.recorder.counts.rejected) == ["book.NOBODY-PERPETUAL.100ms"]
    assert any("book.NOBODY-PERPETUAL.100ms" in text for text in recorded.said)


async def test_wrong_credentials_end_it_with_what_to_do(tmp_path: Path) -> None:
    wrong = {"credentials": Credentials("demo", "wrong")}
    async with Exchange(Config(**LIVELY)) as venue:
        talker = Client(venue.url, "recorder", **wrong)
        choice = ChannelSelection.parse(["book"], (), "100ms")
        segments = Segments(tmp_path, venue=venue.url)
        recorder = Recorder(talker, choice, segments, lambda text: None)
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(VenueRefused, match="client id and secret"):
                await recorder.run()
    Segments(tmp_path, venue=venue.url).close()  # the folder is free again


async def test_a_disk_that_refuses_ends_it_and_keeps_what_it_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Exchange(Config(**LIVELY)) as venue:
        talker = Client(venue.url, "recorder")
        segments = Segments(tmp_path, venue=venue.url)
        append, calls = segments.append, 0

        def refuse_later(lines: Any) -> None:
            nonlocal calls
            calls += 1
            if calls > 10:
                raise OSError(errno.ENOSPC, "No space left on device")
            append(lines)

        monkeypatch.setattr(segments, "append", refuse_later)
        recorder = Recorder(talker, ChannelSelection.parse(["book"], (), "100ms"), segments, print)
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(DiskRefused) as raised:
                await recorder.run()
    manifest = raised.value.manifest
    assert manifest is not None
    assert manifest.ended == "failed"
    kept = list(read_recording(tmp_path, on_damage=lambda said: None))
    assert len(kept) == manifest.counts.lines


async def test_a_slow_disk_loses_only_what_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    async with (
        Exchange(Config(**LIVELY)) as venue,
        recording(
            venue.url, tmp_path, "book", (BTC,), client={"queue_max_messages": 10}
        ) as recorded,
    ):
        await recorded.until(lambda: recorded.recorder.counts.messages > 3)
        segments = recorded.recorder._segments
        append = segments.append

        def wait_and_append(lines: Any) -> None:
            go_on.wait(PATIENCE_S)
            append(lines)

        monkeypatch.setattr(segments, "append", wait_and_append)
        await recorded.until(lambda: recorded.client.counts.overflowed)
        go_on.set()
        await recorded.until(lambda: recorded.recorder.counts.gaps >= 1)
        seen = recorded.recorder.counts.messages
        await recorded.until(lambda: recorded.recorder.counts.messages > seen + 5)
    verdict, _ = check(tmp_path)
    assert verdict.status == WHOLE
    assert verdict.gaps == recorded.recorder.counts.gaps
    books = [m for m in recorded.messages_of(BTC_BOOK) if read_mark(m) is None]
    assert sum(b'"type":"snapshot"' in message for message in books) >= 2


@pytest.mark.parametrize(
    ("channels", "instruments", "said"),
    [
        (["tape"], (), "'tape' is no channel"),
        ([], (), "no channel is given"),
        (["book"], ("a b",), "'a b' is no instrument name"),
    ],
)
def test_a_choice_that_cannot_be_made_is_said(
    channels: list[str], instruments: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        ChannelSelection.parse(channels, instruments, "100ms")


def test_kinds_are_of_every_instrument_and_names_as_they_are() -> None:
    choice = ChannelSelection.parse(["quote", "book", f"trades.{ETH}.raw", "quote"], (), "agg2")
    assert choice.channels([]) == (f"trades.{ETH}.raw",)
    assert choice.channels([BTC, ETH]) == (
        f"trades.{ETH}.raw",
        f"quote.{BTC}",
        f"book.{BTC}.agg2",
        f"quote.{ETH}",
        f"book.{ETH}.agg2",
    )
    of_the_venue = ChannelSelection.parse(["platform_state", "instrument.state"], (BTC,), "100ms")
    assert of_the_venue.channels([]) == ("platform_state", "instrument.state.future.any")
    grouped = ChannelSelection.parse(["book.none.10"], (BTC,), "raw")
    assert grouped.channels([]) == (f"book.{BTC}.none.10.100ms",)
    raw = ChannelSelection.parse(["book", "trades"], (BTC,), "raw")
    assert raw.channels([ETH]) == (f"book.{BTC}.raw", f"trades.{BTC}.raw")
