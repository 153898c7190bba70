"""Silence: heartbeats are no data, and what is long for one instrument is nothing for another."""

from __future__ import annotations

import json
import random

from app.processing.processor import Rules
from app.processing.staleness import LEARNING_TICKS, REMEMBERED_MS, StalenessDetector
from tests.processing.market import Market
from tests.reference.silence import Silences

SECOND = 1_000


def heard(silence: StalenessDetector, seconds: int, every: int = 1, from_s: int = 0) -> int:
    """Tick each second, with a message in every so many of them; return the next second."""
    for second in range(from_s, from_s + seconds):
        if second % every == 0:
            silence.hear()
        assert not silence.tick(second * SECOND)
    return from_s + seconds


def silent_at(silence: StalenessDetector, from_s: int, seconds: int = 3_600) -> int | None:
    """Return after how many ticks without a message the silence is too long."""
    for second in range(from_s, from_s + seconds):
        if silence.tick(second * SECOND):
            return second - from_s + 1
    return None


def test_a_busy_instrument_is_silent_after_three_seconds() -> None:
    silence = StalenessDetector()
    assert silent_at(silence, heard(silence, 60)) == 3


def test_a_still_instrument_may_be_silent_for_three_times_its_longest_silence() -> None:
    silence = StalenessDetector()
    now = heard(silence, 300, every=54)
    assert silent_at(silence, now) == 3 * 53 - 299 % 54


def test_an_instrument_that_is_always_still_is_not_stale_for_a_minute_of_silence() -> None:
    market = Market()
    for second in range(300):
        if second % 54 == 0:
            market.book(second * SECOND)
        market.tick(second * SECOND)
        assert market.processor.status == "live", second


def test_long_silences_are_forgotten_after_ten_minutes() -> None:
    silence = StalenessDetector()
    now = heard(silence, 120, every=20)
    now = heard(silence, REMEMBERED_MS // SECOND + 20, from_s=now)
    assert silent_at(silence, now) == 3


def test_a_session_is_not_judged_at_once() -> None:
    silence = StalenessDetector()
    for start in (0, 10_000):
        silence.connect()
        now = heard(silence, LEARNING_TICKS, from_s=start)  # of which the first does not count
        assert silent_at(silence, now) is None
    silence.connect()
    assert silent_at(silence, heard(silence, LEARNING_TICKS + 1, from_s=20_000)) == 3


def test_a_record_holds_all_that_the_future_depends_on() -> None:
    silence = StalenessDetector()
    now = heard(silence, 100, every=7)
    restored = StalenessDetector()
    restored.restore(json.loads(json.dumps(silence.to_record())))
    assert silent_at(restored, now) == silent_at(silence, now)
    assert restored.to_record() == silence.to_record()


def test_the_reference_finds_the_same_silences() -> None:
    found = 0
    for seed in range(400):
        drawn = random.Random(seed)
        ours, theirs, now = StalenessDetector(), Silences(), 10**12
        activity = drawn.random()
        for _ in range(drawn.randrange(80)):
            what = drawn.random()
            if what < 0.03:
                ours.connect()
                theirs.connected()
            elif what < activity:
                ours.hear()
                theirs.message()
            else:
                odd = [1_001, 1_500, 3_000, -500, -20_000, 100_000, 400_000]
                now += drawn.choice(odd) if drawn.random() < 0.3 else SECOND
                is_silent = ours.tick(now)
                assert is_silent == theirs.tick(now), seed
                found += is_silent
    assert found > 50


# Through the processor


def test_heartbeats_without_data_make_a_busy_instrument_stale_within_five_seconds() -> None:
    market = Market(Rules((SECOND,), 250, 3_000))
    for second in range(10):
        market.book(second * SECOND + 10)
        market.tick(second * SECOND + 900)
        assert market.processor.status == "live"
    statuses = []
    windows = []
    for second in range(10, 20):
        windows += market.tick(second * SECOND + 900).windows
        statuses.append(market.processor.status)
    assert statuses == ["live"] * 2 + ["stale"] * 8  # the last message came at 9.01 s
    assert market.processor.counts["silences"] == 1
    assert {w["status"] for w in windows[-3:]} == {"stale"}
    market.book(20 * SECOND)
    market.tick(20 * SECOND + 900)
    assert market.processor.status == "live"


def test_any_channel_of_the_instrument_is_a_sign_of_life() -> None:
    market = Market()
    for second in range(60):
        if second < 10:
            market.book(second * SECOND)
        market.ticker(second * SECOND, mark_price=100.0)
        market.tick(second * SECOND + 900)
        assert market.processor.status == "live"


def test_a_setting_of_more_patience_with_the_socket_does_not_hide_silence() -> None:
    market = Market(Rules((SECOND,), 250, 600_000))
    for second in range(10):
        market.book(second * SECOND)
        market.tick(second * SECOND + 900)
    for second in range(10, 14):
        market.tick(second * SECOND + 900)
    assert market.processor.status == "stale"
