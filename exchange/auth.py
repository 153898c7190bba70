"""The venue's login: client credentials, client signature and refresh token, for one key pair.

A login has a token that expires. With the scope `connection` (the default) it is good on the
connection that asked for it only; with `session:NAME` on others too.
"""

import hmac
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from exchange.errors import INVALID_CREDENTIALS, RpcError, invalid_param
from exchange.params import Params
from exchange.venue import Fields

MAX_SIGNATURE_AGE_MS = 60_000  # a signature computed once is of no use at the next reconnect
MAX_TOKENS = 16  # sessions of a key; a further one drops the oldest
MAX_NONCES = 10_000
GRANTS = ("client_credentials", "client_signature", "refresh_token")
SCOPE = re.compile(
    r"connection|mainaccount|session:[\w-]{1,64}|expires:[1-9]\d{0,8}|ip:[\w.:*]+"
    r"|(account|trade|wallet|block_trade):(read|read_write|none)"
)


@dataclass(frozen=True, slots=True)
class Login:
    """A login: what a client may do, until when (monotonic), and where."""

    token: str
    expires_at: float
    scope: str

    @property
    def is_for_connection(self) -> bool:
        return "session:" not in self.scope


class Credentials:
    """Checks logins and hands out tokens."""

    def __init__(
        self,
        client_id: str,
        client_secret: str,
        lifetime_s: float,
        venue_ms: Callable[[], int],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._id = client_id
        self._secret = client_secret
        self._lifetime_s = lifetime_s
        self._venue_ms = venue_ms  # signatures are stamped with the venue's time
        self._now = now
        self._logins: OrderedDict[str, Login] = OrderedDict()
        self._refresh_tokens: OrderedDict[str, str] = OrderedDict()  # token → scope
        self._nonces: OrderedDict[str, None] = OrderedDict()

    def login(self, params: Params) -> tuple[Login, Fields]:
        """The login and the result of public/auth; 13004 when the client is not who it says."""
        scope = params.text("scope", "connection")
        match params.choice("grant_type", GRANTS):
            case "client_credentials":
                known = self._knows(params.text("client_id"), params.text("client_secret"))
            case "client_signature":
                known = self._signed(params)
            case _:
                # A refresh token serves once, and its scope is that of the login before.
                kept = self._refresh_tokens.pop(params.text("refresh_token"), None)
                known, scope = kept is not None, kept or scope
        if not known:
            raise RpcError(INVALID_CREDENTIALS)
        login, fields = self._admit(scope)
        state = params.optional_text("state")
        return login, fields if state is None else {**fields, "state": state}

    def is_good(self, login: Login | None) -> bool:
        """Return whether a connection's login has not expired."""
        return login is not None and self._now() < login.expires_at

    def of_token(self, token: str) -> Login | None:
        """The login of a token that may be used on any connection."""
        login = self._logins.get(token)
        return None if login is None or login.is_for_connection else login

    def _knows(self, client_id: str, client_secret: str) -> bool:
        # Both are compared, whatever the first says: time tells nothing.
        return _same(client_id, self._id) & _same(client_secret, self._secret)

    def _signed(self, params: Params) -> bool:
        """hex(HMAC-SHA256(secret, timestamp LF nonce LF data)), fresh, and not used before."""
        timestamp_ms, nonce = params.integer("timestamp"), params.text("nonce", "")
        message = f"{timestamp_ms}\n{nonce}\n{params.text('data', '')}"
        expected = hmac.new(self._secret.encode(), message.encode(), "sha256").hexdigest()
        fresh = abs(self._venue_ms() - timestamp_ms) <= MAX_SIGNATURE_AGE_MS
        known = _same(params.text("client_id"), self._id)
        signed = _same(params.text("signature").lower(), expected)
        if not (known and signed and fresh) or f"{timestamp_ms} {nonce}" in self._nonces:
            return False
        self._nonces[f"{timestamp_ms} {nonce}"] = None
        while len(self._nonces) > MAX_NONCES:
            self._nonces.popitem(last=False)
        return True

    def _admit(self, scope: str) -> tuple[Login, Fields]:
        words = scope.split()
        for word in words:
            if not SCOPE.fullmatch(word):
                raise invalid_param("scope", f"{word!r} is no scope")
        asked = [int(word.removeprefix("expires:")) for word in words if word.startswith("expires")]
        lifetime_s = min(self._lifetime_s, *asked) if asked else self._lifetime_s
        login = Login(secrets.token_urlsafe(24), self._now() + lifetime_s, " ".join(words))
        refresh = secrets.token_urlsafe(24)
        self._logins[login.token] = login
        self._refresh_tokens[refresh] = login.scope
        for tokens in (self._logins, self._refresh_tokens):
            while len(tokens) > MAX_TOKENS:
                tokens.popitem(last=False)
        return login, {
            "access_token": login.token,
            "expires_in": lifetime_s if lifetime_s % 1 else int(lifetime_s),
            "refresh_token": refresh,
            "scope": login.scope,
            "sid": secrets.token_urlsafe(8),
            "token_type": "bearer",
        }


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
