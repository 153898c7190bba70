"""Instruments over connections: as few as needed, even at first, and nobody is moved."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from app.ingest.connection_assignment import ConnectionAssignment


def loads(places: dict[str, int], channels: dict[str, int]) -> Counter[int]:
    counted: Counter[int] = Counter()
    for name, number in places.items():
        counted[number] += channels[name]
    return counted


def test_what_fits_is_on_one_connection() -> None:
    places = ConnectionAssignment(500).place({f"i{number}": 3 for number in range(131)})
    assert set(places.values()) == {0}


def test_what_does_not_fit_is_spread_evenly_over_as_few_as_it_takes() -> None:
    channels = {f"i{number}": 5 for number in range(131)}
    assert loads(ConnectionAssignment(500).place(channels), channels) == {0: 330, 1: 325}


def test_others_come_and_go_and_nobody_is_moved() -> None:
    spread = ConnectionAssignment(10)
    before = spread.place(dict.fromkeys("abcdefgh", 4))
    assert sorted(Counter(before.values()).values()) == [2, 2, 2, 2]
    after = spread.place(dict.fromkeys("bcdfghijklm", 4))
    for name in "bcdfgh":
        assert after[name] == before[name]
    assert max(loads(after, dict.fromkeys("bcdfghijklm", 4)).values()) <= 10


def test_a_place_that_became_free_is_used_before_a_new_connection() -> None:
    spread = ConnectionAssignment(4)
    before = spread.place(dict.fromkeys("abcd", 2))
    after = spread.place(dict.fromkeys("abce", 2))
    assert after["e"] == before["d"]


def test_an_instrument_with_too_many_channels_has_a_connection_for_itself() -> None:
    places = ConnectionAssignment(4).place({"a": 9, "b": 2, "c": 2})
    assert places["a"] not in (places["b"], places["c"])


steps = st.lists(
    st.dictionaries(st.sampled_from("abcdefghijklmnop"), st.integers(1, 5), max_size=16),
    min_size=1,
    max_size=8,
)


@settings(derandomize=True, deadline=None)
@given(steps=steps)
def test_whatever_comes_and_goes(steps: list[dict[str, int]]) -> None:
    spread, before, known = ConnectionAssignment(10), {}, {}
    for channels in steps:
        places = spread.place(channels)
        assert places.keys() == channels.keys()
        for name in places.keys() & before.keys():
            assert places[name] == before[name]
        grown = {name for name in channels if channels[name] > known.get(name, channels[name])}
        for number, load in loads(places, channels).items():
            if not any(places[name] == number for name in grown):  # who stays may have grown
                assert load <= 10 or load <= loads(before, known)[number]
        before, known = places, channels
