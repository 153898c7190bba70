"""The newest of each key is what a client is owed, whatever it has missed (a property)."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from app.api.push.conflation import ALL, RECENT_MOST, STATES, Key, Latest, interest, wants
from app.api.push.events import events_of

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
            states = [message.key for message in owed if message.key.channel == STATES]
            assert len(states) == len(set(states))
            seen |= {message.key: message.payload for message in owed}
            given_to = latest.number
    seen |= {message.key: message.payload for message in latest.newer(given_to)}
    assert seen == {key: b"%d" % value for key, value in puts}
    assert len(latest) == len(seen)


@settings(deadline=None)
@given(puts=puts)
def test_what_is_owed_is_in_order_and_newer_than_what_was_given(puts) -> None:
    latest = Latest()
    for key, value in puts:
        latest.put(key, value)
    whole = latest.newer(0)
    assert len({message.key for message in whole}) == len(whole)
    for given_to in (0, latest.number // 2):
        numbers = [message.number for message in latest.newer(given_to)]
        assert numbers == sorted(set(numbers))
        assert all(number > given_to for number in numbers)
        assert {each.number for each in whole if each.number > given_to} <= set(numbers)


@settings(deadline=None)
@given(puts=puts, reads=st.sets(st.integers(0, 60)))
def test_who_takes_what_was_sent_within_a_second_misses_no_window(puts, reads) -> None:
    latest, given_to, seen = Latest(now=lambda: 5.0), 0, []
    latest.put(Key("1s", "A"), b"first")  # a client that comes now is not given what was before
    given_to = latest.number
    for number, (key, value) in enumerate(puts):
        latest.put(key, b"%d" % value)
        if number in reads:
            seen += latest.newer(given_to)
            given_to = latest.number
    seen += latest.newer(given_to)
    windows = [(message.key, message.payload) for message in seen if message.key.channel == "1s"]
    assert windows == [(key, b"%d" % value) for key, value in puts if key.channel == "1s"]


def test_who_is_slower_gets_the_last_windows_only() -> None:
    now_s = [10.0]
    latest = Latest(now=lambda: now_s[0])
    key = KEYS[3]
    latest.put(key, b"given")
    given_to = latest.number
    for at_s, value in ((11.0, b"1"), (11.2, b"2"), (12.1, b"3"), (13.15, b"4")):
        now_s[0] = at_s
        latest.put(key, value)
    # 1 was replaced at 11.2 and 2 at 12.1, more than a second before the last came.
    assert [message.payload for message in latest.newer(given_to)] == [b"3", b"4"]
    assert [message.payload for message in latest.newer(0)] == [b"4"], "who is new, the last"


def test_windows_of_a_backlog_are_not_kept_without_end() -> None:
    latest = Latest(now=lambda: 5.0)
    for number in range(RECENT_MOST + 100):
        latest.put(KEYS[3], b"%d" % number)
    assert len(latest.newer(1)) == RECENT_MOST + 1


def test_a_channel_that_is_forgotten_is_owed_to_nobody() -> None:
    latest = Latest()
    for key in KEYS:
        latest.put(key, b"1")
        latest.put(key, b"2")
    latest.forget("1s")
    assert [message.key for message in latest.newer(0)] == KEYS[:3]
    assert {message.key for message in latest.newer(1)} <= set(KEYS[:3])


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
