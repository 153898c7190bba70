"""Logs a session in: what it sends as credentials, and when the token has to be renewed.

A signature is stamped with the venue's own clock, as its last answer told it, and with a nonce of
its own: one that was made once is of no use later, and this machine's clock may be wrong. Secrets
and tokens show in no repr, and so in no log and no traceback.
"""

from __future__ import annotations

import hmac
import math
import random
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from deribit.envelope import Token

REFRESH_SHARE: Final = 0.8
"""The part of a token's life after which it is renewed."""
LEAST_LIFE_S: Final = 1.0
"""A token is not renewed more often than this, whatever the venue says of its life."""


class Grant(StrEnum):
    """The ways in which a login proves who it is."""

    CLIENT_CREDENTIALS = "client_credentials"
    """The secret itself is sent."""
    CLIENT_SIGNATURE = "client_signature"
    """A signature made with the secret is sent, the secret is not."""
    REFRESH_TOKEN = "refresh_token"  # noqa: S105 - the venue's word
    """The refresh token of an earlier login is sent."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A key of the venue's API, and the way to use it."""

    client_id: str
    client_secret: str = field(repr=False)
    grant: Grant = Grant.CLIENT_CREDENTIALS


class Login:
    """The login of one session: done or not, when it is due again, and what it asks for."""

    __slots__ = (
        "_credentials",
        "_is_refreshing",
        "_refresh_token",
        "_rng",
        "due",
        "is_done",
        "is_fresh",
    )

    def __init__(self, credentials: Credentials, rng: random.Random) -> None:
        self.is_done = False
        """Whether the venue knows us, as far as we know."""
        self.is_fresh = True
        """Whether nothing was granted since we became known: a refusal is not about time then."""
        self.due = math.inf
        """When the token has to be renewed."""
        self._credentials = credentials
        self._rng = rng
        self._refresh_token: str | None = None
        self._is_refreshing = False

    def request(self, venue_ms: int | None) -> dict[str, Any] | None:
        """Return what to send; None if it takes the venue's time, which is not known."""
        self.due = math.inf
        self._is_refreshing = self._refresh_token is not None
        if self._refresh_token is not None:
            return {"grant_type": Grant.REFRESH_TOKEN, "refresh_token": self._refresh_token}
        key = self._credentials
        who = {"grant_type": key.grant, "client_id": key.client_id}
        if key.grant is Grant.CLIENT_CREDENTIALS:
            return who | {"client_secret": key.client_secret}
        if venue_ms is None:
            return None
        nonce = f"{self._rng.getrandbits(64):016x}"
        signature = sign(key.client_secret, venue_ms, nonce)
        proof = {"timestamp": venue_ms, "nonce": nonce, "data": "", "signature": signature}
        return who | proof

    def accepted(self, token: Token, now: float) -> None:
        """Note that the venue knows us, until the token expires."""
        self.is_fresh |= not self.is_done
        self.is_done = True
        self._refresh_token = token.refresh_token
        self.due = now + max(LEAST_LIFE_S, token.expires_in * REFRESH_SHARE)

    def refused(self) -> bool:
        """Note a refusal; return whether it was of a token, so that the key may do better."""
        self._refresh_token = None
        return self._is_refreshing

    def lost(self) -> None:
        """Note that the venue does not know us any more: the key itself has to be shown."""
        self.is_done = False
        self._refresh_token = None


def sign(secret: str, timestamp_ms: int, nonce: str, data: str = "") -> str:
    """Return the signature of a login, as the venue defines it."""
    message = f"{timestamp_ms}\n{nonce}\n{data}"  # the second line feed stands without data too
    return hmac.new(secret.encode(), message.encode(), "sha256").hexdigest()
