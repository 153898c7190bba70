"""A window's record says by itself what it is filed under."""

import pytest

from models.closed import ClosedWindow
from models.window import decode_window, encode_window

KEY = {"instrument": "BTC-PERPETUAL", "length_ms": 10_000, "start_ms": 5_000}


def test_the_hop_of_a_window_that_does_not_overlap_is_its_length() -> None:
    value = encode_window(KEY | {"mid_open": None})
    assert decode_window(value) == ClosedWindow("BTC-PERPETUAL", 10_000, 10_000, 5_000, value)


def test_a_window_that_overlaps_has_its_own_hop() -> None:
    value = encode_window(KEY | {"hop_ms": 1_000})
    assert decode_window(value).hop_ms == 1_000


@pytest.mark.parametrize(
    "value", [b"", b"{}", b"[1]", b'{"instrument":"\xff"}', b'{"length_ms":"1s"}']
)
def test_what_is_no_window_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - bytes that are no text have words of their own
        decode_window(value)
