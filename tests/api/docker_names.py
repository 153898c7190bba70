"""The metrics that the alerts and the dashboard in docker/ use."""

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docker"
FILES = ("prometheus/alerts.yaml", "grafana/steelyard.json")
NAME = re.compile(r"\b(steelyard_[a-z_]+|process_[a-z_]+)\b")


def used_metrics() -> set[str]:
    """Return the names of all metrics in the files."""
    return {name for file in FILES for name in NAME.findall((FOLDER / file).read_text())}
