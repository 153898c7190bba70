"""The venue's login: client credentials, client signature and refresh token, for one key pair."""

import hmac
import secrets
import time
from collections import OrderedDict

from exchange.errors import INVALID_CREDENTIALS, RpcError
from exchange.params import Params
from exchange.venue import Fields

TOKEN_LIFE_S = 900
MAX_SIGNATURE_AGE_S = 60  # a signature computed once is of no use at the next reconnect
MAX_TOKENS = 16  # sessions of a key; a further one drops the oldest
GRANTS = ("client_credentials", "client_signature", "refresh_token")


class Credentials:
    """Checks logins and hands out tokens."""

    def __init__(self, client_id: str, client_secret: str) -> None:
        self._id = client_id
        self._secret = client_secret
        self._access_tokens: OrderedDict[str, None] = OrderedDict()
        self._refresh_tokens: OrderedDict[str, None] = OrderedDict()

    def login(self, params: Params) -> Fields:
        """The result of public/auth; 13004 when the client is not who it says."""
        match params.choice("grant_type", GRANTS):
            case "client_credentials":
                known = self._knows(params.text("client_id"), params.text("client_secret"))
            case "client_signature":
                known = self._signed(params)
            case _:
                # A refresh token serves once.
                token = params.text("refresh_token")
                known = self._refresh_tokens.pop(token, _ABSENT) is not _ABSENT
        if not known:
            raise RpcError(INVALID_CREDENTIALS, "invalid_credentials")
        fields = self._tokens(params.text("scope", "connection"))
        state = params.optional_text("state")
        return fields if state is None else {**fields, "state": state}

    def has_token(self, token: str) -> bool:
        return token in self._access_tokens

    def _knows(self, client_id: str, client_secret: str) -> bool:
        return _same(client_id, self._id) and _same(client_secret, self._secret)

    def _signed(self, params: Params) -> bool:
        """hex(HMAC-SHA256(secret, timestamp LF nonce LF data)), the timestamp fresh."""
        timestamp_ms = params.integer("timestamp")
        message = f"{timestamp_ms}\n{params.text('nonce', '')}\n{params.text('data', '')}"
        expected = hmac.new(self._secret.encode(), message.encode(), "sha256").hexdigest()
        fresh = abs(time.time() - timestamp_ms / 1_000) <= MAX_SIGNATURE_AGE_S
        known = _same(params.text("client_id"), self._id)
        return _same(params.text("signature").lower(), expected) and known and fresh

    def _tokens(self, scope: str) -> Fields:
        access, refresh = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        for tokens, token in ((self._access_tokens, access), (self._refresh_tokens, refresh)):
            tokens[token] = None
            while len(tokens) > MAX_TOKENS:
                tokens.popitem(last=False)
        return {
            "access_token": access,
            "expires_in": TOKEN_LIFE_S,
            "refresh_token": refresh,
            "scope": scope,
            "sid": secrets.token_urlsafe(8),
            "token_type": "bearer",
        }


_ABSENT = object()


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
