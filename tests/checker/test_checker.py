"""The checker finds what is wrong, each kind by itself, and nothing where nothing is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from app import WHAT_RUNS
from app.hot_path.finder import RUNS_COMPILED
from app.processing.processor import Processor, Rules
from app.processing.state_codec import BooksCodec
from app.topics.partitioner import partition_of
from app.verify.records import Record
from app.verify.report import Report
from app.verify.truth import Truth
from models.frame import Disconnected, Frame, Notification, encode_frame
from orderbook.units import UNIT
from tests.checker.checker import Written, check
from tests.checker.missing_trades import compare_trades
from tests.checker.missing_windows import compare_continuity
from tests.checker.oracle import Oracle, published_key
from tests.checker.served import Sample, numbers, samples_of
from tests.system.chaos.hand import NAME, Session, change, snapshot

RULES = Rules((1_000,), 250, 3_000)
FRAMES = 60


def frames() -> list[Frame]:
    """Six seconds of one instrument, and a tick that closes them."""
    session = Session("s")
    opening = session.frame(snapshot(1, 1), at=1, connects=True)
    changes = [
        session.frame(change(number, number - 1, float(number), number), at=number)
        for number in range(2, FRAMES)
    ]
    return [opening, *changes, session.tick(100)]


def written(truth: Path | None = None) -> Written:
    """What an exact system writes of these frames."""
    feed = [Record(0, offset, b"", encode_frame(frame)) for offset, frame in enumerate(frames())]
    oracle = Oracle(RULES)
    oracle.replay(feed)
    windows = [value for value, _ in oracle.windows.values()]
    state = oracle.processors[0, NAME]
    end = len(feed)
    changelog = [Record(0, 0, NAME.encode(), BooksCodec(RULES).dump(b"", state, end))]
    if truth is not None:
        messages = [item.message for frame in frames()[:-1] for item in frame.items[-1:]]
        truth.write_bytes(b"".join(b"1 " + message + b"\n" for message in messages))
    records = [Record(0, offset, NAME.encode(), value) for offset, value in enumerate(windows)]
    return Written(feed, records, changelog, {0: end}, {0: end})


def sample(change_id: int, **fields: object) -> Sample:
    """A correct answer about the book after a change, but for the given fields."""
    state = Processor(NAME, RULES)
    for frame in frames()[:change_id]:
        state.feed(frame)
    book = state.instrument.book
    bids, asks = ([(p / UNIT, s / UNIT) for p, s in s.levels()] for s in (book.bids, book.asks))
    data = {
        "instrument": NAME,
        "depth": 100,
        "bids": bids,
        "asks": asks,
        "bid_levels": len(bids),
        "ask_levels": len(asks),
    } | fields
    meta = {"as_of_ms": 1_700_000_000_000, "status": "live", "change_id": change_id}
    (found,) = samples_of("http://test", {"data": data, "meta": meta})
    return found


def test_nothing_is_found_where_nothing_is_wrong(tmp_path: Path) -> None:
    truth = tmp_path / "truth.log"
    report = check(written(truth), RULES, truth=truth, samples=[sample(7), sample(40)], seed=3)
    assert report.ok, report.to_dict()
    assert report.compared == {
        "overtaken": 0,
        "feed_records": FRAMES,
        "states": 1,
        "windows": 6,
        "answers": 2,
        "notifications": FRAMES - 2,
        "final_books": 1,
        "reference_windows": 6,
    }


def test_a_frame_in_another_partition_is_refused_as_a_worker_does() -> None:
    what = written()
    end = len(what.feed)
    partitions = next(count for count in range(2, 99) if not partition_of(NAME, count))
    other = next(name for name in map(str, range(99)) if partition_of(name, partitions))
    before = [Record(1, 0, b"", what.feed[0].value or b"")]
    session = Session("s", other)
    stray = encode_frame(session.frame(snapshot(1, 1, other), at=1, connects=True))
    # As of the first one's offset there is a state in the changelog.
    after = [Record(0, end, b"", stray), Record(0, end + 1, b"", encode_frame(frames()[-1]))]
    what.feed[:] = before + what.feed + after
    what.ends |= dict.fromkeys(range(partitions), 0) | {0: end + 2, 1: 1}
    what.committed |= what.ends
    report = check(what, RULES)
    assert report.ok, report.to_dict()
    assert report.compared["stray_frames"] == 2
    assert report.compared["reference_windows"] == 6
    assert report.offenders["stray_frames"] == [
        f"feed-1@0: {NAME} belongs in another partition",
        f"feed-0@{end}: {other} belongs in another partition",
    ]


def figures(report: Report) -> tuple[int, int, bool, int]:
    return report.lost, report.dup_effect, report.hash_equal, report.wrong_served


def test_a_window_that_was_not_published_is_lost() -> None:
    what = written()
    del what.windows[2]
    report = check(what, RULES)
    assert figures(report) == (1, 0, True, 0)
    assert "1700000002000" in report.offenders["lost"][0]


def test_a_commit_short_of_the_end_is_a_loss() -> None:
    what = written()
    what.committed[0] -= 4
    assert figures(check(what, RULES)) == (4, 0, True, 0)


def test_a_commit_beyond_what_is_stored_is_a_loss() -> None:
    what = written()
    oracle = Oracle(RULES)
    oracle.replay(what.feed[:50])
    old = BooksCodec(RULES).dump(b"", oracle.processors[0, NAME], 50)
    what.changelog[:] = [Record(0, 0, NAME.encode(), old)]
    report = check(what, RULES)
    assert figures(report) == (FRAMES - 1 - 50, 0, True, 0)
    assert "committed, not stored" in report.offenders["lost"][0]


@pytest.mark.parametrize("is_repeat", [False, True])
def test_a_window_with_another_number_is_an_effect(is_repeat: bool) -> None:
    what = written()
    record = what.windows[3]
    window = json.loads(record.value or b"")
    window["observations"] += 1
    wrong = record._replace(value=json.dumps(window, separators=(",", ":")).encode())
    if is_repeat:
        what.windows.append(wrong)
    else:
        what.windows[3] = wrong
    report = check(what, RULES, reference_budget_s=0)
    assert figures(report) == (0, 1, True, 0)


@pytest.mark.skipif(
    WHAT_RUNS == RUNS_COMPILED, reason="compiled code cannot be patched; `make test-pure` runs it"
)
def test_the_reference_judges_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the domain is in the oracle, too; only other code can find it."""
    from orderbook.windows import record as window

    genuine = window._mid
    monkeypatch.setattr(window, "_mid", lambda twice: None if twice is None else genuine(twice + 1))
    report = check(written(), RULES)
    assert report.dup_effect == 6
    assert "the reference's" in report.offenders["dup_effect"][0]


def test_a_state_that_is_not_the_oracles_is_found() -> None:
    what = written()
    oracle = Oracle(RULES)
    oracle.replay(what.feed[:-2])
    short = oracle.processors[0, NAME]
    end = len(what.feed)
    what.changelog[:] = [Record(0, 0, NAME.encode(), BooksCodec(RULES).dump(b"", short, end))]
    report = check(what, RULES)
    assert not report.hash_equal
    assert f"{NAME} at position {end}" in report.offenders["hash_equal"][0]


def test_a_missing_state_is_found() -> None:
    what = written()
    what.changelog.clear()
    assert not check(what, RULES).hash_equal


def test_the_highest_position_is_what_a_recovery_loads() -> None:
    what = written()
    oracle = Oracle(RULES)
    oracle.replay(what.feed[:20])
    zombie = BooksCodec(RULES).dump(b"", oracle.processors[0, NAME], 20)
    what.changelog.append(Record(0, 1, NAME.encode(), zombie))
    report = check(what, RULES)
    assert report.ok
    assert report.compared["overtaken"] == 1


def test_a_notification_that_never_got_to_the_feed_is_lost(tmp_path: Path) -> None:
    truth = tmp_path / "truth.log"
    what = written(truth)
    gone = 30
    feed = [record for record in what.feed if record.offset != gone]
    what.feed[:] = [record._replace(offset=place) for place, record in enumerate(feed)]
    report = Report()
    from app.verify.truth import Truth, compare_feed

    compare_feed(what.feed, Truth.read(truth), report)
    assert report.lost == 1


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"bids": [(99.5, 1.0)]}, "the bids of change 9 differ"),
        ({"asks": []}, "the asks of change 9 differ"),
        ({"ask_levels": 3}, "number of levels"),
    ],
)
def test_a_wrong_answer_is_found(fields: dict[str, object], why: str) -> None:
    report = check(written(), RULES, samples=[sample(9, **fields)])
    assert figures(report) == (0, 0, True, 1)
    assert why in report.offenders["wrong_served"][0]


def test_an_answer_that_says_that_it_is_not_live_is_believed() -> None:
    wrong = sample(9, bids=[(1.0, 1.0)])._replace(status="gap")
    assert check(written(), RULES, samples=[wrong]).ok


def test_a_change_that_never_was_is_wrong() -> None:
    report = check(written(), RULES, samples=[sample(9)._replace(change_id=999)])
    assert "never live" in report.offenders["wrong_served"][0]


def test_an_old_book_served_as_live_is_wrong() -> None:
    old = sample(9)
    late = old._replace(at_ms=old.at_ms + 60_000)
    report = check(written(), RULES, samples=[late])
    assert "after the book had moved on" in report.offenders["wrong_served"][0]


def test_numbers_of_a_row_follow_from_the_levels() -> None:
    bids = ((100 * UNIT, 30 * UNIT), (99 * UNIT, 10 * UNIT))
    asks = ((102 * UNIT, 10 * UNIT),)
    found = numbers(bids, asks)
    assert found["mid"] == 101.0
    assert found["weighted_mid"] == (102 * 30 + 100 * 10) / 40
    assert found["imbalance_1"] == 0.5
    assert found["imbalance_5"] == 0.6
    assert found["imbalance_50bp"] is None, "no level is within 0.5 % of 101"
    assert numbers(bids, ())["mid"] is None


# What the oracle cannot see, because it is the product's own processor


class Forgetful:
    """A processor that closes only some windows: the workers' and the oracle's alike."""

    closes: Callable[[int], bool]

    def __init__(self, name: str, rules: Rules) -> None:
        self._whole = Processor(name, rules)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    def feed(self, frame: Frame) -> Any:
        windows = self._whole.feed(frame).windows
        return SimpleNamespace(windows=[w for w in windows if type(self).closes(w["start_ms"])])


@pytest.mark.parametrize(
    "closes",
    [lambda start_ms: start_ms // 1_000 % 2, lambda start_ms: start_ms < 1_700_000_003_000],
    ids=["every second one", "none at the end"],
)
def test_windows_that_a_processor_forgot_to_close_are_lost(
    closes: Callable[[int], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Forgetful, "closes", closes, raising=False)
    monkeypatch.setattr("tests.checker.oracle.Processor", Forgetful)
    oracle = Oracle(RULES)
    what = written()
    oracle.replay(what.feed)
    windows = [value for value, _ in oracle.windows.values()]
    what.windows[:] = [Record(0, offset, b"", value) for offset, value in enumerate(windows)]
    report = Report()
    keys = {published_key(record.value or b""): b"" for record in what.windows}
    compare_continuity(what.feed, keys, oracle.windows.keys(), RULES.grace_ms, report)
    assert report.lost >= 2, report.to_dict()
    assert not report.ok


def test_trades_that_never_came_are_lost(tmp_path: Path) -> None:
    def trade(number: int) -> bytes:
        data = [{"instrument_name": NAME, "trade_seq": number, "timestamp": 1_700_000_000_000}]
        params = {"channel": f"trades.{NAME}.100ms", "data": data}
        return json.dumps({"method": "subscription", "params": params}).encode()

    path = tmp_path / "truth.log"
    path.write_bytes(b"".join(b"1 " + trade(number) + b"\n" for number in range(1, 8)))
    heard = [Notification(1, trade(number)) for number in (1, 2, 5, 6)]
    frame = Frame(frames()[0].version, NAME, f"book.{NAME}.100ms", "s", 1, list(heard))
    record = Record(0, 0, b"", encode_frame(frame))
    report = Report()
    compare_trades([record], Truth.read(path), report)
    assert (report.lost, report.compared) == (2, {"trades": 4})
    broken = [*frame.items[:2], Disconnected(1, "closed"), *frame.items[2:]]
    record = Record(0, 0, b"", encode_frame(msgspec.structs.replace(frame, items=broken)))
    report = Report()
    compare_trades([record], Truth.read(path), report)
    assert not report.lost, "the session knows that it knows nothing"


def test_a_recovery_that_took_too_long_is_not_ok() -> None:
    assert Report(ttr_s=9.9, ttr_limit_s=10.0).ok
    assert not Report(ttr_s=10.1, ttr_limit_s=10.0).ok
