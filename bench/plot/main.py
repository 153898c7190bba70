"""Draws docs/performance.png: `main.py FIGURES.json TARGET.png`, in an environment of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

BLUE = "#0072b2"
ORANGE = "#d55e00"
GREY = "#cccccc"
ROW_INCHES = 0.36
HEAD_INCHES = 1.5
PANEL_INCHES = 4.2
MEMORY_INCHES = 2.4
WIDTH_INCHES = 11.0
DOTS_AN_INCH = 110
PLAIN = FuncFormatter(lambda value, _: f"{value:,g}")
OURS = "Steelyard"
TARGET_P50_MS = 10
TARGET_P99_MS = 50
LATENCIES = (
    ("socket_to_push_ms", "push", {"marker": "o"}),
    ("socket_to_window_ms", "window in Kafka", {"linewidth": 0.8, "linestyle": "--"}),
)


def main(figures: Path, target: Path) -> None:
    """Draw what there are figures of: throughput, latency beside growth, memory over time."""
    reports: dict[str, Any] = json.loads(figures.read_text())
    rows = [[name for name in row if name in reports] for row in ROWS]
    rows = [row for row in rows if row]
    heights = [height(row, reports) for row in rows]
    figure = plt.figure(figsize=(WIDTH_INCHES, sum(heights)), layout="constrained")
    parts = figure.subfigures(len(rows), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, row in zip(parts, rows, strict=True):
        for axis, name in zip(part.subplots(1, len(row), squeeze=False)[0], row, strict=True):
            DRAWINGS[name](axis, reports[name])
            axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, dpi=DOTS_AN_INCH)


def height(row: list[str], reports: dict[str, Any]) -> float:
    """Return what a row of the figure needs, in inches."""
    if "memory" in row:
        return MEMORY_INCHES
    if "throughput" not in row:
        return PANEL_INCHES
    return ROW_INCHES * len(contestants(reports["throughput"])) + HEAD_INCHES


def contestants(results: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return who has been measured, in order."""
    return list(dict.fromkeys((result["who"], result["variant"]) for result in results))


def throughput(axis: Any, results: list[dict[str, Any]]) -> None:
    """A row a contestant, a mark a log: lengths of bars would mean nothing on this axis."""
    who = contestants(results)
    logs = list(dict.fromkeys(result["log"] for result in results))
    for log, colour, shape, above in zip(logs, (BLUE, ORANGE), "os", (True, False), strict=False):
        for place, each in enumerate(who):
            found = [r for r in results if (r["who"], r["variant"]) == each and r["log"] == log]
            for rate in (result["changes_per_s"] for result in found):
                if not rate:
                    axis.annotate(  # at the right, where only the fastest have a mark
                        "did not finish",
                        (0.99 if above else 0.88, place),
                        xycoords=axis.get_yaxis_transform(),
                        ha="right",
                        va="center",
                        size=7,
                        color=colour,
                    )
                    continue
                axis.plot(rate, place, shape, color=colour, markersize=7)
                axis.annotate(
                    f"{rate:,.0f}",
                    (rate, place),
                    xytext=(0, 6 if above else -6),
                    textcoords="offset points",
                    ha="center",
                    va="bottom" if above else "top",
                    size=7,
                    color=colour,
                )
        axis.plot([], [], shape, color=colour, label=log)
    axis.set_yticks(range(len(who)), [f"{name}: {variant}" for name, variant in who])
    for label, (name, _) in zip(axis.get_yticklabels(), who, strict=True):
        label.set_fontweight("bold" if name == OURS else "normal")
    axis.set_ylim(len(who) - 0.4, -0.6)
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(PLAIN)
    axis.grid(color=GREY, linewidth=0.5)
    axis.set_axisbelow(True)
    axis.set_xlabel("book notifications/s, logarithmic; more is better")
    axis.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, frameon=False)
    axis.set_title("Replay through Kafka, one process each unless said\n\n", loc="left")


def latency(axis: Any, results: list[dict[str, Any]]) -> None:
    """p50 and p99 against the rate: of pushes, which have the targets, and thinner of windows."""
    rates = [result["rate"] for result in results]
    for name, colour, target in (("p50", BLUE, TARGET_P50_MS), ("p99", ORANGE, TARGET_P99_MS)):
        for field, what, style in LATENCIES:
            values = [result[field][name] for result in results]
            axis.plot(rates, values, color=colour, label=f"{what}, {name}", **style)
        label = f"target of push, {name}: {target} ms"
        axis.axhline(target, color=colour, linewidth=0.8, linestyle=":", label=label)
    axis.set_xlabel("notifications/s asked for")
    axis.set_ylabel("from the socket, ms, logarithmic")
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    for which in (axis.xaxis, axis.yaxis):
        which.set_major_formatter(PLAIN)
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.set_xlim(left=0)
    axis.legend(fontsize=7)
    axis.set_title("Live latency of one worker", loc="left")


def growth(axis: Any, results: list[dict[str, Any]]) -> None:
    """Cost of a notification against instruments and against depth."""
    usual = results[0]["depth"]
    curves = (
        ("instruments", BLUE, "o", [r for r in results if r["depth"] == usual]),
        ("depth", ORANGE, "s", [r for r in results if r["instruments"] == 1]),
    )
    for what, colour, shape, chosen in curves:
        by_place = {result[what]: result["us_per_change"] for result in chosen}
        places = sorted(by_place)
        label = (
            f"instruments, each {usual} levels a side"
            if what == "instruments"
            else "levels a side of one instrument"
        )
        values = [by_place[each] for each in places]
        axis.plot(places, values, f"{shape}-", color=colour, label=label)
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(PLAIN)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("how many, logarithmic")
    axis.set_ylabel("µs of one core a notification")
    axis.legend(fontsize=8, loc="lower right")
    axis.set_title("Cost of a notification, domain only", loc="left")


def memory(axis: Any, results: list[dict[str, Any]]) -> None:
    """What a worker holds, a dot a minute."""
    for result, colour in zip(results, (BLUE, ORANGE), strict=False):
        held = result["resident_mb_each_minute"]
        label = f"{result['rate']:,} notifications/s, {result['instruments']} instruments"
        axis.plot(range(len(held)), held, ".-", color=colour, label=label)
    axis.set_xlim(left=0)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("minutes since all instruments are live")
    axis.set_ylabel("resident, MB")
    axis.legend(fontsize=8, loc="lower right")
    axis.set_title("Memory of one worker over time", loc="left")


ROWS = (("throughput",), ("live", "growth"), ("memory",))
DRAWINGS = {"throughput": throughput, "live": latency, "growth": growth, "memory": memory}

if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
