"""The commands of `python -m app`, one module each; add a line here to add one."""

from __future__ import annotations

from typing import Final

COMMANDS: Final[dict[str, str]] = {
    "demo": "app.commands.demo:demo",
    "live": "app.commands.demo:live",
    "worker": "app.commands.worker:worker",
    "kafka": "app.commands.kafka:kafka",
    "topics": "app.commands.topics:topics",
    "settings": "app.commands.settings_:settings",
    "compute": "app.commands.compute:compute",
    "replay": "app.commands.replay:replay",
    "import": "app.commands.import_:import_capture",
    "record": "app.commands.record:record",
    "watch": "app.commands.watch:watch",
    "get": "app.commands.get:get",
    "tail": "app.commands.tail:tail",
    "verify": "app.commands.verify:verify",
    "subscribe": "app.commands.subscribe:subscribe",
    "unsubscribe": "app.commands.subscribe:unsubscribe",
}
"""Command name to `module:function`; the function's signature is its options."""
