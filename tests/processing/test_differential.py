"""The product and the reference, written apart, publish the same bytes for any feed.

`HYPOTHESIS_PROFILE=thorough` draws fifty times as many feeds, other ones each time.
"""

import json
import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.processing.feeds import (
    INVERSE,
    LINEAR,
    Run,
    Venue,
    Writer,
    as_reference,
    reference,
    rules,
    steps,
    unit_of,
)

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
profile = settings(
    max_examples=5_000 if THOROUGH else 100,
    derandomize=not THOROUGH,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
markets = st.sampled_from([INVERSE, LINEAR])
graces = st.sampled_from([250, 0, 1_000])
sizes = st.lists(st.integers(1, 9), min_size=1, max_size=5)


def differences(ours, theirs):
    """Name the first field that differs, for a readable failure."""
    for mine, other in zip(ours, theirs, strict=False):
        if mine != other:
            left, right = json.loads(mine), json.loads(other)
            fields = {name: (left[name], right[name]) for name in left if left[name] != right[name]}
            span = f"{left['length_ms']} ms every {left.get('hop_ms', left['length_ms'])} ms"
            return f"{span} at {left['start_ms']}: product, reference: {fields}"
    return f"{len(ours)} windows, {len(theirs)} in the reference"


def feed(market, lengths, steps):
    """A snapshot of both sides, the drawn steps, and a tick that closes what can be closed."""
    return Venue(market, unit_of(lengths)).play([("snapshot", 0, 59_048), *steps, ("tick", 9, 2)])


@profile
@given(steps, markets, rules, graces, sizes)
def test_published_windows_equal_the_references_byte_for_byte(steps, market, lengths, grace, sizes):
    items = feed(market, lengths, steps)
    run = Run(market, lengths, grace).feed(Writer(market).frames(items, sizes))
    expected = reference(market, items, lengths, grace)
    assert run.published() == expected, differences(run.published(), expected)


@profile
@given(steps, markets, rules, sizes, sizes, st.integers(0, 60))
def test_frames_split_otherwise_and_a_recovery_anywhere_change_nothing(
    steps, market, lengths, sizes, other_sizes, crash
):
    items = feed(market, lengths, steps)
    whole = Run(market, lengths, 250).feed(Writer(market).frames(items, sizes))
    frames = Writer(market).frames(items, other_sizes)
    recovered = Run(market, lengths, 250).feed(frames[:crash]).recover().feed(frames[crash:])
    assert recovered.published() == whole.published()
    assert recovered.refused == whole.refused
    assert recovered.processor.to_record() == whole.processor.to_record() or (
        # Only the number of frames may differ.
        recovered.processor.instrument.to_record() == whole.processor.instrument.to_record()
        and recovered.processor.counts == whole.processor.counts
    )


@profile
@given(steps, markets, rules, sizes, st.sets(st.integers(0, 60), max_size=4), st.integers(0, 60))
def test_a_lost_frame_is_a_gap_and_a_repeated_or_belated_one_is_nothing(
    steps, market, lengths, sizes, lost, repeated
):
    """What the feed lacks is a gap where the next frame shows it, for the reference too."""
    frames = Writer(market).frames(feed(market, lengths, steps), sizes)
    sent, items, is_missing, session = [], [], False, ""
    for place, frame in enumerate(frames):
        if place in lost and frame.sequence:
            is_missing = True
            if type(frame.items[0]).__name__ == "Connected":
                items.append(as_reference(frame.items[0]))  # the session shows by its name
            continue
        if not frame.sequence and frame.session != session:
            sent.append(frame)  # a tick of a session of which nothing has come concerns nobody
            continue
        session = frame.session
        if frame.sequence and is_missing:
            items.append(("gap", 0, market.channel, None, None))
            is_missing = False
        items += map(as_reference, frame.items)
        sent.append(frame)
        if frame.sequence and sent and place % 7 == repeated % 7:
            earlier = [one for one in sent if one.sequence]
            sent.append(earlier[repeated % len(earlier)])
    run = Run(market, lengths, 250).feed(sent)
    expected = reference(market, items, lengths, 250)
    assert run.published() == expected, differences(run.published(), expected)
