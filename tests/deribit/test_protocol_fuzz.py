"""Whatever the venue sends, in whatever order: a session never raises, and never asks for ever."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from deribit.events import Fatal, GapFound, Notification, Reconnect
from tests.deribit.script import BTC, ETH, Venue, book, heartbeat, notification

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)
field_names = st.sampled_from(
    ["id", "method", "params", "result", "error", "usOut", "channel", "type", "data", "code"]
)
near_messages = st.dictionaries(
    field_names,
    json_values
    | st.sampled_from(["subscription", "heartbeat", BTC, "test_request"])
    | st.dictionaries(field_names, json_values, max_size=4),
    max_size=6,
).map(lambda value: json.dumps(value).encode())
ids = st.integers(0, 6)
books = st.builds(
    lambda channel, change_id, previous_id, data: book(channel, change_id, previous_id, data),
    st.sampled_from([BTC, ETH]),
    ids,
    st.none() | ids,
    st.dictionaries(
        st.sampled_from(["type", "change_id", "instrument_name"]), json_values, max_size=1
    ),
)
answers = st.builds(
    lambda number, body: json.dumps({"id": number, "usOut": 10**15, **body}).encode(),
    st.integers(1, 12),
    st.fixed_dictionaries({"result": json_values})
    | st.just({"result": {"version": "1.2.26"}})
    | st.just({"result": [BTC, ETH]})
    | st.fixed_dictionaries(
        {
            "error": st.fixed_dictionaries(
                {"code": st.sampled_from([10028, 10040, 11050, 11052, 13004, 13778, -32602, 5])},
                optional={"data": json_values | st.just({"channel": BTC})},
            )
        }
    ),
)
messages = (
    st.binary(max_size=200)
    | near_messages
    | books
    | answers
    | st.just(heartbeat("test_request"))
    | st.builds(notification, st.text(max_size=30), json_values)
)
steps = st.lists(messages | st.floats(0, 15), max_size=30)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(steps=steps, is_ready=st.booleans())
def test_anything_may_come(steps: list[Any], is_ready: bool) -> None:
    venue = Venue(BTC, ETH)
    if is_ready:
        venue.ready()
    for step in steps:
        if isinstance(step, bytes):
            venue.says(step)
        else:
            venue.tick(step)  # raises if the session wants to be called for ever
    ends = [event for event in venue.events if isinstance(event, Reconnect | Fatal)]
    assert len(ends) == venue.session.is_over
    assert ends == venue.events[len(venue.events) - len(ends) :]
    assert max(map(len, venue.sent)) < 32_000


@settings(derandomize=True, max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([BTC, ETH]), ids, st.none() | ids), max_size=40))
def test_what_is_handed_on_is_a_chain_from_a_snapshot_or_a_gap_is_marked(
    updates: list[tuple[str, int, int | None]],
) -> None:
    venue = Venue(BTC, ETH).ready()
    last: dict[str, int | None] = {BTC: None, ETH: None}
    for channel, change_id, previous_id in updates:
        for event in venue.says(book(channel, change_id, previous_id)):
            if isinstance(event, GapFound):
                last[event.channel] = None
            elif isinstance(event, Notification) and not event.is_duplicate:
                assert not previous_id or previous_id == last[channel]
                last[channel] = change_id
