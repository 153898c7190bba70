"""The newest of each key is what a client is owed, whatever it has missed (a property)."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from app.push.events import events_of
from app.push.latest import ALL, STATES, Key, Latest, interest, wants

KEYS = [Key(STATES, name) for name in "ABC"] + [Key("1s", name) for name in "AB"]
puts = st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 99)), max_size=60)


@settings(deadline=None)  # a busy machine takes its time
@given(puts=puts, reads=st.sets(st.integers(0, 60)))
def test_whenever_a_client_reads_it_ends_with_the_last_of_each(puts, reads) -> None:
    latest, given_to, seen = Latest(), 0, {}
    for number, (key, value) in enumerate(puts):
        latest.put(key, b"%d" % value)
        if number in reads:
            owed = latest.newer(given_to)
            assert len(owed) <= len(KEYS)
            seen |= {message.key: message.payload for message in owed}
            given_to = latest.number
    seen |= {message.key: message.payload for message in latest.newer(given_to)}
    assert seen == {key: b"%d" % value for key, value in puts}
    assert len(latest) == len(seen)


@settings(deadline=None)
@given(puts=puts)
def test_what_is_owed_is_in_order_and_each_key_once(puts) -> None:
    latest = Latest()
    for key, value in puts:
        latest.put(key, b"%d" % value)
    numbers = [message.number for message in latest.newer(0)]
    assert numbers == sorted(set(numbers))
    assert [m.number for m in latest.newer(latest.number // 2)] == [
        number for number in numbers if number > latest.number // 2
    ]


def test_a_channel_that_is_forgotten_is_owed_to_nobody() -> None:
    latest = Latest()
    for key in KEYS:
        latest.put(key, b"1")
    latest.forget("1s")
    assert [message.key for message in latest.newer(0)] == KEYS[:3]


def test_interest() -> None:
    everything = interest([STATES, "1s"], None)
    assert everything == {Key(STATES, ALL), Key("1s", ALL)}
    assert all(wants(everything, key) for key in KEYS)
    assert not wants(everything, Key("10s", "A"))
    one = interest(["1s"], ["A"])
    assert [key for key in KEYS if wants(one, key)] == [Key("1s", "A")]


def test_events_carry_what_is_gone_only_to_those_who_had_it() -> None:
    latest = Latest()
    latest.put(Key(STATES, "A"), b'{"instrument":"A"}')
    latest.put(Key(STATES, "B"), None)
    for whole, gone in ((True, []), (False, ["B"])):
        (event,) = events_of(latest.newer(0), as_of_ms=5, worker="w", whole=whole)
        assert json.loads(event.data) == {
            "type": "states",
            "as_of_ms": 5,
            "worker": "w",
            "whole": whole,
            "states": [{"instrument": "A"}],
            "gone": gone,
        }
