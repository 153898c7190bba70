"""`python -m bench.render`: docs/performance.md and its plot, from the figures in var/bench.

Each part is rendered as it was last measured; what was measured with --quick is not.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from app.worker import SESSION_TIMEOUT_S
from bench.environments import environment, run
from bench.feeds import ROOT
from bench.fields import ROUNDS
from bench.growth import CHANGES_EACH
from bench.pipeline import WORK
from bench.replay import GENERATED, PERCENT
from bench.tables import table, throughput
from bench.targets import targets

PAGE: Final = ROOT / "docs" / "performance.md"
PLOT: Final = ROOT / "docs" / "performance.png"
TEMPLATE: Final = Path(__file__).with_name("page.md")
PLACEHOLDER: Final = re.compile(r"\{\{(\w+)\}\}")
CONSTANTS: Final = {
    "generated": f"{GENERATED:,}",
    "percent": f"{PERCENT:g}",
    "session_timeout_s": f"{SESSION_TIMEOUT_S:g}",
    "changes_each": str(CHANGES_EACH),
    "rounds": str(ROUNDS),
}
PLOTTER: Final = Path(__file__).parent / "plot"
PARTS: Final = ("replay", "peers", "live", "restart", "memory", "growth", "domain", "fields")
LINE_CHARS: Final = 119
SAMPLES_A_MINUTE: Final = 60
CONTEST: Final = ("replay", "peers")
"""Parts that are one table: ratios are to Steelyard's replay."""
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
    """Return docs/performance.md: page.md with its figures, less the sections that have none."""
    contest = contestants(reports)
    known: dict[str, str | None] = {
        "targets": targets(reports),
        "contest": throughput(contest) if contest else None,
        "machines": _machines(reports),
        **{part: table(part, r["results"]) for part, r in reports.items() if part not in CONTEST},
        **CONSTANTS,
    }
    sections = re.split(r"^(?=## )", TEMPLATE.read_text(), flags=re.MULTILINE)
    filled = (_fill(section, known) for section in sections)
    return "".join(section for section in filled if section is not None)


def _fill(section: str, known: Mapping[str, str | None]) -> str | None:
    values = {name: known.get(name) for name in PLACEHOLDER.findall(section)}
    if None in values.values():
        return None
    return PLACEHOLDER.sub(lambda found: str(values[found[1]]), section)


def contestants(reports: Reports) -> list[dict[str, Any]]:
    """Return the results of replays, Steelyard's first."""
    return [result for part in CONTEST for result in reports.get(part, {"results": []})["results"]]


def drawn(reports: Reports) -> dict[str, Any]:
    """Return the figures that the plot is made of."""
    chosen: dict[str, Any] = {}
    for part in ("live", "growth"):
        if part in reports:
            chosen[part] = [r for r in reports[part]["results"] if "failed" not in r]
    contest = [each for each in contestants(reports) if not each.get("percent")]
    if contest:
        chosen["throughput"] = contest
    if "memory" in reports:
        chosen["memory"] = [
            {
                "rate": result["rate"],
                "instruments": result["instruments"],
                "resident_mb_each_minute": result["resident_mb"][::SAMPLES_A_MINUTE],
            }
            for result in reports["memory"]["results"]
        ]
    return chosen


def draw(reports: Reports, target: Path) -> None:
    """Draw the plot, in the environment of the plotter."""
    chosen = drawn(reports)
    if not chosen:
        return
    figures = WORK / "plot.figures"
    figures.write_text(json.dumps(chosen))
    python = environment(PLOTTER / "requirements.txt")
    run(str(python), str(PLOTTER / "main.py"), str(figures), str(target))


def _machines(reports: Reports) -> str:
    lines = []
    for part, report in reports.items():
        where = report["machine"]
        packages = ", ".join(f"{name} {text}" for name, text in where["packages"].items())
        loads = [r["load_before"] for r in report["results"] if r.get("load_before") is not None]
        said = (
            f"- **{part}**: {report['began']}, commit {where['commit']}, {where['cores']} cores of "
            f"{where['cpu']}, {where['memory_gb']} GB, {where['system']}, Python "
            f"{where['python']}, the hot path {_hot_path(report)}, Kafka {where['kafka']}; "
            f"{packages}. Load average before each measurement: "
            f"{min(loads, default=0)} to {max(loads, default=0)}."
        )
        if "peers" in report:
            said += f" Peers: {'; '.join(f'{who}: {of}' for who, of in report['peers'].items())}."
        lines += textwrap.wrap(said, LINE_CHARS, subsequent_indent="  ", break_on_hyphens=False)
    return "\n".join(lines)


def _hot_path(report: dict[str, Any]) -> str:
    """What ran in the measurement, where that says so: not all do what the project does."""
    said = {r["hot_path"] for r in report["results"] if "hot_path" in r}
    return ", ".join(sorted(said)) or str(report["machine"]["hot_path"])


if __name__ == "__main__":
    sys.exit(main())
