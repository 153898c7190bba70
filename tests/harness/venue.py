"""Requests to the simulated exchange, its control methods included."""

from __future__ import annotations

import json
from typing import Any

from websockets.sync.client import connect


def ask(url: str, method: str, **params: Any) -> Any:
    """Return the result of one request; raise AssertionError if it is refused."""
    with connect(url, open_timeout=5, close_timeout=1, proxy=None) as socket:
        socket.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
        while True:
            answer = json.loads(socket.recv(timeout=5))
            if answer.get("id") == 1:
                assert "result" in answer, f"{method}: {answer}"
                return answer["result"]


def perpetuals(url: str) -> list[str]:
    """Return the names of the listed instruments."""
    found = ask(url, "public/get_instruments", currency="any")
    return sorted(each["instrument_name"] for each in found)
