"""Renders the board: one table that fits the terminal and always shows the data's quality.

Colour repeats what words and positions say: bids lie left of the middle and are blue, asks right
and orange, so the table reads without colour as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from app.cli.terminal.table import LIVE, MEASURE, NO_ANSWER, Board, Order, Row

BAR_CELLS: Final = 6
"""Width of each half of a bar."""
SPARKS: Final = "▁▂▃▄▅▆▇█"
UNKNOWN: Final = "–"
BIDS, ASKS = "dodger_blue1", "dark_orange"
QUALITY: Final = {
    LIVE: "green",
    "stale": "yellow",
    "resyncing": "yellow",
    "gap": "bold red",
    "recovering": "yellow",
    "waiting": "dim",
    "retired": "dim",
    NO_ANSWER: "bold red",
}
AROUND_ROWS: Final = 6
"""Lines of the header, of the table's own head, and of the footer."""
MEDIUM_CELLS: Final = 96
WIDE_CELLS: Final = 130


class _Column(NamedTuple):
    title: str
    draw: Callable[[Row], Text | str]
    least_cells: int = 0
    """Width of a terminal from which on it is shown."""
    align: str = "right"


def draw(board: Board, now: float, order: Order, width: int, height: int | None) -> RenderableType:
    """Return the board as it is drawn; at most `height` lines, or all rows if that is None."""
    rows = board.rows(now, order)
    shown = rows if height is None else rows[: max(1, height - AROUND_ROWS)]
    table = Table(box=None, pad_edge=False, header_style="dim")
    columns = [column for column in _COLUMNS if width >= column.least_cells]
    for column in columns:
        table.add_column(column.title, justify=column.align, no_wrap=True)  # type: ignore[arg-type]
    for row in shown:
        table.add_row(*(column.draw(row) for column in columns))
    parts: list[RenderableType] = [headline(board, rows, now)]
    parts.append(table if rows else Text("no instrument is known yet", style="dim"))
    if len(shown) < len(rows):
        parts.append(Text(f"… and {len(rows) - len(shown)} more", style="dim"))
    return Group(*parts)


def headline(board: Board, rows: Iterable[Row], now: float) -> Text:
    """Return the line above the table: whose numbers these are, and how good."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.status] = counts.get(row.status, 0) + 1
    line = Text()
    if board.is_simulated:
        line.append(" SIMULATED ", style="reverse bold")
        line.append(" ")
    line.append(board.worker or "connecting")
    for status, count in sorted(counts.items(), key=lambda item: item[0] != LIVE):
        line.append(" · ")
        line.append(f"{count} {status}", style=QUALITY.get(status, ""))
    if board.trouble is not None and board.is_silent(now):
        line.append(f" · {board.trouble}", style=QUALITY[NO_ANSWER])
    return line


def bar(value: float | None) -> Text:
    """Return a ratio from -1 to 1 as a bar: bids grow to the left of the middle, asks right."""
    if value is None:
        return Text(" " * BAR_CELLS + "│" + " " * BAR_CELLS, style="dim")
    cells = min(BAR_CELLS, math.ceil(abs(value) * BAR_CELLS - 0.5))
    left = "█" * cells if value > 0 else ""
    right = "█" * cells if value < 0 else ""
    text = Text()
    text.append(left.rjust(BAR_CELLS), style=BIDS)
    text.append("│", style="dim")
    text.append(right.ljust(BAR_CELLS), style=ASKS)
    return text


def sparkline(values: Iterable[float | None]) -> Text:
    """Return ratios from -1 to 1 as a line of small bars; a blank where one is not known."""
    text = Text()
    for value in values:
        if value is None:
            text.append(" ")
            continue
        step = min(len(SPARKS) - 1, int((value + 1) / 2 * len(SPARKS)))
        text.append(SPARKS[max(0, step)], style=BIDS if value >= 0 else ASKS)
    return text


def age(milliseconds: float | None) -> str:
    """Return an age as a person says it."""
    if milliseconds is None:
        return UNKNOWN
    seconds = milliseconds / 1_000
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.0f} h"


def amount(value: float | None) -> str:
    """Return an amount of USD, signed and short: +1.2M."""
    if value is None:
        return UNKNOWN
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:+.1f}{unit}"
    return f"{value:+.0f}" if value else "0"


def price(value: float | None) -> str:
    """Return a price with the digits that it has."""
    if value is None:
        return UNKNOWN
    text = f"{value:,.8f}"
    return text.rstrip("0").rstrip(".")


def _ratio(name: str) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        value = row.fields.get(name)
        return UNKNOWN if value is None else f"{value:+.2f}"

    return cell


def _amount(name: str) -> Callable[[Row], str]:
    return lambda row: amount(row.fields.get(name))


def _spread(row: Row) -> str:
    value: Any = row.fields.get("spread_bp")
    return UNKNOWN if value is None else f"{value:.2f}"


def _quality(row: Row) -> Text:
    return Text(row.status, style=QUALITY.get(row.status, ""))


_COLUMNS: Final = (
    _Column("instrument", lambda row: row.instrument, align="left"),
    _Column("quality", _quality, align="left"),
    _Column("age", lambda row: age(row.age_ms)),
    _Column("mid", lambda row: price(row.fields.get("mid"))),
    _Column("spread bp", _spread, WIDE_CELLS),
    _Column("bids │ asks ", lambda row: bar(row.fields.get(MEASURE)), align="left"),
    _Column("10 levels", _ratio(MEASURE)),
    _Column("1 level", _ratio("imbalance_1"), MEDIUM_CELLS),
    _Column("last 30 s", lambda row: sparkline(row.past), WIDE_CELLS, align="left"),
    _Column("OFI $", _amount("ofi_usd"), MEDIUM_CELLS),
    _Column("trades $", _amount("trade_flow_usd"), WIDE_CELLS),
)
