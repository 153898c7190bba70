"""`say`: a line on stderr before there is a log, or past it, as the log's lines are written."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Final

FORMAT_NAME: Final = "STEELYARD_LOG_FORMAT"


def say(level: str, text: str, log_format: str | None = None, *, in_worker: bool = False) -> None:
    """Write a text for people, or as a JSON object on one line, where the log is to be JSON.

    Without a format it is that of the environment: the settings may be what is wrong.
    """
    if (log_format or os.environ.get(FORMAT_NAME, "")).lower() == "json":
        now = time.time()
        timestamp = (
            time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{now % 1:.6f}"[2:] + "Z"
        )
        line = {"level": level, "logger": "steelyard", "timestamp": timestamp, "message": text}
        text = json.dumps(line)
    else:
        text = f"{level}: {text}"
    # A running worker has its log in place of sys.stderr, which would wrap the line into another.
    print(text, file=sys.__stderr__ if in_worker else sys.stderr, flush=True)
