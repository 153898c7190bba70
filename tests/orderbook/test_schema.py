"""Every field of a window has its definition in docs/measures.md; and each there is a field."""

from pathlib import Path

import pytest

from models.answers import Window
from orderbook.windows.fields import GROUPS
from orderbook.windows.schema import markdown, names
from tests.orderbook.market import SECOND, Market
from tests.reference.windows import published, reference_windows

MEASURES = Path(__file__).parents[2] / "docs" / "measures.md"


def test_the_tables_of_the_document_are_those_of_the_code():
    """Renew them with `python -m orderbook.windows.schema`."""
    text = MEASURES.read_text()
    assert markdown().strip() in text
    assert text.count("| field | unit |") == len(GROUPS)


@pytest.mark.parametrize("hopping", [False, True])
def test_the_names_are_those_of_a_window_in_its_order(hopping):
    market = Market((SECOND, 500) if hopping else SECOND)
    market.book(0, [(99, 5)], [(101, 5)])
    [*_, window] = market.tick(SECOND)
    assert list(window) == names(hopping=hopping)


def test_the_answer_of_the_views_has_the_same_fields():
    assert list(Window.model_fields) == names(hopping=True)


def test_the_reference_gives_the_same_fields():
    snapshot = (
        b'{"method":"subscription","params":{"channel":"book.X-PERPETUAL.raw","data":{"timestamp":0,'
        b'"type":"snapshot","change_id":1,"instrument_name":"X-PERPETUAL","bids":[],"asks":[]}}}'
    )
    items = [("connected", 0), ("message", 0, snapshot), ("tick", 5_000, 0)]
    options = {"instrument": "X-PERPETUAL", "channel": "book.X-PERPETUAL.raw"}
    for window in reference_windows(items, lengths_ms=[SECOND], hopping=[(SECOND, 500)], **options):
        assert list(published(window)) == names(hopping="hop_ms" in window)


def test_every_field_says_its_unit_and_its_value():
    for group in GROUPS:
        for field in group.fields:
            assert field.unit, field.name
            assert field.value, field.name
            assert "|" not in field.value.replace("|w_l|", ""), "would end the table's cell"
