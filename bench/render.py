"""`python -m bench.render`: docs/performance.md and its plot, from the figures in var/bench.

Each part is rendered as it was last measured; what was measured with --quick is not.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from bench.environments import environment
from bench.feeds import ROOT
from bench.pipeline import WORK
from bench.tables import domain as domain_table
from bench.tables import growth, live, restart, throughput
from bench.targets import targets

PAGE: Final = ROOT / "docs" / "performance.md"
PLOT: Final = ROOT / "docs" / "performance.png"
PLOTTER: Final = Path(__file__).parent / "plot"
PARTS: Final = ("replay", "peers", "live", "restart", "growth", "domain")
EXIT_NOTHING: Final = 2

Reports = dict[str, dict[str, Any]]


def main() -> int:
    reports = read(WORK)
    if not reports:
        print(f"bench: no figures in {WORK}: run `python -m bench` first", file=sys.stderr)
        return EXIT_NOTHING
    draw(reports, PLOT)
    PAGE.write_text(page(reports))
    print(f"wrote {PAGE.relative_to(ROOT)} and {PLOT.relative_to(ROOT)}", file=sys.stderr)
    return 0


def read(folder: Path) -> Reports:
    """Return the reports of the parts that were measured in whole."""
    paths = ((part, folder / f"{part}.json") for part in PARTS)
    return {part: json.loads(path.read_text()) for part, path in paths if path.exists()}


def page(reports: Reports) -> str:
    """Return docs/performance.md."""
    sections = [HEAD, "![Replay, latency and growth](performance.png)\n"]
    sections.append(f"## Against the targets\n\n{targets(reports)}\n")
    contest = contestants(reports)
    if contest:
        sections.append(f"## Replay through Kafka\n\n{REPLAY}\n\n{throughput(contest)}\n")
    for part, title, text, table in (
        ("live", "Live", LIVE, live),
        ("restart", "Restart, changelog, memory", RESTART, restart),
        ("growth", "Growth", GROWTH, growth),
        ("domain", "Cost of a notification, without Kafka", DOMAIN, domain_table),
    ):
        if part in reports:
            sections.append(f"## {title}\n\n{text}\n\n{table(reports[part]['results'])}\n")
    sections.append(f"## Where it was measured\n\n{_machines(reports)}\n")
    return "\n".join(sections)


def contestants(reports: Reports) -> list[dict[str, Any]]:
    """Return the results of replays, Steelyard's first."""
    return [
        result
        for part in ("replay", "peers")
        for result in reports.get(part, {"results": []})["results"]
    ]


def draw(reports: Reports, target: Path) -> None:
    """Draw the plot, in the environment of the plotter."""
    chosen: dict[str, Any] = {}
    for part in ("live", "growth"):
        if part in reports:
            chosen[part] = [r for r in reports[part]["results"] if "failed" not in r]
    contest = contestants(reports)
    if contest:
        chosen["throughput"] = contest
    if not chosen:
        return
    figures = WORK / "plot.figures"
    figures.write_text(json.dumps(chosen))
    python = environment(PLOTTER / "requirements.txt")
    subprocess.run([str(python), str(PLOTTER / "main.py"), str(figures), str(target)], check=True)


def _machines(reports: Reports) -> str:
    lines = []
    for part, report in reports.items():
        where = report["machine"]
        packages = ", ".join(f"{name} {text}" for name, text in where["packages"].items())
        loads = [r["load_before"] for r in report["results"] if r.get("load_before") is not None]
        lines.append(
            f"- **{part}**: {report['began']}, commit {where['commit']}, {where['cores']} cores of "
            f"{where['cpu']}, {where['memory_gb']} GB, {where['system']}, Python "
            f"{where['python']}; {packages}. Load average before each measurement: "
            f"{min(loads, default=0)} to {max(loads, default=0)}."
        )
        if "peers" in report:
            versions = "; ".join(f"{name}: {text}" for name, text in report["peers"].items())
            lines.append(f"  Peers: {versions}.")
    return "\n".join(lines)


HEAD: Final = """\
# Performance

Written by `python -m bench.render` from what `make bench` measured; not edited by hand. Figures
of one machine are worth little elsewhere; ratios, measured side by side in one run, are worth more.
"""
REPLAY: Final = """\
Everybody reads the same notifications from the same broker and publishes the windows of one second:
observations, imbalance of 1, 5 and 10 levels, order flow imbalance of the best level. The column
"windows" says whether they agree with those of `compute`. The peers do no more than that. Steelyard
computes all its fields, and windows of 1 s, 10 s and 1 min; its time ends with the commit that
follows the checkpoint of everything. It reads frames, as its ingest writes them; the peers read a
record a notification, which is how each of them is used. Peers with the book in memory lose it at a
restart, and nothing of theirs is exact afterwards. Each peer is given as much of the log as it can
do in about half a minute; rates are from the first windows published to the last."""
LIVE: Final = """\
The simulated exchange, one worker, 131 instruments. A window can close when the first notification
past its end and the grace of 250 ms comes: "socket → window" is from the receipt of that
notification to the record in a consumer's hands, "socket → push" to the event of `/v1/stream`.
"beyond the end" is the record's time minus the window's end: the grace and the wait for that
notification are in it. Commits come once a second: the lag is at least half a second of frames."""
RESTART: Final = """\
The exchange goes on all the while; the time is from the start of the new process until every
instrument is served as live. After a kill, Kafka waits 10 s for the dead worker before it gives its
partitions away. Bytes are those on the broker's disk, compressed."""
GROWTH: Final = "Domain only, processor time of one core, notifications of 1 to 3 levels."
DOMAIN: Final = """\
Processor time of one core; each line includes the ones before it, so that "of it new" is the cost
of a group of fields."""

if __name__ == "__main__":
    sys.exit(main())
