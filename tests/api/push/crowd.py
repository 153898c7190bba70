"""Many clients of one stream in processes of their own: how late does what reaches them come?

An event is late by the time from its `as_of_ms`, when the worker made it, to its last byte here.
Deaf clients connect and never read.
"""

from __future__ import annotations

import multiprocessing
import re
import selectors
import socket
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

AS_OF = re.compile(rb'data: \{"type":"(states|windows)","as_of_ms":(\d+)')
READ_BYTES = 1 << 20
EVENT_END = b"\n\n"
CONNECT_PAUSE_S = 0.002
JOIN_TIMEOUT_S = 30.0


@dataclass
class Result:
    """What clients have seen."""

    late_ms: array[float] = field(default_factory=lambda: array("d"))
    bytes: int = 0
    ended: int = 0
    """Connections that the worker ended."""
    refused: int = 0
    cpu_share: float = 0.0
    """Of a core, of the busiest process of clients: near 1 it measures itself."""

    @property
    def events(self) -> int:
        return len(self.late_ms)

    def quantile(self, share: float) -> float:
        """Return how late the events were at most, of this share of them."""
        ranked = sorted(self.late_ms)
        return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else 0.0

    def add(self, other: Result) -> None:
        """Take in what clients of another process have seen."""
        self.late_ms.extend(other.late_ms)
        self.bytes += other.bytes
        self.ended += other.ended
        self.refused += other.refused
        self.cpu_share = max(self.cpu_share, other.cpu_share)


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
                self.result.late_ms.append(now_ms - int(found[2]))
        return True


def follow(url: str, query: str, clients: int, deaf: int, seconds: float, skip_s: float) -> Result:
    """Run the clients; events of the first `skip_s` are not counted: they are snapshots."""
    host, port = urlsplit(url).hostname or "127.0.0.1", urlsplit(url).port or 6066
    request = f"GET /v1/stream?{query} HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode()
    began = time.monotonic()
    result = Result()
    deaf_ones = [_connect(host, port, request) for _ in range(deaf)]
    selector = selectors.DefaultSelector()
    for _ in range(clients):
        plain = _connect(host, port, request)
        plain.setblocking(False)
        selector.register(plain, selectors.EVENT_READ, Reader(plain, result))
    is_counted = False
    used_s = 0.0
    while (elapsed := time.monotonic() - began) < skip_s + seconds and selector.get_map():
        if not is_counted and elapsed >= skip_s:
            is_counted = True
            del result.late_ms[:]
            result.bytes = 0
            used_s = time.process_time()
        for key, _ in selector.select(0.1):
            if not key.data.read():
                result.ended += 1
                selector.unregister(key.fileobj)
                key.data.socket.close()
    result.cpu_share = (time.process_time() - used_s) / seconds
    for key in list(selector.get_map().values()):
        key.data.socket.close()
    for plain in deaf_ones:
        plain.close()
    selector.close()
    return result


@contextmanager
def crowd(
    url: str, query: str, clients: int, deaf: int, seconds: float, skip_s: float, processes: int
) -> Iterator[Result]:
    """Run the clients in processes beside; what they have seen is there at the end of the block."""
    context = multiprocessing.get_context("spawn")
    running = []
    for number in range(processes):
        ours, theirs = context.Pipe(duplex=False)
        shares = [count * (number + 1) // processes - count * number // processes
                  for count in (clients, deaf)]  # fmt: skip
        arguments = (theirs, url, query, *shares, seconds, skip_s)
        process = context.Process(target=_follow_and_tell, args=arguments, daemon=True)
        process.start()
        theirs.close()
        running.append((process, ours))
    result = Result()
    try:
        yield result
        for _, ours in running:
            if not ours.poll(seconds + skip_s + JOIN_TIMEOUT_S):
                raise TimeoutError("a process of clients says nothing")
            result.add(ours.recv())
    finally:
        for process, _ in running:
            process.kill()
            process.join()


def _follow_and_tell(
    pipe: Connection,
    url: str,
    query: str,
    clients: int,
    deaf: int,
    seconds: float,
    skip_s: float,
) -> None:
    pipe.send(follow(url, query, clients, deaf, seconds, skip_s))


def _connect(host: str, port: int, request: bytes) -> socket.socket:
    plain = socket.create_connection((host, port), timeout=10)
    plain.sendall(request)
    time.sleep(CONNECT_PAUSE_S)  # a real crowd does not come in one millisecond
    return plain
