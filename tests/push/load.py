"""Many clients of one worker's stream: how late events come, and what it costs the worker.

    python -m tests.push.load --url http://127.0.0.1:6066 --clients 500 --deaf 200 --seconds 60

The clients share one process and one selector, so that measuring takes less than what is measured.
An event is late by the time from its `as_of_ms`, when the worker made it, to its last byte here.
Deaf clients connect and never read.
"""

from __future__ import annotations

import argparse
import json
import re
import selectors
import socket
import time
import urllib.request
from dataclasses import dataclass, field
from urllib.parse import urlsplit

AS_OF = re.compile(rb'data: \{"type":"(states|windows)","as_of_ms":(\d+)')
READ_BYTES = 1 << 20
EVENT_END = b"\n\n"
CONNECT_PAUSE_S = 0.002


@dataclass
class Result:
    """What the clients have seen."""

    late_ms: list[float] = field(default_factory=list)
    events: int = 0
    bytes: int = 0
    ended: int = 0
    """Connections that the worker ended."""
    refused: int = 0

    def quantile(self, share: float) -> float:
        """Return how late the events were at most, of this share of them."""
        ranked = sorted(self.late_ms)
        return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else 0.0


class Reader:
    """One client: finds the ends of events in what arrives."""

    def __init__(self, plain: socket.socket, result: Result) -> None:
        self.socket = plain
        self.result = result
        self._rest = b""
        self._is_open = False

    def read(self) -> bool:
        """Read what there is; False at the end."""
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if not data:
            return False
        now_ms = time.time_ns() / 1e6
        self.result.bytes += len(data)
        self._rest += data
        if not self._is_open:
            self._is_open = True
            if b" 200 " not in self._rest.split(b"\r\n", 1)[0]:
                self.result.refused += 1
                return False
        *events, self._rest = self._rest.split(EVENT_END)
        for event in events:
            found = AS_OF.search(event)
            if found is not None:
                self.result.events += 1
                self.result.late_ms.append(now_ms - int(found[2]))
        return True


def follow(url: str, query: str, clients: int, deaf: int, seconds: float, skip_s: float) -> Result:
    """Run the clients; events of the first `skip_s` are not counted: they are snapshots."""
    host, port = urlsplit(url).hostname or "127.0.0.1", urlsplit(url).port or 6066
    request = f"GET /v1/stream?{query} HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode()
    result = Result()
    deaf_ones = [_connect(host, port, request) for _ in range(deaf)]
    selector = selectors.DefaultSelector()
    for _ in range(clients):
        plain = _connect(host, port, request)
        plain.setblocking(False)
        selector.register(plain, selectors.EVENT_READ, Reader(plain, result))
    began = time.monotonic()
    is_counted = False
    while (elapsed := time.monotonic() - began) < skip_s + seconds and selector.get_map():
        if not is_counted and elapsed >= skip_s:
            is_counted = True
            result.late_ms.clear()
            result.events = result.bytes = 0
        for key, _ in selector.select(0.1):
            if not key.data.read():
                result.ended += 1
                selector.unregister(key.fileobj)
                key.data.socket.close()
    for key in list(selector.get_map().values()):
        key.data.socket.close()
    for plain in deaf_ones:
        plain.close()
    selector.close()
    return result


def _connect(host: str, port: int, request: bytes) -> socket.socket:
    plain = socket.create_connection((host, port), timeout=10)
    plain.sendall(request)
    time.sleep(CONNECT_PAUSE_S)  # a real crowd does not come in one millisecond
    return plain


def metric(url: str, name: str) -> float:
    """Return a metric without labels."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
    raise LookupError(f"{url}/metrics has no {name}")


def main() -> None:
    """Run, and print one JSON object."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--url", default="http://127.0.0.1:6066")
    options.add_argument("--query", default="lengths=1s")
    options.add_argument("--clients", type=int, default=500)
    options.add_argument("--deaf", type=int, default=0)
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--skip-s", type=float, default=5.0)
    chosen = options.parse_args()
    url = chosen.url.rstrip("/")
    memory, cpu = "process_resident_memory_bytes", "process_cpu_seconds_total"
    memory_before, cpu_before, began = metric(url, memory), metric(url, cpu), time.monotonic()
    result = follow(url, chosen.query, chosen.clients, chosen.deaf, chosen.seconds, chosen.skip_s)
    took_s = time.monotonic() - began
    summary = {
        "clients": chosen.clients,
        "deaf": chosen.deaf,
        "query": chosen.query,
        "events": result.events,
        "mb_per_s": round(result.bytes / chosen.seconds / 1e6, 1),
        "late_ms": {
            name: round(result.quantile(share), 1)
            for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))
        },
        "ended": result.ended,
        "refused": result.refused,
        "worker_cpu_share": round((metric(url, cpu) - cpu_before) / took_s, 3),
        "worker_memory_mb": round(metric(url, memory) / 2**20, 1),
        "worker_memory_grew_mb": round((metric(url, memory) - memory_before) / 2**20, 1),
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
