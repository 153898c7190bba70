"""The logs of the bench are what they say: chained, uncrossed, spread, and the same each time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from app.recordings.compute import Tally, compute
from app.topics.partitioner import partition_of
from bench.agreement import RULES
from bench.feeds import (
    EXCERPT,
    book_messages,
    closing_messages,
    generated,
    instrument_names,
    recording,
)
from bench.pipeline import frames_of
from deribit.decode_books_trades import decode
from models.frame import Tick


def test_generated_feed_follows_its_chain_and_is_never_crossed() -> None:
    log = generated(1_000, instrument_names(7), depth=20)
    tally = Tally()
    windows = list(compute(log.lines, RULES, tally))
    assert len(log.lines) == log.changes == 1_000
    assert {name: count for name, count in tally.counts.items() if count} == {"changes": 1_000}
    assert windows
    assert {window["status"] for window in windows} <= {"complete", "partial"}


def test_generated_feed_changes_one_to_three_levels_and_is_the_same_each_time() -> None:
    log = generated(500, instrument_names(2), depth=20)
    changed = Counter()
    for name, message in list(book_messages(log))[2:]:
        decoded = decode(message, name)
        assert decoded is not None
        changed[len(decoded[1].bids) + len(decoded[1].asks)] += 1
    assert set(changed) == {1, 2, 3}
    assert sum(levels * count for levels, count in changed.items()) == log.levels
    assert generated(500, instrument_names(2), depth=20).lines == log.lines
    assert generated(500, instrument_names(2), depth=20, seed=8).lines != log.lines


def test_names_are_spread_evenly() -> None:
    names = instrument_names(131)
    taken = Counter(partition_of(name, 8) for name in names)
    assert len(set(names)) == 131
    assert max(taken.values()) - min(taken.values()) <= 1


def test_recording_can_be_several_instruments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_RECORDING", str(EXCERPT))
    one = recording(limit=500)
    three = recording(instrument_names(3), limit=500)
    assert (three.changes, three.levels) == (3 * one.changes, 3 * one.levels)
    assert Counter(name for name, _ in book_messages(three)) == dict.fromkeys(
        three.instruments, one.changes
    )


def test_missing_recording_is_replaced_and_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv("BENCH_RECORDING", raising=False)
    monkeypatch.setattr("bench.feeds.BESIDE", tmp_path / "absent.jsonl.gz")
    assert recording(limit=10).name == "recording coinm-ethusd-excerpt.jsonl"
    assert "absent.jsonl.gz is not beside the project" in capsys.readouterr().err


def test_frames_hold_every_message_and_end_with_a_tick_for_each_partition() -> None:
    log = generated(1_000, instrument_names(5), depth=10)
    frames = list(frames_of(log, 8))
    ticks = [partition for frame, partition in frames if type(frame.items[0]) is Tick]
    messages = sum(hasattr(item, "message") for frame, _ in frames for item in frame.items)
    assert messages == 1_000
    assert ticks == list(range(8))
    assert all(frame.sequence == 0 for frame, _ in frames[-8:])


def test_each_instrument_is_closed() -> None:
    log = generated(100, instrument_names(5), depth=10)
    assert [name for name, _ in closing_messages(log)] == list(log.instruments)
