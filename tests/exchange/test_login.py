"""Logins: what a token allows, where, and until when."""

import hmac
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from exchange.auth import MAX_SIGNATURE_AGE_MS, MAX_TOKENS, Credentials
from exchange.errors import RpcError
from exchange.params import Params
from exchange.rate_limits import DEFAULT, INSTRUMENTS, SUBSCRIBE, RateLimit
from tests.exchange.conftest import Client, Connect, Start

SECRET = {
    "grant_type": "client_credentials",
    "client_id": "demo",
    "client_secret": "demo-secret",
}
RAW_BOOK = "book.BTC-PERPETUAL.raw"
VENUE_MS = 1_700_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def desk(clock: Callable[[], float]) -> Credentials:
    return Credentials("demo", "demo-secret", 60.0, lambda: VENUE_MS, clock)


def signature(timestamp_ms: int, nonce: str) -> dict[str, Any]:
    text = f"{timestamp_ms}\n{nonce}\n".encode()
    return {
        "grant_type": "client_signature",
        "client_id": "demo",
        "timestamp": timestamp_ms,
        "nonce": nonce,
        "data": "",
        "signature": hmac.new(b"demo-secret", text, "sha256").hexdigest(),
    }


def test_a_login_expires_and_says_when() -> None:
    clock = Clock()
    credentials = desk(clock)
    login, fields = credentials.login(Params(dict(SECRET)))
    assert fields["expires_in"] == 60
    clock.now += 59.9
    assert credentials.is_good(login)
    clock.now += 0.2
    assert not credentials.is_good(login)
    assert not credentials.is_good(None)
    _, fields = credentials.login(Params(SECRET | {"scope": "connection expires:10"}))
    assert fields["expires_in"] == 10


def test_a_signature_is_fresh_by_the_venues_clock_and_serves_once() -> None:
    credentials = desk(Clock())
    credentials.login(Params(signature(VENUE_MS, "a")))
    credentials.login(Params(signature(VENUE_MS, "b")))
    for stale in (
        signature(VENUE_MS, "a"),
        signature(VENUE_MS - MAX_SIGNATURE_AGE_MS - 1, "c"),
        signature(VENUE_MS + MAX_SIGNATURE_AGE_MS + 1, "d"),
    ):
        with pytest.raises(RpcError, match="13004"):
            credentials.login(Params(stale))


def test_a_token_of_a_session_is_good_elsewhere_and_the_oldest_is_dropped() -> None:
    credentials = desk(Clock())
    mine, _ = credentials.login(Params(dict(SECRET)))
    shared = [
        credentials.login(Params(SECRET | {"scope": f"session:s{number}"}))[0]
        for number in range(MAX_TOKENS)
    ]
    assert credentials.of_token(mine.token) is None
    assert credentials.of_token(shared[0].token) == shared[0]
    credentials.login(Params(SECRET | {"scope": "session:more"}))
    assert credentials.of_token(shared[0].token) is None
    with pytest.raises(RpcError, match="-32602"):
        credentials.login(Params(SECRET | {"scope": "everything"}))


async def test_after_its_expiry_private_calls_are_13009_and_raw_is_13778(
    start: Start, client_of: Connect
) -> None:
    client = await client_of(await start(instruments=1, rate=8, token_lifetime_s=0.2))
    reply = await client.call("private/subscribe", channels=[RAW_BOOK])
    assert reply["error"]["code"] == 10000
    token = (await client.call("public/auth", **SECRET))["result"]["refresh_token"]
    assert (await client.call("private/subscribe", channels=[RAW_BOOK]))["result"] == [RAW_BOOK]
    while "result" in (reply := await client.call("private/unsubscribe", channels=[])):
        await client.next(RAW_BOOK)
    assert reply["error"]["code"] == 13009
    assert reply["error"]["data"] == {"reason": "invalid_token"}
    reply = await client.call("public/subscribe", channels=[RAW_BOOK])
    assert reply["error"]["code"] == 13778
    renewed = {"grant_type": "refresh_token", "refresh_token": token}
    assert "result" in await client.call("public/auth", **renewed)
    assert "result" in await client.call("private/unsubscribe", channels=[])


@pytest.mark.parametrize(
    ("method", "tariff"),
    [
        ("public/test", DEFAULT),
        ("public/unsubscribe", DEFAULT),
        ("private/subscribe", SUBSCRIBE),
        ("public/get_instruments", INSTRUMENTS),
    ],
)
def test_a_pool_holds_a_burst_and_refills(method: str, tariff: Any) -> None:
    pools = RateLimit()
    burst = tariff.pool // tariff.cost
    assert [pools.pay(method, 5.0) for _ in range(burst + 1)] == [True] * burst + [False]
    wait_s = tariff.cost / 10_000
    assert not pools.pay(method, 5.0 + 0.9 * wait_s)
    assert pools.pay(method, 5.0 + 1.1 * wait_s)
    assert pools.pay("public/hello", 5.0) == (tariff is not DEFAULT)


async def test_trades_number_blocks_and_liquidations_without_a_hole(
    start: Start, client_of: Connect
) -> None:
    client: Client = await client_of(await start(instruments=1, rate=8, speed=200))
    channel = "trades.BTC-PERPETUAL.100ms"
    await client.call("public/subscribe", channels=[channel])
    trades: list[dict[str, Any]] = []
    kinds: set[str] = set()
    while not {"block", "T", "M"} <= kinds:
        trades += await client.next(channel)
        kinds = {trade.get("liquidation", "none") for trade in trades}
        kinds |= {"block" for trade in trades if "block_trade_id" in trade}
    numbers = [trade["trade_seq"] for trade in trades]
    assert all(after == before + 1 for before, after in itertools.pairwise(numbers))
    assert kinds <= {"none", "block", "T", "M", "MT"}


async def test_a_ticker_is_now_and_then_ahead_of_the_book(start: Start, client_of: Connect) -> None:
    """Its best bid is that of the book's next frame; never older than the last frame's."""
    client = await client_of(await start(instruments=1, rate=8, speed=10))
    book, ticker = "book.BTC-PERPETUAL.100ms", "ticker.BTC-PERPETUAL.100ms"
    await client.call("public/subscribe", channels=[book, ticker])
    bids: dict[float, float] = {}
    ahead = even = 0
    while ahead < 3 or even < 3:
        message = await client.receive()
        data = message["params"]["data"]
        if message["params"]["channel"] == book:
            for action, price, amount in data["bids"]:
                bids.pop(price, None) if action == "delete" else bids.update({price: amount})
        elif bids:
            is_even = max(bids.items()) == (data["best_bid_price"], data["best_bid_amount"])
            even += is_even
            ahead += not is_even
