"""A row that is pushed has the bytes of the one that an answer is made of."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from app.api.envelope import encode, encode_row, row_of
from tests.api.recorded import RecordedServing, live_of

NOW_MS = 1_000_500
STATE = live_of(
    'an "Ä"',
    change_id=1 << 60,
    venue_ts_ms=None,
    clock_ms=1_000_000,
    received_ms=1_000_000,
    published_ms=1_000_100,
    best_bid=0.1,
    mid=1e300,
    imbalance_1=-0.0,
    current_funding=5e-324,
)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"received_ms": NOW_MS + 5},  # two machines' clocks
        {"received_ms": NOW_MS - 1_000_000},  # stale, though its own word is live
        {"received_ms": 0},
        {"published_ms": 0},
        {"status": "retired", "best_bid": None, "mid": None},
        {"best_bid": 1.7e308, "mid": 1.7e308},  # finite, their sum is not
    ],
)
def test_a_row_has_the_same_bytes_either_way(changed: dict[str, Any]) -> None:
    serving = RecordedServing()
    serving.clock_ms = NOW_MS
    state = msgspec.structs.replace(STATE, **changed)
    assert encode_row(serving, state, NOW_MS) == encode(row_of(serving, state, NOW_MS))


@pytest.mark.parametrize("name", ["best_bid", "imbalance_50bp", "trade_flow_usd", "funding_8h"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_a_fault(name: str, value: float) -> None:
    serving = RecordedServing()
    serving.clock_ms = NOW_MS
    with pytest.raises(ValueError, match=f"{name}: .* is not a JSON number"):
        encode_row(serving, msgspec.structs.replace(STATE, **{name: value}), NOW_MS)
