"""Writes docs/guarantees.md from the figures that the runs left."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.harness.processes import ROOT
from tests.system.chaos.runner import FIGURES
from tests.system.chaos.scenarios import BY_NAME

DOCUMENT = ROOT / "docs" / "guarantees.md"
LINE_CHARS = 119

HEAD = Path(__file__).with_name("guarantees_head.md")
COLUMNS = (
    "scenario",
    "runs",
    "not finished",
    "notifications/s",
    "windows",
    "answers",
    "lost",
    "dup_effect",
    "hash_equal",
    "wrong_served",
    "flagged",
    "missing",
    "ttr min / median / max, s",
    "limit, s",
    "SIGTERM max, s",
    "memory + max, MB",
)


def main() -> int:
    prog = "python -m tests.system.chaos.render"
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument("--figures", type=Path, default=FIGURES)
    parser.add_argument("--out", type=Path, default=DOCUMENT)
    parser.add_argument("--since", default="", help="leave out runs before this time")
    options = parser.parse_args()
    if not options.figures.exists():
        print(f"error: no figures in {options.figures}: run `make chaos` first", file=sys.stderr)
        return 2
    lines = options.figures.read_text().splitlines()
    runs = [run for line in lines if (run := json.loads(line))["at"] >= options.since]
    options.out.write_text(document(runs))
    print(f"{len(runs)} runs: {options.out}")
    return 0


def document(runs: list[dict[str, Any]]) -> str:
    """Return the whole document."""
    groups: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for run in runs:
        groups.setdefault((run["scenario"], run["rate"]), []).append(run)
    order = {name: place for place, name in enumerate(BY_NAME)}
    ranked = sorted(groups, key=lambda key: (order.get(key[0], len(order)), key))
    rows = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    rows += [row(groups[key]) for key in ranked]
    said = [_wrapped(f"- **{name}**: {what}.") for name, what in _descriptions(runs)]
    return (
        HEAD.read_text()
        + "\n"
        + _origin(runs)
        + "\n".join(rows)
        + "\n\n## The scenarios\n\n"
        + "\n".join(said)
        + "\n\n## The seeds\n\n"
        + "\n".join(_seeds(groups[key]) for key in ranked)
        + "\n"
    )


def row(runs: list[dict[str, Any]]) -> str:
    """Return the table's row of a scenario's runs."""
    waits = sorted(wait for run in runs for wait in run["ttr_all_s"])
    ttr = "–"
    if waits:
        ttr = f"{waits[0]:.1f} / {statistics.median(waits):.1f} / {waits[-1]:.1f}"
    stops = [stop for run in runs for stop in run["stop_s"]]
    held = [each for run in runs for each in run["notes"].get("memory_mb", {}).values()]
    cells = (
        runs[0]["scenario"],
        len(runs),
        sum("error" in run for run in runs),
        f"{runs[0]['rate']:g}",
        sum(run["compared"].get("windows", 0) for run in runs),
        sum(run["compared"].get("answers", 0) for run in runs),
        sum(run["lost"] for run in runs),
        sum(run["dup_effect"] for run in runs),
        _hash_equal(runs),
        sum(run["wrong_served"] for run in runs),
        _worst(runs, "flagged", "due_windows"),
        _worst(runs, "missing", "published"),
        ttr,
        f"{runs[0]['ttr_limit_s']:g}",
        f"{max(stops):.1f}" if stops else "–",
        max(most - before for before, most in held) if held else "–",
    )
    return "| " + " | ".join(map(str, cells)) + " |"


def _worst(runs: list[dict[str, Any]], figure: str, of: str) -> str:
    """Return a figure's median and greatest value in a run, and the median of what it is of."""
    known = [run for run in runs if run["compared"].get(of)]
    if not known:
        return "–"
    values = [run[figure] for run in known]
    total = statistics.median(run["compared"][of] for run in known)
    return f"{statistics.median(values):g} / {max(values)} of {total:g}"


def _hash_equal(runs: list[dict[str, Any]]) -> str:
    """Say whether the states of all runs that finished were equal; of no run, nothing is known."""
    finished = [run for run in runs if "error" not in run]
    if not finished:
        return "–"
    return "yes" if all(run["hash_equal"] for run in finished) else "**no**"


def _origin(runs: list[dict[str, Any]]) -> str:
    if not runs:
        return "No run yet.\n\n"
    machines = ", ".join(sorted({run["machine"] for run in runs}))
    times = sorted(run["at"] for run in runs)
    loads = sorted(run["load"] for run in runs)
    commits = ", ".join(dict.fromkeys(run.get("commit") or "unknown" for run in runs))
    head = (
        f"{len(runs)} runs, {times[0]} to {times[-1]}, of commits {commits}, on {machines}; the "
        f"load at their ends {loads[0]:g} to {loads[-1]:g}."
    )
    return f"{_wrapped(head, indent='')}\n\n{_unfinished(runs)}{_inexact(runs)}"


def _wrapped(text: str, indent: str = "  ") -> str:
    """Return an item of a list, or a paragraph, in lines that a terminal shows whole."""
    options = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.fill(text, LINE_CHARS, subsequent_indent=indent, **options)


def _unfinished(runs: Iterable[dict[str, Any]]) -> str:
    """Say why runs did not finish: their figures are of what was checked until then, nothing."""
    said = [_wrapped(f"- {_which(run)}: {run['error']}") for run in runs if "error" in run]
    return "Not finished:\n\n" + "\n".join(said) + "\n\n" if said else ""


def _inexact(runs: Iterable[dict[str, Any]]) -> str:
    """Name what runs have found, and with which commit: later ones tell whether it is mended."""
    said = [
        _wrapped(f"- {_which(run)}: {figure} {json.dumps(offenders[:1])[1:-1]}")
        for run in runs
        if "error" not in run and not run["ok"]
        for figure, offenders in (run.get("offenders") or _late(run)).items()
    ]
    return "Finished, and not exact or not in time:\n\n" + "\n".join(said) + "\n\n" if said else ""


def _late(run: dict[str, Any]) -> dict[str, list[str]]:
    return {"ttr": [f"{run['ttr_s']} s, allowed are {run['ttr_limit_s']} s"]}


def _which(run: dict[str, Any]) -> str:
    return f"{run['scenario']}, seed {run['seed']}, commit {run.get('commit') or 'unknown'}"


def _descriptions(runs: Iterable[dict[str, Any]]) -> list[tuple[str, str]]:
    return sorted({(run["scenario"], run["what"]) for run in runs})


def _seeds(runs: list[dict[str, Any]]) -> str:
    seeds = ", ".join(str(run["seed"]) for run in runs)
    return _wrapped(f"- {runs[0]['scenario']}: {seeds}")


if __name__ == "__main__":
    sys.exit(main())
