"""Whatever a client sends, it gets a short problem, and only if it may ask at all; the log gets no
traceback of it."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import zlib
from collections.abc import AsyncIterator

import pytest

from app.api.authentication import Access
from app.api.rate_limit import Rates
from app.api.site import Limits
from tests.api.recorded import RecordedServing, served

TOKEN = "the token of the bad requests"
PATIENCE_S = 10.0
ETH = b"ETH-PERPETUAL"


def request(
    *headers: bytes, body: bytes = b"", line: bytes = b"GET /v1/imbalance HTTP/1.1"
) -> bytes:
    return b"\r\n".join((line, b"Host: localhost", *headers, b"", body))


def packed(encoding: bytes, body: bytes, line: bytes = b"GET /v1/imbalance HTTP/1.1") -> bytes:
    headers = b"Content-Encoding: " + encoding, b"Content-Length: %d" % len(body)
    return request(*headers, body=body, line=line)


POST = b"POST /v1/imbalance HTTP/1.1"
CHUNKED = b"Transfer-Encoding: chunked"
ENCODINGS = [b"gzip", b"deflate", b"br", b"zstd", b"compress", b"gzip, br", b"GZIP", b"\xff", b","]
BODIES = {
    **{
        f"{e!r} {m[:4]!r}": packed(e, b"no such thing", m + b" /v1/imbalance HTTP/1.1")
        for e in ENCODINGS
        for m in (b"GET", b"POST")
    },
    "cut gzip": packed(b"gzip", gzip.compress(b"x" * 9_000)[:15]),
    "gzip and more": packed(b"gzip", gzip.compress(b"x") + b"more"),
    "bad deflate": packed(b"deflate", zlib.compress(b"x" * 99)[:-4] + b"\0\0\0\0"),
    "bomb": packed(b"gzip", gzip.compress(b"\0" * 20_000_000)),
    "packed chunks": request(b"Content-Encoding: gzip", CHUNKED, body=b"4\r\nnope\r\n0\r\n\r\n"),
    "plain": request(b"Content-Length: 4", body=b"nope"),
    "to a book": packed(b"gzip", b"nope", b"GET /v1/books/" + ETH + b" HTTP/1.1"),
    "to the page": packed(b"gzip", b"nope", b"GET / HTTP/1.1"),
    "to nothing": packed(b"gzip", b"nope", b"GET /nothing HTTP/1.1"),
    "form": request(
        b"Content-Type: multipart/form-data", b"Content-Length: 1", body=b"-", line=POST
    ),
    "chunks": request(CHUNKED, body=b"4\r\nnope\r\n0\r\n\r\n"),
    "origin": request(b"Origin: http://[::1"),
    "origin 2": request(b"Origin: \xff\xfe"),
    "method": request(line=b"DELETE /v1/imbalance/%C3%BC HTTP/1.1"),
    "star": request(line=b"OPTIONS * HTTP/1.1"),
}
"""Whole requests, wrong in what they ask."""
BROKEN = {
    "chunk size": request(CHUNKED, body=b"zz\r\nnope\r\n", line=POST),
    "negative chunk": request(CHUNKED, body=b"-4\r\nnope\r\n", line=POST),
    "huge chunk": request(CHUNKED, body=b"f" * 20 + b"\r\nnope\r\n"),
    "chunk without end": request(CHUNKED, body=b"4\r\nnopeXX\r\n0\r\n\r\n"),
    "two lengths": request(CHUNKED, b"Content-Length: 4", body=b"nope"),
    "different lengths": request(b"Content-Length: 4", b"Content-Length: 5", body=b"nope"),
    "negative length": request(b"Content-Length: -4"),
    "no length": request(b"Content-Length: many"),
    "unended address": request(line=b"GET http://[::1/v1/imbalance HTTP/1.1"),
    "expectation": request(b"Expect: nonsense"),
    "expectation elsewhere": request(b"Expect: \xff", line=b"PUT /nothing HTTP/1.1"),
}
"""What is refused as HTTP."""


class Site:
    def __init__(self, port: int, log: pytest.LogCaptureFixture) -> None:
        self.port = port
        self.log = log

    async def send(self, data: bytes, *, is_authorized: bool = True) -> int:
        """Send bytes; check that the answer is one short problem, and return its status."""
        if is_authorized:
            data = data.replace(
                b"Host:", b"Authorization: Bearer " + TOKEN.encode() + b"\r\nHost:", 1
            )
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            async with asyncio.timeout(PATIENCE_S):
                writer.write(data)
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(head.lower().partition("content-length: ")[2].split()[0])
                body = json.loads(await reader.readexactly(length))
        finally:
            writer.close()
        status = int(head.split()[1])
        assert "application/problem+json" in head, head
        assert "content-security-policy" in head.lower()
        assert body["status"] == status
        assert body["type"].startswith("urn:steelyard:problem:")
        assert len(body["detail"]) < 300
        return status


@pytest.fixture
async def site(serving: RecordedServing, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Site]:
    caplog.set_level(logging.INFO)
    limits = Limits(Access(TOKEN, is_local=False))
    async with served(serving, limits=limits) as url:
        yield Site(int(url.rpartition(":")[2]), caplog)
    # The connections have been read to their ends.
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("data", BODIES.values(), ids=BODIES)
async def test_a_wrong_request_is_a_problem_and_the_token_is_asked_for_first(
    site: Site, data: bytes
) -> None:
    assert 400 <= await site.send(data) < 500
    assert await site.send(data, is_authorized=False) == 401


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
async def test_what_is_no_http_is_a_problem(site: Site, data: bytes) -> None:
    for is_authorized in (True, False):
        assert await site.send(data, is_authorized=is_authorized) in {400, 417}


async def test_the_rate_counts_before_the_body(
    serving: RecordedServing, caplog: pytest.LogCaptureFixture
) -> None:
    limits = Limits(Access(TOKEN, is_local=False), Rates(per_s=0.001, burst=3))
    async with served(serving, limits=limits) as url:
        site = Site(int(url.rpartition(":")[2]), caplog)
        told = [await site.send(packed(b"gzip", b"nope")) for _ in range(5)]
    assert told == [413, 413, 413, 429, 429]
    assert not [each for each in caplog.records if each.exc_info]
