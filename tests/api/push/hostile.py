"""Clients that mean harm: requests that are wrong in every way, and ones that never end.

It is right to answer nothing, or a 4xx as problem+json in which nothing of the request can act.
"""

from __future__ import annotations

import http.client
import json
import random
import re
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

PROBLEM: Final = "application/problem+json"
ANSWER_TIMEOUT_S: Final = 15.0
READ_BYTES: Final = 1 << 16
LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: (\d+)")
DRIP_EVERY_S: Final = 0.5
ASK_EVERY_S: Final = 0.05
ATTACK_EVERY_S: Final = 0.02
MARK: Final = "x5s"
"""Part of what must not come back as a header."""

_PATHS: Final = (
    "/v1/imbalance/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "/v1/imbalance/../../etc/passwd",
    "/static/../../etc/passwd",
    "/static/%2e%2e/%2e%2e/pyproject.toml",
    "/static//etc/passwd",
    "/static/vendor/..%2f..%2f..%2fapp/settings.py",
    f"/v1/imbalance/BTC%0d%0aSet-Cookie:%20{MARK}=1",
    f"/v1/imbalance/%3Cscript%3E{MARK}%3C/script%3E",
    f"/v1/books/BTC-PERPETUAL?depth=1&depth=2&{MARK}=%3Cimg%20onerror=x%3E",
    "/v1/books/BTC-PERPETUAL%00",
    "/v1/books/%ff%fe",
    "/v1/books/BTC-PERPETUAL?depth=-1",
    "/v1/books/BTC-PERPETUAL?depth=1e999",
    "/v1/books/BTC-PERPETUAL?depth=99999999999999999999999",
    "/v1/windows/BTC-PERPETUAL?from=-9&to=NaN",
    "/v1/windows/BTC-PERPETUAL?cursor=AAAA",
    "/v1/windows/BTC-PERPETUAL?length=0s",
    "/v1/windows/BTC-PERPETUAL?limit=%F0%9F%92%A5",
    "/v1/stream?lengths=7s",
    "/v1/stream?instruments=" + ",".join(["X"] * 600),
    "/v1/ws",
    "/v1/" + "a" * 3_000,
    "/" + "%25" * 1_000,
    "/admin",
    "//evil.example/",
)
HOST: Final = "Host: localhost\r\n"
MANY_HEADERS: Final = "A: b\r\n" * 200
REQUESTS: Final[tuple[bytes, ...]] = (
    *(f"GET {path} HTTP/1.1\r\n{HOST}\r\n".encode() for path in _PATHS),
    b"GET /v1/imbalance HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"GET /v1/imbalance HTTP/1.1\r\n\r\n",
    b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    f"GET /v1/imbalance HTTP/1.1\r\n{HOST}Origin: http://evil.example\r\n\r\n".encode(),
    f"GET /v1/imbalance HTTP/1.1\r\n{HOST}X: {'y' * 9_000}\r\n\r\n".encode(),
    f"GET /v1/imbalance HTTP/1.1\r\n{HOST}{MANY_HEADERS}\r\n".encode(),
    f"POST /v1/imbalance HTTP/1.1\r\n{HOST}Content-Length: 5\r\n\r\nhello".encode(),
    f"DELETE /v1/books/BTC-PERPETUAL HTTP/1.1\r\n{HOST}\r\n".encode(),
    f"TRACE / HTTP/1.1\r\n{HOST}\r\n".encode(),
    f"CONNECT evil.example:443 HTTP/1.1\r\n{HOST}\r\n".encode(),
    f"GET /livez HTTP/1.1\r\n{HOST}Content-Length: -1\r\n\r\n".encode(),
    (
        f"GET /livez HTTP/1.1\r\n{HOST}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
        "0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n"
    ).encode(),
    f"GET /livez HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n".encode(),
    f"GET /v1/ws HTTP/1.1\r\n{HOST}Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n".encode(),
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    b"\x00" * 64 + b"\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)


@dataclass
class Harm:
    """What was answered to harm, and to ordinary questions meanwhile."""

    statuses: Counter[str] = field(default_factory=Counter)
    """Of hostile requests; `closed` where there was no answer."""
    wrong: list[str] = field(default_factory=list)
    """Answers that should not be: 5xx, none of ours, or with a part of the request in them."""
    ordinary_ms: list[float] = field(default_factory=list)
    ordinary_failed: list[str] = field(default_factory=list)
    dripping_ended: int = 0
    """Requests that never end, ended by the worker."""

    def ordinary_quantile(self, share: float) -> float:
        """Return how long ordinary questions took at most, of this share of them."""
        ranked = sorted(self.ordinary_ms)
        return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else 0.0


def attack(url: str, request: bytes, harm: Harm) -> None:
    """Send one hostile request; judge the answer."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), timeout=ANSWER_TIMEOUT_S) as plain:
        answer = b""
        try:
            plain.sendall(request)
            while not is_whole(answer) and (data := plain.recv(READ_BYTES)):
                answer += data
        except OSError:  # closed on us, or silent: nothing was given away
            pass
    harm.statuses[judge(request, answer, harm)] += 1


def is_whole(answer: bytes) -> bool:
    """Whether an answer has come to its end; the connection may be kept open for another."""
    head, ends, body = answer.partition(b"\r\n\r\n")
    length = LENGTH.search(head)
    return bool(ends) and length is not None and len(body) >= int(length[1])


def judge(request: bytes, answer: bytes, harm: Harm) -> str:
    """Return the status of an answer; note what is wrong with it."""
    if not answer:
        return "closed"
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    status = first.split(" ")[1] if first.startswith("HTTP/") else "none"
    told = f"{request[:80]!r}: {answer[:300]!r}"
    if not status.startswith("4"):
        harm.wrong.append(f"not refused, {told}")
    elif not headers.get("content-type", "").startswith(PROBLEM):
        harm.wrong.append(f"no problem+json, {told}")
    elif json.loads(body)["status"] != int(status):
        harm.wrong.append(f"another status within, {told}")
    elif "set-cookie" in headers or headers.get("x-content-type-options") != "nosniff":
        harm.wrong.append(f"what was sent is a header, or may be taken for a page, {told}")
    return status


class Siege:
    """While the block runs: hostile requests, requests that drip for ever, ordinary questions."""

    def __init__(self, url: str, ordinary: str, slow: int = 50, seed: int = 7) -> None:
        self.url = url
        self.ordinary = ordinary
        self.slow = slow
        self.harm = Harm()
        self._random = random.Random(seed)
        self._stopped = threading.Event()

    def __enter__(self) -> Siege:
        jobs = (self._attack, self._drip, self._ask)
        self._threads = [threading.Thread(target=job, daemon=True) for job in jobs]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _attack(self) -> None:
        while not self._stopped.wait(ATTACK_EVERY_S):
            attack(self.url, self._random.choice(REQUESTS), self.harm)

    def _drip(self) -> None:
        """Hold connections open by one byte of a header at a time (slowloris)."""
        place = urlsplit(self.url)
        open_ones: list[socket.socket] = []
        while not self._stopped.wait(DRIP_EVERY_S):
            while len(open_ones) < self.slow:
                plain = socket.create_connection((place.hostname, place.port), ANSWER_TIMEOUT_S)
                plain.sendall(b"GET /v1/imbalance HTTP/1.1\r\nX-Drip: ")
                open_ones.append(plain)
            for plain in list(open_ones):
                try:
                    plain.sendall(b"a")
                except OSError:
                    open_ones.remove(plain)
                    plain.close()
                    self.harm.dripping_ended += 1
        for plain in open_ones:
            plain.close()

    def _ask(self) -> None:
        """Ask what an ordinary client asks, and time it."""
        place = urlsplit(self.url)
        assert place.hostname is not None
        asking = http.client.HTTPConnection(place.hostname, place.port, timeout=ANSWER_TIMEOUT_S)
        while not self._stopped.wait(ASK_EVERY_S):
            began = time.monotonic()
            try:
                asking.request("GET", self.ordinary)
                answer = asking.getresponse()
                answer.read()
            except OSError as error:
                self.harm.ordinary_failed.append(repr(error))
                asking.close()
                continue
            self.harm.ordinary_ms.append((time.monotonic() - began) * 1_000)
            if answer.status != 200:
                self.harm.ordinary_failed.append(str(answer.status))
        asking.close()
