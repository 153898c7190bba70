"""Progress of reading a file, on stderr, and only where somebody looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from app.recordings.unpacking import Damage

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


def saying_damage(console: Console) -> Callable[[Damage], None]:
    """Return what tells a person what of a recording is not whole."""

    def on_damage(damage: Damage) -> None:
        console.print("[yellow]damaged:[/]", end=" ")
        what = "nothing is lost" if damage.is_padding else "what is whole beside it is used"
        console.print(f"{damage}; {what}", markup=False)

    return on_damage
