"""Draws docs/performance.png: `main.py FIGURES.json TARGET.png`, in an environment of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

OURS = "#0072b2"
THEIRS = "#999999"
SECOND = "#d55e00"


def main(figures: Path, target: Path) -> None:
    reports: dict[str, Any] = json.loads(figures.read_text())
    drawings = [draw for name, draw in DRAWINGS.items() if name in reports]
    names = [name for name in DRAWINGS if name in reports]
    figure, axes = plt.subplots(1, len(drawings), figsize=(5.2 * len(drawings), 4.2), squeeze=False)
    for draw, name, axis in zip(drawings, names, axes[0], strict=True):
        draw(axis, reports[name])
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(target, dpi=110)


def throughput(axis: Any, results: list[dict[str, Any]]) -> None:
    """Bars of notifications/s, by contestant, one colour a log; logarithmic."""
    logs = list(dict.fromkeys(result["log"] for result in results))
    who = list(dict.fromkeys((result["who"], result["variant"]) for result in results))
    height = 0.8 / len(logs)
    for number, log in enumerate(logs):
        found = {(r["who"], r["variant"]): r["changes_per_s"] for r in results if r["log"] == log}
        places = [place + number * height for place in range(len(who))]
        rates = [found.get(each, 0) for each in who]
        colour = (OURS, SECOND)[number % 2]
        bars = axis.barh(places, rates, height, color=colour, label=log.split(",")[0])
        axis.bar_label(bars, [f"{rate:,.0f}" if rate else "" for rate in rates], padding=3, size=7)
    axis.set_yticks(
        [place + 0.4 - height / 2 for place in range(len(who))],
        [f"{name}\n{variant}" for name, variant in who],
        size=7,
    )
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.set_xlabel("book notifications/s through Kafka")
    axis.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.4, -0.14), ncols=2)
    axis.set_title("Replay")


def latency(axis: Any, results: list[dict[str, Any]]) -> None:
    """p50 and p99 of socket to window, against the rate."""
    rates = [result["rate"] for result in results]
    for name, colour in (("p50", OURS), ("p99", SECOND)):
        axis.plot(
            rates,
            [result["socket_to_window_ms"][name] for result in results],
            "o-",
            color=colour,
            label=name,
        )
    axis.set_xlabel("notifications/s over 131 instruments")
    axis.set_ylabel("socket → window, ms")
    axis.set_yscale("log")
    axis.legend()
    axis.set_title("Live")


def growth(axis: Any, results: list[dict[str, Any]]) -> None:
    """Cost of a notification against instruments and against depth."""
    usual = results[0]["depth"]
    curves = (
        ("instruments", OURS, [r for r in results if r["depth"] == usual]),
        ("depth", SECOND, [r for r in results if r["instruments"] == 1]),
    )
    for what, colour, chosen in curves:
        by_place = {result[what]: result["us_per_change"] for result in chosen}
        places = sorted(by_place)
        label = "against instruments" if what == "instruments" else "against levels a side"
        axis.plot(places, [by_place[each] for each in places], "o-", color=colour, label=label)
    axis.set_xscale("log")
    axis.set_ylim(bottom=0)
    axis.set_ylabel("µs a notification, domain only")
    axis.legend()
    axis.set_title("Growth")


DRAWINGS = {"throughput": throughput, "live": latency, "growth": growth}

if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
