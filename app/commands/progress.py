"""Progress of reading a file, on stderr, and only where somebody looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

UPDATE_LINES: Final = 2_000


@contextmanager
def reading(path: Path, console: Console) -> Iterator[Callable[[int], None]]:
    """Yield a function that is told the bytes of each line read; it draws at most now and then."""
    lines = total = 0
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(path.name, total=None, said="")

        def on_bytes(count: int) -> None:
            nonlocal lines, total
            lines += 1
            total += count
            if lines % UPDATE_LINES == 0:
                said = f"{lines:,} messages, {total / 1e6:,.1f} MB"
                progress.update(task, said=said)

        yield on_bytes


def saying_torn(console: Console) -> Callable[[str], None]:
    """Return what tells a person that a recording ends in the middle."""

    def on_torn(what: str) -> None:
        console.print("[yellow]torn:[/]", end=" ")
        console.print(f"{what}; what is whole before that is used", markup=False)

    return on_torn
