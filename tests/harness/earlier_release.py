"""A worker as an earlier release could be set: its group and its topics named apart, nothing asked.

`EARLIER_GROUP=… EARLIER_PREFIX=… faust -A tests.harness.earlier_release worker`.
"""

from __future__ import annotations

import os

import app as product
import app.settings.fields
import app.topics.start_checks
import app.worker
from app.settings import Settings


async def ask_nothing(_: Settings) -> None:
    """Start whatever lives: an earlier release did."""


app.settings.fields.group_of = lambda _: os.environ["EARLIER_GROUP"]
app.settings.fields.prefix_of = lambda _: os.environ["EARLIER_PREFIX"]
app.worker.client_id = lambda _: "faust-0.15.3"
app.topics.start_checks.check_claims = ask_nothing
app = product.app  # type: ignore[assignment]
