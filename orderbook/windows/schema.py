"""The fields of a window record in their order, each with type, unit, value, and what it is not.

`python -m orderbook.windows.schema` prints the tables that stand in docs/measures.md; a test
compares them, and the names with those of a window, so that no field is without its definition.
The answers of the API are checked by the same types.
"""

from __future__ import annotations

from collections.abc import Iterator

from orderbook.book.depth_bands import BANDS_BP
from orderbook.book.top_levels import LEVELS
from orderbook.windows.field_types import Field, Group
from orderbook.windows.fields import GROUPS


def fields() -> Iterator[tuple[str, Field]]:
    """Yield the fields of a record in its order, each with its name and its definition."""
    for group in GROUPS:
        for run in _runs(group.fields):
            yield from _expanded(run)


def names(*, hopping: bool = False) -> list[str]:
    """Return the names of a record's fields, in its order."""
    return [name for name, field in fields() if hopping or not field.is_optional]


def markdown() -> str:
    """Return all groups as tables, one after another."""
    return "\n".join("\n".join(_table(group)) for group in GROUPS)


def _runs(fields: tuple[Field, ...]) -> Iterator[list[Field]]:
    """Yield fields that alternate: those that are named for the same set of levels or bands."""
    run: list[Field] = []
    for field in fields:
        if run and _pattern(run[-1]) != _pattern(field):
            yield run
            run = []
        run.append(field)
    yield run


def _pattern(field: Field) -> tuple[bool, bool, bool]:
    return "_N_" in field.name, "_Xbp_" in field.name, field.name.startswith("SIDE")


def _expanded(run: list[Field]) -> Iterator[tuple[str, Field]]:
    by_levels, by_bands, by_side = _pattern(run[0])
    places = [str(count) for count in LEVELS] if by_levels else [f"{bp}bp" for bp in BANDS_BP]
    for place in places if by_levels or by_bands else [""]:
        for field in run:
            for side in ("bid", "ask") if by_side else ("",):
                name = field.name.replace("_N_", f"_{place}_").replace("_Xbp_", f"_{place}_")
                yield name.replace("SIDE", side), field


def _table(group: Group) -> Iterator[str]:
    yield f"**{group.name}**\n"
    yield "| field | unit | value | it is not | source |\n|---|---|---|---|---|"
    for field in group.fields:
        name = field.name.replace("SIDE", "bid")
        shown = f"`{name}`" + (", `ask_…`" if field.name.startswith("SIDE") else "")
        yield f"| {shown} | {field.unit} | {field.value} | {field.is_not} | {field.source} |"
    yield ""


if __name__ == "__main__":
    print(markdown(), end="")
