"""The application, which a signal makes crash with its own secrets in the error's words.

`faust -A tests.harness.crashing worker`.
"""

from __future__ import annotations

import asyncio

import app as product
from tests.harness.signals import CRASH

app = product.app


@app.task
async def crash_when_told() -> None:
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(CRASH, told.set)
    await told.wait()
    options = app.options
    secret = options.client_secret.get_secret_value()
    raise RuntimeError(f"refused {secret}, Bearer {options.web_token.get_secret_value()}")
