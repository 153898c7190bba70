import json
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exchange.numbers import Raw, encode, format_amount, format_float, format_scaled


@pytest.mark.parametrize(
    ("units", "decimals", "text"),
    [
        (769140, 1, "76914.0"),
        (10002000, 1, "1.0002e6"),
        (3000000, 0, "3.0e6"),
        (83900, 0, "8.39e4"),
        (3700, 0, "3.7e3"),
        (8450, 0, "8450.0"),  # 8.45e3 is as long: the decimal wins
        (999990, 0, "999990.0"),
        (100, 0, "100.0"),
        (1000, 0, "1.0e3"),
        (1423, 7, "1.423e-4"),
        (1, 4, "0.0001"),
        (268205, 2, "2682.05"),
        (-255, 8, "-2.55e-6"),
        (0, 3, "0.0"),
    ],
)
def test_the_shorter_notation_is_written(units: int, decimals: int, text: str) -> None:
    assert format_scaled(units, decimals) == text


@given(st.integers(-(10**15), 10**15), st.integers(0, 12))
def test_a_scaled_number_reads_back_exactly(units: int, decimals: int) -> None:
    assert Decimal(format_scaled(units, decimals)) == Decimal(units).scaleb(-decimals)


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(5e-324)
@example(1.7976931348623157e308)
def test_a_float_reads_back_as_itself(value: float) -> None:
    text = format_float(value)
    assert float(json.loads(text)) == value
    assert "." in text


@given(st.integers(1, 10**15), st.integers(0, 8))
def test_floats_and_scaled_numbers_are_written_alike(units: int, decimals: int) -> None:
    assert format_float(float(Decimal(units).scaleb(-decimals))) == format_scaled(units, decimals)


def test_a_few_whole_amounts_are_bare_integers() -> None:
    texts = [format_amount(units, 0) for units in range(1, 2_000)]
    bare = [text for text in texts if text.isdigit()]
    assert 0 < len(bare) < len(texts) // 50
    assert [Decimal(text) for text in texts] == list(range(1, 2_000))


def test_what_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="nan"):
        format_float(float("nan"))
    with pytest.raises(TypeError, match="set"):
        encode({"a": {1}})


def test_encode_writes_compact_json_with_the_venues_numbers() -> None:
    value = {"a": [1, 83900.0, None, True, "é\n"], "b": Raw("1.0e3")}
    assert encode(value) == '{"a":[1,8.39e4,null,true,"é\\n"],"b":1.0e3}'
