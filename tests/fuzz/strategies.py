"""Hypothesis strategies for messages that are almost right, so that a failure is shrunk."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.generate import ODD_VALUES, encode, places, templates

MAX_DAMAGES = 3

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
# A copy: what is drawn is damaged further, and must not be the next case's too.
odd_values = st.sampled_from(ODD_VALUES).map(copy.deepcopy) | json_values


@st.composite
def near_valid_messages(draw: st.DrawFn) -> bytes:
    """A right message with up to three values replaced by odd ones, or taken away."""
    value: Any = json.loads(json.dumps(draw(st.sampled_from(templates()))))
    for _ in range(draw(st.integers(1, MAX_DAMAGES))):
        found = places(value)
        if not found:
            break
        parent, key = found[draw(st.integers(0, len(found) - 1))]
        if draw(st.booleans()):
            parent[key] = draw(odd_values)
        else:
            del parent[key]
    return encode(value)


@st.composite
def damaged_texts(draw: st.DrawFn) -> bytes:
    """A right message with some bytes replaced by any others."""
    text = encode(draw(st.sampled_from(templates())))
    at = draw(st.integers(0, len(text)))
    until = draw(st.integers(at, min(len(text), at + 16)))
    return text[:at] + draw(st.binary(max_size=16)) + text[until:]


any_messages = near_valid_messages() | damaged_texts() | st.binary(max_size=200)
