"""The checker finds what is wrong, each kind by itself, and nothing where nothing is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.processing.processor import Processor, Rules
from app.processing.state_codec import BooksCodec
from app.topics.partitioner import partition_of
from app.verify.records import Record
from models.frame import Disconnected, Frame, Notification, TradesFollowed, encode_frame
from models.window import encode_window
from orderbook.units import UNIT
from tests.checker.checker import Written, check
from tests.checker.feed import frames_of
from tests.checker.missing_trades import compare_trades
from tests.checker.oracle import published_key
from tests.checker.report import Report
from tests.checker.served import Sample, numbers, samples_of
from tests.checker.truth import Truth, compare_feed
from tests.system.chaos.hand import NAME, Session, change, snapshot, time_of

RULES = Rules((1_000,), 250, 3_000)
FRAMES = 60
TRADED = (5, 17, 18, 33, 47)
"""The frames that have a trade, too."""


def trade(number: int, at: float) -> bytes:
    """Return a notification of one trade."""
    data = {
        "instrument_name": NAME,
        "trade_seq": number,
        "timestamp": time_of(at),
        "price": 99.5,
        "amount": 10.0 * number,
        "direction": "buy" if number % 2 else "sell",
    }
    params = {"channel": f"trades.{NAME}.100ms", "data": [data]}
    message = {"jsonrpc": "2.0", "method": "subscription", "params": params}
    return json.dumps(message, separators=(",", ":")).encode()


def messages_at(number: int) -> list[bytes]:
    """Return what the venue says at a step."""
    said = [change(number, number - 1, float(number), number)]
    return said + [trade(place, number) for place, at in enumerate(TRADED, 1) if at == number]


def frames() -> list[Frame]:
    """Six seconds of one instrument, and a tick that closes them."""
    session = Session("s")
    opening = session.frame(snapshot(1, 1), at=1, connects=True)
    opening.items.append(TradesFollowed(opening.items[0].received_ns, True))
    changes = [session.frame(*messages_at(number), at=number) for number in range(2, FRAMES)]
    return [opening, *changes, session.tick(100)]


def process(state: Processor, what: list[Frame]) -> Iterator[bytes]:
    """Yield the windows that the program publishes."""
    for frame in what:
        for window in state.feed(frame).windows:
            yield encode_window(window)


def state_after(what: list[Frame]) -> Processor:
    """Return the program's state after some frames."""
    state = Processor(NAME, RULES)
    list(process(state, what))
    return state


def dump(what: list[Frame]) -> bytes:
    """Return the record of the state after some frames."""
    return BooksCodec(RULES).dump(b"", state_after(what), len(what))


def records(values: list[bytes]) -> list[Record]:
    return [Record(0, offset, NAME.encode(), value) for offset, value in enumerate(values)]


def written(truth: Path | None = None, heard: list[Frame] | None = None) -> Written:
    """What an exact system writes of these frames, or of those that it has heard of them."""
    if heard is None:
        heard = frames()
    end = len(heard)
    if truth is not None:
        said = [b"%d %s" % (time_of(1) * 10**6, snapshot(1, 1))]
        for number in range(2, FRAMES):
            said += [b"%d %s" % (time_of(number) * 10**6, each) for each in messages_at(number)]
        truth.write_bytes(b"".join(line + b"\n" for line in said))
    windows = list(process(Processor(NAME, RULES), heard))
    feed = records([encode_frame(frame) for frame in heard])
    return Written(feed, records(windows), records([dump(heard)]), {0: end}, {0: end})


def sample(change_id: int, **fields: object) -> Sample:
    """A correct answer about the book after a change, but for the given fields."""
    state = state_after(frames()[:change_id])
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
        "trades": len(TRADED),
        "published": FRAMES - 2 + len(TRADED) - 1,
        "due_windows": 4,
        "undisturbed_windows": 4,
        "final_books": 1,
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
    assert report.compared["windows"] == 6
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
    what.changelog[:] = records([dump(frames()[:50])])
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
    assert figures(check(what, RULES)) == (0, 1, True, 0)


def altered(value: object) -> object:
    """Return another value of the same kind."""
    if isinstance(value, list):
        return [altered(each) for each in value]
    if isinstance(value, str):
        return value + "x"
    return 1 if value is None else value + 1  # type: ignore[operator]


KEYS = ("instrument", "channel", "length_ms", "start_ms")


@pytest.mark.parametrize(
    "name", [name for name in json.loads(written().windows[2].value or b"") if name not in KEYS]
)
def test_a_field_that_the_processor_itself_has_wrong_is_found(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program computes it so everywhere: what is published agrees with every state."""
    genuine = encode_window

    def wrong(window: dict[str, Any]) -> bytes:
        return genuine({**window, name: altered(window[name])})

    monkeypatch.setattr(f"{__name__}.encode_window", wrong)
    monkeypatch.setattr("tests.checker.canonical.encode_window", wrong)
    truth = tmp_path / "truth.log"
    report = check(written(truth), RULES, truth=truth)
    assert report.dup_effect >= 6, "every window"
    assert f"oracle's in {name}" in report.offenders["dup_effect"][0]
    assert not report.hash_equal, "every state would publish it, too"


def test_a_trade_that_the_processor_drops_is_found() -> None:
    heard = frames()
    heard[32] = msgspec.structs.replace(heard[32], items=heard[32].items[:1])
    what, dropping = written(), written(heard=heard)
    what.windows[:], what.changelog[:] = dropping.windows, dropping.changelog
    report = check(what, RULES)
    assert figures(report) == (0, 2, True, 0), "its window, and the hole that the next one shows"
    assert "trades" in report.offenders["dup_effect"][0]


def test_a_state_that_is_not_the_oracles_is_found() -> None:
    what = written()
    short = BooksCodec(RULES).dump(b"", state_after(frames()[:-2]), len(what.feed))
    what.changelog[:] = records([short])
    report = check(what, RULES)
    assert not report.hash_equal
    assert f"{NAME} at position {len(what.feed)}" in report.offenders["hash_equal"][0]


def test_an_open_window_that_lost_something_is_found() -> None:
    """The books are the same; what is open of a window is not."""
    heard = frames()[:37]
    what = written(heard=heard)
    heard[32] = msgspec.structs.replace(heard[32], items=heard[32].items[:1])
    what.changelog[:] = records([dump(heard)])
    report = check(what, RULES)
    assert not report.hash_equal
    assert report.offenders["hash_equal"][0].endswith(": upcoming")


def test_a_missing_state_is_found() -> None:
    what = written()
    what.changelog.clear()
    assert not check(what, RULES).hash_equal


def test_the_highest_position_is_what_a_recovery_loads() -> None:
    what = written()
    what.changelog.append(Record(0, 1, NAME.encode(), dump(frames()[:20])))
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
    compare_feed(frames_of(what.feed), Truth.read(truth), report)
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


# What a processor never does, and nobody publishes


@pytest.mark.parametrize(
    "closes",
    [lambda start_ms: start_ms // 1_000 % 2, lambda start_ms: start_ms < 1_700_000_003_000],
    ids=["every second one", "none at the end"],
)
def test_windows_that_a_processor_forgot_to_close_are_lost(closes: Callable[[int], bool]) -> None:
    what = written()
    kept = [each for each in what.windows if closes(published_key(each.value or b"").start_ms)]
    what.windows[:] = kept
    report = check(what, RULES)
    assert report.lost == 6 - len(kept)
    assert not report.ok


def without(heard: list[Frame], gone: range) -> list[Frame]:
    """Return the frames of a run that heard nothing for a while: another session follows."""
    before, after = heard[: gone.start - 1], Session("t")
    before[-1].items.append(Disconnected(0, "connection_lost"))
    opening = after.frame(snapshot(gone.stop - 1, gone.stop - 1), at=gone.stop - 1, connects=True)
    later = [after.frame(*messages_at(n), at=n) for n in range(gone.stop, FRAMES)]
    return [*before, opening, *later, after.tick(100)]


def test_what_is_missing_between_two_sessions_is_counted(tmp_path: Path) -> None:
    truth = tmp_path / "truth.log"
    gone = range(31, 36)
    what = written(truth, without(frames(), gone))
    report = check(what, RULES, truth=truth)
    assert report.is_exact, report.to_dict()
    trades = sum(number in gone for number in TRADED)
    assert report.missing == len(gone) + trades
    assert report.compared["published"] == FRAMES - 2 + len(TRADED) - 1
    statuses = [json.loads(each.value or b"")["status"] for each in what.windows]
    assert statuses.count("reconnect") == 1
    # The window of the reconnect; and that from which trades are known to be missing.
    assert report.flagged >= 1
    assert "reconnect" in report.offenders["flagged"][0]
    until = truth.read_bytes().index(snapshot(1, 1)) + 5_000
    short = check(what, RULES, truth=truth, truth_bytes=until)
    assert (short.missing, short.flagged) == (0, 0), "the run had begun to end"


def test_a_complete_window_that_is_not_the_venues_is_found(tmp_path: Path) -> None:
    """All that was written agrees with the feed; but the feed is not what the venue has said."""
    truth = tmp_path / "truth.log"
    what = written(truth)
    lines = truth.read_bytes()
    truth.write_bytes(lines.replace(b'["change",99.5,42.0]', b'["change",99.5,42.5]'))
    report = check(what, RULES, truth=truth)
    assert "not the venue's" in report.offenders["dup_effect"][0]
    assert report.missing == 1


def test_trades_that_never_came_are_lost(tmp_path: Path) -> None:
    path = tmp_path / "truth.log"
    path.write_bytes(b"".join(b"1 " + trade(number, 1) + b"\n" for number in range(1, 8)))
    heard = [Notification(1, trade(number, 1)) for number in (1, 2, 5, 6)]
    frame = Frame(frames()[0].version, NAME, f"book.{NAME}.100ms", "s", 1, list(heard))
    report = Report()
    compare_trades(frames_of(records([encode_frame(frame)])), Truth.read(path), report)
    assert (report.lost, report.compared) == (2, {"trades": 4})
    broken = [*frame.items[:2], Disconnected(1, "closed"), *frame.items[2:]]
    frame = msgspec.structs.replace(frame, items=broken)
    report = Report()
    compare_trades(frames_of(records([encode_frame(frame)])), Truth.read(path), report)
    assert not report.lost, "the session knows that it knows nothing"


def test_a_recovery_that_took_too_long_is_not_ok() -> None:
    assert Report(ttr_s=9.9, ttr_limit_s=10.0).ok
    assert not Report(ttr_s=10.1, ttr_limit_s=10.0).ok
