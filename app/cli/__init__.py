"""The commands of `python -m app`, one module each; add a line here to add one."""

from __future__ import annotations

from typing import Final

COMMANDS: Final[dict[str, str]] = {
    "demo": "app.cli.demo:demo",
    "live": "app.cli.demo:live",
    "worker": "app.cli.worker:worker",
    "kafka": "app.cli.kafka:kafka",
    "topics": "app.cli.topics:topics",
    "settings": "app.cli.settings_:settings",
    "compute": "app.cli.compute:compute",
    "book": "app.cli.book:book",
    "replay": "app.cli.replay:replay",
    "import": "app.cli.import_:import_capture",
    "record": "app.cli.record:record",
    "watch": "app.cli.watch:watch",
    "get": "app.cli.get:get",
    "tail": "app.cli.tail:tail",
    "verify": "app.cli.verify:verify",
    "subscribe": "app.cli.subscribe:subscribe",
    "unsubscribe": "app.cli.subscribe:unsubscribe",
}
"""Command name to `module:function`; the function's signature is its options."""
