"""Figures as tables in Markdown, for the terminal and for docs/performance.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Result = dict[str, Any]


def table_of(report: Result) -> str:
    """Return the table of a part's report."""
    return TABLES[report["part"]](report["results"])


def domain(results: Sequence[Result]) -> str:
    """The cost of each step, each of which does what those before it do."""
    return markdown(
        ("log", "up to", "µs a change", "of it new", "changes/s", "level changes/s"),
        (
            (
                result["log"],
                result["step"],
                result["us_per_change"],
                result["us_more_than_before"],
                number(result["changes_per_s"]),
                number(result["levels_per_s"]),
            )
            for result in results
        ),
    )


def growth(results: Sequence[Result]) -> str:
    """The cost against instruments and depth."""
    return markdown(
        ("instruments", "levels a side", "µs a change"),
        (
            (number(result["instruments"]), number(result["depth"]), result["us_per_change"])
            for result in results
        ),
    )


def fields(results: Sequence[Result]) -> str:
    """The cost of each group of fields, and its share of all."""
    return markdown(
        ("group", "of each", "how many", "µs", "share"),
        (
            (
                result["group"],
                result["kind"],
                number(result["count"]),
                result["us_each"],
                f"{100 * result['share']:.0f} %",
            )
            for result in results
        ),
    )


def throughput(results: Sequence[Result]) -> str:
    """Replay through Kafka, whoever does it; ratios are to Steelyard with one worker of a core."""
    own = {
        result["log"]: result["changes_per_s"]
        for result in results
        if result["who"] == "Steelyard" and result["workers"] == 1 and not result.get("percent")
    }
    return markdown(
        (
            "who",
            "how",
            "log",
            "timed, s",
            "book notifications/s",
            "level changes/s",
            "Steelyard, 1 worker, is",
            "CPU µs a notification",
            "all committed",
            "windows",
        ),
        (
            (
                result["who"],
                result["variant"],
                result["log"],
                _timed(result),
                number(result["changes_per_s"] or None),
                number(result["levels_per_s"] or None),
                _ratio(own.get(result["log"]), result),
                _cpu_us(result),
                _committed(result),
                _agreement(result),
            )
            for result in results
        ),
    )


def live(results: Sequence[Result]) -> str:
    """Latencies and processor time by rate."""
    return markdown(
        (
            "asked/s",
            "came/s",
            "messages/s",
            "socket → window ms p50 / p99 / max",
            "socket → push ms p50 / p99 / max",
            "beyond the end ms p50 / p99",
            "worker %",
            "exchange %",
            "broker %",
            "lag, frames",
        ),
        (
            (
                number(result["rate"]),
                number(result["notifications_per_s"]),
                number(result["messages_per_s"]),
                _spread(result["socket_to_window_ms"], "p50", "p99", "max"),
                _spread(result["socket_to_push_ms"], "p50", "p99", "max"),
                _spread(result["beyond_end_ms"], "p50", "p99"),
                *(result["cpu_percent"][name] for name in ("worker", "exchange", "broker")),
                number(result["lag_frames"]),
            )
            if "failed" not in result
            else (number(result["rate"]), "not live in time", *[None] * 8)
            for result in results
        ),
    )


def restart(results: Sequence[Result]) -> str:
    """Seconds until live, and bytes of changelog a byte of feed."""
    rows = []
    for result in results:
        if "seconds_to_live" in result:
            figure = f"{result['seconds_to_live']} s until all are live"
        else:
            memory = result["resident_mb"]
            figure = f"{result['changelog_per_feed_byte']} byte a byte of feed"
            if memory:
                figure += f"; {memory[0]} MB at first, {memory[-1]} MB after {len(memory)} s"
        rows.append((result["what"], result["instruments"], result["rate"], figure))
    return markdown(("what", "instruments", "notifications/s", "figure"), rows)


def memory(results: Sequence[Result]) -> str:
    """What a worker holds at the beginning, at most, and in the end."""
    return markdown(
        ("notifications/s", "instruments", "minutes", "MB first / most / last", "MB more an hour"),
        (
            (
                number(result["rate"]),
                number(result["instruments"]),
                result["minutes"],
                " / ".join(f"{figure:.0f}" for figure in (held[0], max(held), held[-1]))
                if (held := result["resident_mb"])
                else None,
                result["mb_an_hour"],
            )
            for result in results
        ),
    )


TABLES = {
    "domain": domain,
    "growth": growth,
    "fields": fields,
    "replay": throughput,
    "peers": throughput,
    "live": live,
    "restart": restart,
    "memory": memory,
}


def markdown(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table; absent figures are a dash."""
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    lines += (" | ".join("–" if cell is None else str(cell) for cell in row) for row in rows)
    return "\n".join(f"| {line} |" for line in lines)


def number(value: float | None) -> str | None:
    """Return a figure with its thousands apart."""
    return None if value is None else f"{value:,.0f}"


def _timed(result: Result) -> str | None:
    """How long the part was that the rates are of."""
    seconds = result.get("seconds")
    return None if seconds is None else f"{seconds:.1f}"


def _ratio(own: float | None, result: Result) -> str | None:
    if own is None or not result["changes_per_s"]:
        return None
    ratio = own / result["changes_per_s"]
    return f"{ratio:.2g}× as fast" if ratio < 10 else f"{ratio:,.0f}× as fast"


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
        return result.get("not_measured", "did not finish")
    wrong = agreement["different"] + agreement["missing"] + agreement["repeated"]
    if not wrong:
        return f"all {number(agreement['windows'])} the same"
    return (
        f"of {agreement['windows']}: {agreement['different']} different, "
        f"{agreement['missing']} missing, {agreement['repeated']} repeated otherwise"
    )


def _spread(figures: Result, *names: str) -> str | None:
    if not figures["count"]:
        return None
    return " / ".join(f"{figures[name]:,.1f}" for name in names)
