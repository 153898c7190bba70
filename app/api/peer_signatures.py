"""How workers prove themselves to each other: each signs what it asks, and what it answers.

Where a worker was, another program may listen by now, and a port is soon taken. So a client's token
is never handed on, and an answer counts only with the proof of the process that owns the instrument
now: an HMAC-SHA256 of the question, a fresh nonce and the whole answer. Its key is made of a random
secret that this process has put into its live records in Kafka, and of the views' token where one
is set (decision 16).
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from typing import Final

import msgspec
from aiohttp import web

from app.api.problems import Problem

PROOF_HEADER: Final = "X-Steelyard-Proof"
"""Of a question `nonce.mac`, of an answer `mac`."""
ASKED_HEADERS: Final = ("If-None-Match",)
ANSWERED_HEADERS: Final = ("Cache-Control", "ETag", "Retry-After")
"""What is handed on of a client's question and of an owner's answer; all of it is signed."""
NONCE_BYTES: Final = 16
NOT_MODIFIED: Final = 304
_LABEL: Final = b"steelyard: a worker to a worker, 1"
_PROVEN: Final = web.RequestKey("nonce of a worker that has proven itself", str)


def picked(headers: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    """Return those of the headers that there are."""
    return {name: headers[name] for name in names if name in headers}


class Question:
    """What one worker asks another: a GET of a path, with a nonce that is used once."""

    def __init__(self, key: bytes, path: str, headers: Mapping[str, str], nonce: str = "") -> None:
        self._key = key
        self._asked = path, picked(headers, ASKED_HEADERS)
        self._nonce = nonce or secrets.token_hex(NONCE_BYTES)

    @property
    def proof(self) -> str:
        """The header's value, by which the owner knows that a worker asks."""
        return f"{self._nonce}.{self._mac('asks')}"

    def answer_proof(
        self, status: int, content_type: str, headers: Mapping[str, str], body: bytes
    ) -> str:
        """Return the header's value of an answer to this question, and to no other."""
        kind = "" if status == NOT_MODIFIED else content_type
        return self._mac("answers", status, kind, picked(headers, ANSWERED_HEADERS), body)

    def _mac(self, *said: object) -> str:
        # msgpack, because two different lists never have the same bytes.
        return hmac.new(
            self._key, msgspec.msgpack.encode((self._nonce, self._asked, said)), "sha256"
        ).hexdigest()


class Peers:
    """This process among the workers: its own secret, and the token that all of them have."""

    def __init__(self, secret: str, token: str | None = None) -> None:
        self._token = (token or "").encode()
        self._own_key = self._key_of(secret)

    def question(self, secret: str, path: str, headers: Mapping[str, str]) -> Question:
        """Return what is asked of the process with this secret."""
        return Question(self._key_of(secret), path, headers)

    def has_proven(self, request: web.Request) -> bool:
        """Return whether a worker asks; raise a 401 problem if it only seems to be one."""
        given = request.headers.get(PROOF_HEADER)
        if given is None:
            return False
        nonce = given.partition(".")[0]
        asked = self._asked(request, nonce)
        if request.method != "GET" or not is_same(given, asked.proof):
            detail = "this is no question of a worker to this process: it has to ask anew"
            raise Problem(401, "peer-not-proven", detail)
        request[_PROVEN] = nonce
        return True

    def sign(self, request: web.Request, response: web.StreamResponse) -> None:
        """Put the proof on an answer to a worker; nobody else gets one."""
        nonce = request.get(_PROVEN)
        if nonce is None or not isinstance(response, web.Response):
            return
        body = response.body if isinstance(response.body, bytes) else b""
        response.headers[PROOF_HEADER] = self._asked(request, nonce).answer_proof(
            response.status, response.content_type, response.headers, body
        )

    def _asked(self, request: web.Request, nonce: str) -> Question:
        return Question(self._own_key, request.raw_path, request.headers, nonce)

    def _key_of(self, secret: str) -> bytes:
        return hmac.digest(self._token, _LABEL + secret.encode(), "sha256")


def is_same(given: str, wanted: str) -> bool:
    """Whether two proofs are the same, in a time that does not tell how much of them is."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())
