"""The board: what is shown of a stream, and that it never looks better than it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rich.console import Console

from app.cli.terminal.rendering import age, amount, bar, draw, price, sparkline
from app.cli.terminal.sse import Event
from app.cli.terminal.table import NO_ANSWER, SPARK_POINTS, Board, Order

AS_OF_MS = 1_795_399_572_713
NAMES = ("BTC-PERPETUAL", "ETH-PERPETUAL", "SOL_USDC-PERPETUAL")


def state(name: str, **fields: Any) -> dict[str, Any]:
    row = {
        "instrument": name,
        "status": "live",
        "simulated": False,
        "heard_ms": AS_OF_MS - 100,
        "mid": 76_880.25,
        "spread_bp": 0.065,
        "imbalance_1": 0.5,
        "imbalance_10": -0.25,
        "ofi_usd": 38_100.0,
        "trade_flow_usd": None,
    }
    return row | fields


def states(*rows: dict[str, Any], as_of_ms: int = AS_OF_MS, **more: Any) -> Event:
    message = {"type": "states", "as_of_ms": as_of_ms, "worker": "worker-1", "states": rows}
    return Event(
        "states", json.dumps({"whole": False, "gone": [], **message, **more}).encode(), "1"
    )


def heartbeat(as_of_ms: int) -> Event:
    message = {"type": "heartbeat", "as_of_ms": as_of_ms, "worker": "worker-1"}
    return Event("heartbeat", json.dumps(message).encode(), None)


def board_of(*rows: dict[str, Any]) -> Board:
    board = Board()
    board.apply(states(*rows, whole=True), 10.0)
    return board


def text_of(board: Board, now: float, width: int = 160, height: int | None = None) -> str:
    console = Console(width=width, color_system=None, force_terminal=False, highlight=False)
    with console.capture() as captured:
        console.print(draw(board, now, Order.INSTRUMENT, width, height))
    return captured.get()


def test_rows_are_replaced_added_and_forgotten() -> None:
    board = board_of(*(state(name) for name in NAMES[:2]))
    board.apply(states(state(NAMES[0], mid=1.5), state(NAMES[2]), gone=[NAMES[1]]), 11.0)
    rows = {row.instrument: row for row in board.rows(11.0)}
    assert sorted(rows) == [NAMES[0], NAMES[2]]
    assert rows[NAMES[0]].fields["mid"] == 1.5
    board.apply(states(state(NAMES[1]), whole=True), 12.0)
    assert [row.instrument for row in board.rows(12.0)] == [NAMES[1]]


def test_ages_go_on_between_events() -> None:
    board = board_of(state(NAMES[0]), state(NAMES[1], heard_ms=None))
    first, unknown = board.rows(10.5)
    assert first.age_ms == pytest.approx(600)
    assert unknown.age_ms is None
    board.apply(heartbeat(AS_OF_MS + 1_000), 11.0)
    assert board.rows(11.0)[0].age_ms == pytest.approx(1_100)


def test_a_silent_worker_is_not_believed() -> None:
    board = board_of(state(NAMES[0]))
    assert board.rows(12.9)[0].status == "live"
    assert board.rows(13.1)[0].status == NO_ANSWER
    board.trouble = "Connection refused"
    assert "1 no answer" in text_of(board, 13.1)
    assert "Connection refused" in text_of(board, 13.1)
    assert "live" not in text_of(board, 13.1)
    board.apply(heartbeat(AS_OF_MS + 4_000), 14.0)
    assert board.rows(14.0)[0].status == "live"
    assert "refused" not in text_of(board, 14.0)


def test_orders_put_what_is_worth_a_look_first() -> None:
    board = board_of(
        state(NAMES[0], imbalance_10=0.1, ofi_usd=None, heard_ms=AS_OF_MS - 50, status="gap"),
        state(NAMES[1], imbalance_10=-0.9, ofi_usd=5.0, heard_ms=AS_OF_MS - 900),
        state(NAMES[2], imbalance_10=None, ofi_usd=-9.0, heard_ms=None, status="waiting"),
    )

    def order(by: Order) -> list[int]:
        return [NAMES.index(row.instrument) for row in board.rows(10.0, by)]

    assert order(Order.INSTRUMENT) == [0, 1, 2]
    assert order(Order.IMBALANCE) == [1, 0, 2]
    assert order(Order.OFI) == [2, 1, 0]
    assert order(Order.AGE) == [1, 0, 2]
    assert order(Order.QUALITY) == [2, 0, 1]


def test_the_past_is_one_value_a_second_and_blank_where_not_live() -> None:
    board = board_of(state(NAMES[0], imbalance_10=0.5))
    for tenth in range(25):
        board.sample(10.0 + tenth / 10)
    assert board.rows(12.4)[0].past == (0.5, 0.5, 0.5)
    board.apply(states(state(NAMES[0], status="gap")), 12.5)
    board.sample(13.5)
    board.sample(20.0)
    assert board.rows(20.0)[0].past == (0.5, 0.5, 0.5, None, None)
    for second in range(100):
        board.sample(21.0 + second)
    assert len(board.rows(121.0)[0].past) == SPARK_POINTS


def test_the_table_says_what_is_simulated_unknown_and_left_out() -> None:
    nothing = {"mid": None, "spread_bp": None, "imbalance_1": None, "imbalance_10": None}
    board = board_of(
        state(NAMES[0], simulated=True),
        state(NAMES[1], status="waiting", heard_ms=None, ofi_usd=None, **nothing),
        state(NAMES[2]),
    )
    text = text_of(board, 10.0)
    assert "SIMULATED" in text
    assert "2 live · 1 waiting" in text
    row = next(line for line in text.splitlines() if line.startswith(NAMES[1]))
    assert row.split()[1:5] == ["waiting", "–", "–", "–"]
    assert "0.00" not in row
    cut = text_of(board, 10.0, height=8)
    assert NAMES[2] not in cut
    assert "… and 1 more" in cut


@pytest.mark.parametrize("width", [80, 100, 160])
def test_no_row_is_cut_at_any_width(width: int) -> None:
    long = "POL_USDC-PERPETUAL"
    board = board_of(state(long, status="recovering", mid=0.00001234, ofi_usd=-123_456_789.0))
    lines = text_of(board, 10.0, width=width).splitlines()
    assert all(len(line) <= width for line in lines)
    assert "…" not in "".join(lines)
    assert long in lines[2]
    assert "recovering" in lines[2]


@pytest.mark.parametrize(
    ("value", "drawn"),
    [
        (None, "      │      "),
        (0.0, "      │      "),
        (1.0, "██████│      "),
        (-1.0, "      │██████"),
        (0.5, "   ███│      "),
        (-0.01, "      │      "),
    ],
)
def test_bids_grow_to_the_left_asks_to_the_right(value: float | None, drawn: str) -> None:
    assert bar(value).plain == drawn


def test_sparks_rise_with_bids_and_leave_blanks() -> None:
    assert sparkline([-1.0, -0.5, None, 0.0, 0.99, 1.0]).plain == "▁▃ ▅██"


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(None, "–"), (40, "0.0 s"), (9_940, "9.9 s"), (59_000, "59 s"), (600_000, "10 min")],
)
def test_ages_as_a_person_says_them(milliseconds: float | None, text: str) -> None:
    assert age(milliseconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (-12.4, "-12"),
        (38_100.0, "+38.1k"),
        (-2.5e6, "-2.5M"),
        (3e9, "+3.0B"),
    ],
)
def test_amounts_are_short_and_signed(value: float | None, text: str) -> None:
    assert amount(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (76_880.25, "76,880.25"), (1.0, "1"), (0.00001234, "0.00001234")],
)
def test_prices_have_the_digits_they_have(value: float | None, text: str) -> None:
    assert price(value) == text
