"""State records: nothing but what was packed is ever unpacked."""

from __future__ import annotations

import pytest

from faust_exact.state_record import BadRecord, pack, position_of, unpack

PAYLOAD = b'{"book": [1, 2, 3]}' * 20


def test_what_is_packed_is_unpacked() -> None:
    record = pack(3, 12_345_678_901, PAYLOAD)
    assert unpack(record, 3) == (12_345_678_901, PAYLOAD)
    assert position_of(record) == 12_345_678_901


def test_another_version_is_refused() -> None:
    with pytest.raises(BadRecord, match="version 2, this release reads 3"):
        unpack(pack(2, 1, PAYLOAD), 3)


def test_no_byte_can_change_unnoticed() -> None:
    record = pack(1, 77, PAYLOAD)
    for place in range(len(record)):
        for bit in (0x01, 0x80):
            damaged = bytearray(record)
            damaged[place] ^= bit
            with pytest.raises(BadRecord):
                unpack(bytes(damaged), 1)


@pytest.mark.parametrize("length", [0, 3, 16, 17, 40])
def test_a_truncated_record_is_refused(length: int) -> None:
    with pytest.raises(BadRecord):
        unpack(pack(1, 77, PAYLOAD)[:length], 1)


def test_other_bytes_have_no_position() -> None:
    with pytest.raises(BadRecord, match="starts with"):
        position_of(b'{"this": "is JSON, and long enough"}')
