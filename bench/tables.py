"""Figures as tables in Markdown, for the terminal and for docs/performance.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

Result = dict[str, Any]
Column = tuple[str, str | Callable[[Result], Any]]
"""A heading, and a field of the result or what makes the cell of it."""


def table_of(report: Result) -> str:
    """Return the table of a part's report."""
    return table(report["part"], report["results"])


def table(part: str, results: Sequence[Result]) -> str:
    """Return the table of a part's results."""
    if part in {"replay", "peers"}:
        return throughput(results)
    return _columns(COLUMNS[part], results)


def throughput(results: Sequence[Result]) -> str:
    """Replay through Kafka, whoever does it; ratios are to Steelyard with one worker of a core."""
    own = {
        result["log"]: result["changes_per_s"]
        for result in results
        if result["who"] == "Steelyard" and result["workers"] == 1 and not result.get("percent")
    }

    def ratio(result: Result) -> str | None:
        if result["log"] not in own or not result["changes_per_s"]:
            return None
        times = own[result["log"]] / result["changes_per_s"]
        return f"{times:.2g}× as fast" if times < 10 else f"{times:,.0f}× as fast"

    return _columns([*THROUGHPUT, ("Steelyard, 1 worker, is", ratio), *COSTS], results)


def markdown(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table; absent figures are a dash."""
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    lines += (" | ".join("–" if cell is None else str(cell) for cell in row) for row in rows)
    return "\n".join(f"| {line} |" for line in lines)


def number(value: float | None) -> str | None:
    """Return a figure with its thousands apart."""
    return None if value is None else f"{value:,.0f}"


def _columns(columns: Sequence[Column], results: Sequence[Result]) -> str:
    rows = [[r.get(of) if isinstance(of, str) else of(r) for _, of in columns] for r in results]
    return markdown([head for head, _ in columns], rows)


def _count(field: str) -> Callable[[Result], str | None]:
    return lambda result: number(result.get(field))


def _rate(field: str) -> Callable[[Result], str | None]:
    return lambda result: number(result[field] or None)


def _timed(result: Result) -> str | None:
    """How long the part was that the rates are of."""
    seconds = result.get("seconds")
    return None if seconds is None else f"{seconds:.1f}"


def _cpu_us(result: Result) -> str | None:
    """Of all its processes, starts included."""
    cpu_s = result.get("cpu_s")
    return None if cpu_s is None else number(1e6 * cpu_s / result["changes"])


def _committed(result: Result) -> str | None:
    """How long after the last window the commit came that includes all of the log."""
    after_s = result.get("committed_after_s")
    return None if after_s is None else f"{after_s} s after"


def _agreement(result: Result) -> str:
    agreement = result["agreement"]
    if agreement is None:
        return str(result.get("not_measured", "did not finish"))
    wrong = agreement["different"] + agreement["missing"] + agreement["repeated"]
    if not wrong:
        return f"all {number(agreement['windows'])} the same"
    return (
        f"of {agreement['windows']}: {agreement['different']} different, "
        f"{agreement['missing']} missing, {agreement['repeated']} repeated otherwise"
    )


def _latency(field: str, *names: str) -> Callable[[Result], str | None]:
    def cell(result: Result) -> str | None:
        figures = result.get(field, {"count": 0})
        if not figures["count"]:
            return None
        return " / ".join(f"{figures[name]:,.1f}" for name in names)

    return cell


def _percent(process: str) -> Callable[[Result], float | None]:
    return lambda result: result.get("cpu_percent", {}).get(process)


def _came(result: Result) -> str | None:
    return "not live in time" if "failed" in result else number(result["notifications_per_s"])


def _restart(result: Result) -> str:
    if "seconds_to_live" in result:
        return f"{result['seconds_to_live']} s until all are live"
    held = result["resident_mb"]
    memory = f"; {held[0]} MB at first, {held[-1]} MB after {len(held)} s" if held else ""
    return f"{result['changelog_per_feed_byte']} byte a byte of feed{memory}"


def _held(result: Result) -> str | None:
    held = result["resident_mb"]
    return f"{held[0]:.0f} / {max(held):.0f} / {held[-1]:.0f}" if held else None


SPREAD: Final = ("p50", "p99", "max")
THROUGHPUT: Final[list[Column]] = [
    ("who", "who"),
    ("how", "variant"),
    ("log", "log"),
    ("timed, s", _timed),
    ("book notifications/s", _rate("changes_per_s")),
    ("level changes/s", _rate("levels_per_s")),
]
COSTS: Final[list[Column]] = [
    ("CPU µs a notification", _cpu_us),
    ("all committed", _committed),
    ("windows", _agreement),
]
COLUMNS: Final[dict[str, list[Column]]] = {
    "domain": [
        ("log", "log"),
        ("up to", "step"),
        ("µs a change", "us_per_change"),
        ("of it new", "us_more_than_before"),
        ("changes/s", _count("changes_per_s")),
        ("level changes/s", _count("levels_per_s")),
    ],
    "growth": [
        ("instruments", _count("instruments")),
        ("levels a side", _count("depth")),
        ("µs a change", "us_per_change"),
    ],
    "fields": [
        ("group", "group"),
        ("of each", "kind"),
        ("how many", _count("count")),
        ("µs", "us_each"),
        ("share", lambda result: f"{100 * result['share']:.0f} %"),
    ],
    "live": [
        ("asked/s", _count("rate")),
        ("came/s", _came),
        ("messages/s", _count("messages_per_s")),
        ("socket → window ms p50 / p99 / max", _latency("socket_to_window_ms", *SPREAD)),
        ("socket → push ms p50 / p99 / max", _latency("socket_to_push_ms", *SPREAD)),
        ("beyond the end ms p50 / p99", _latency("beyond_end_ms", "p50", "p99")),
        ("worker %", _percent("worker")),
        ("exchange %", _percent("exchange")),
        ("broker %", _percent("broker")),
        ("lag, frames", lambda result: number(result.get("lag_frames"))),
    ],
    "restart": [
        ("what", "what"),
        ("instruments", "instruments"),
        ("notifications/s", "rate"),
        ("figure", _restart),
    ],
    "memory": [
        ("notifications/s", _count("rate")),
        ("instruments", _count("instruments")),
        ("minutes", "minutes"),
        ("MB first / most / last", _held),
        ("MB more an hour", "mb_an_hour"),
    ],
}
