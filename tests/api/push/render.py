"""`python -m tests.api.push.render` writes docs/load.md from the figures in var/push.jsonl."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.api.push.load import FIGURES
from tests.harness.processes import ROOT

PAGE = ROOT / "docs" / "load.md"
HEAD = Path(__file__).with_name("load_head.md")


def main() -> None:
    """Write the page."""
    runs = [json.loads(line) for line in FIGURES.read_text().splitlines()]
    PAGE.write_text(page(runs))
    print(f"{PAGE.relative_to(ROOT)}: {len(runs)} runs")


def page(runs: list[dict[str, Any]]) -> str:
    """Return the page of some runs, the latest first."""
    return "\n".join([HEAD.read_text(), *(section(run) for run in reversed(runs))])


def section(run: dict[str, Any]) -> str:
    """Return the part about one run."""
    late, alone, crowded = run["late_ms"], run["alone"], run["crowded"]
    missed = [what for what, is_so in run["asked"].items() if not is_so]
    rows = [
        ("clients that read, deaf, slow", f"{run['clients']}, {run['deaf']}, {run['slow']}"),
        ("instruments", f"{run['instruments']}"),
        (
            "messages of the venue/s, alone → crowded",
            f"{alone['messages_per_s']} → {crowded['messages_per_s']}",
        ),
        (
            "windows published/s, alone → crowded",
            f"{alone['windows_per_s']} → {crowded['windows_per_s']}",
        ),
        ("events received; MB/s", f"{run['events']:,}; {run['mb_per_s']}"),
        ("late p50 / p90 / **p99** / max, ms",
         f"{late['p50']} / {late['p90']} / **{late['p99']}** / {late['max']}"),
        ("from receipt to the book p99 at most, ms, alone → crowded",
         f"{alone['applied_p99_ms']:g} → {crowded['applied_p99_ms']:g}"),
        ("loop lag p99 at most, ms, alone → crowded",
         f"{alone['loop_lag_p99_ms']:g} → {crowded['loop_lag_p99_ms']:g}"),
        ("lag of the feed, most records", f"{run['lag_records_most']:g}"),
        ("CPU of the worker, share of a core, alone → crowded",
         f"{alone['cpu_share']} → {crowded['cpu_share']}"),
        ("CPU of the busiest process of clients", f"{run['clients_cpu_share']}"),
        ("**memory grew**, MB; after", f"**{run['memory_grew_mb']}**; {run['memory_after_mb']}"),
        ("dropped, refused", f"{run['ended']}, {run['refused']}"),
    ]  # fmt: skip
    if hostile := run.get("hostile"):
        statuses = ", ".join(f"{count}× {name}" for name, count in hostile["statuses"].items())
        rows += [
            ("hostile requests", f"{hostile['requests']}: {statuses}"),
            ("ordinary answers p50 / **p99**, ms",
             f"{hostile['ordinary_p50_ms']} / **{hostile['ordinary_p99_ms']}**"),
            ("slow requests ended by the worker", str(hostile["slow_ended"])),
        ]  # fmt: skip
    table = "".join(f"| {name} | {value} |\n" for name, value in rows)
    verdict = f"missed: {'; '.join(missed)}" if missed else "all that is asked"
    return (
        f"## {run['at']}: {verdict}\n\n"
        f"{run['machine']}, load before {run['load_before']}, Python {run['python']}, "
        f"aiohttp {run['aiohttp']}, commit {run['commit']}, {run['seconds']:g} s\n\n"
        f"| | |\n|---|---|\n{table}"
    )


if __name__ == "__main__":
    main()
