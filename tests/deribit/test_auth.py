"""Logging in: both ways, renewal, what a lost or refused login leads to; no secret is said."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest

from deribit.auth import Credentials, Grant, sign
from deribit.events import (
    Connected,
    Failed,
    Fatal,
    FellBack,
    Instruments,
    Reconnect,
    Rejected,
    Subscribed,
    Unreadable,
)
from tests.deribit.script import BTC, ETH, VENUE_US, Venue, book

SECRET = "canary-secret"
KEY = Credentials("id", SECRET)
SIGNING = Credentials("id", SECRET, Grant.CLIENT_SIGNATURE)
RAW = "book.BTC-PERPETUAL.raw"
TOKEN = {"access_token": "canary-access", "refresh_token": "canary-refresh", "expires_in": 900}


def greeted(*channels: str, key: Credentials = KEY, seed: int = 1) -> Venue:
    """Return a session that has sent its login and has no answer to it yet."""
    venue = Venue(*channels, credentials=key, seed=seed)
    venue.answer("hello", {"version": "1.2.26"})
    return venue


def logged_in(*channels: str) -> Venue:
    """Return a session that has subscribed its channels."""
    venue = greeted(*channels)
    venue.answer("auth", TOKEN)
    for _ in range(5):
        venue.tick(0.0)
        for request in list(venue.asked):
            venue.answer_one(request)
    venue.events.clear()
    return venue


def asked_to_log_in(venue: Venue) -> dict[str, Any]:
    """Return the parameters of the one login that waits for its answer."""
    (request,) = venue.requests("auth")
    return dict(request["params"])


def live_for(venue: Venue, seconds: int) -> None:
    """Let time pass while the venue answers everything but logins."""
    for _ in range(seconds):
        venue.tick(1.0)
        for request in list(venue.asked):
            if request["method"] != "public/auth":
                venue.answer_one(request)


def test_with_client_credentials_the_key_itself_is_sent() -> None:
    assert asked_to_log_in(greeted()) == {
        "grant_type": "client_credentials",
        "client_id": "id",
        "client_secret": SECRET,
    }


def test_a_signature_is_made_as_the_venue_defines_it_and_the_secret_is_not_sent() -> None:
    venue = greeted(key=SIGNING)
    params = asked_to_log_in(venue)
    stamp, nonce = params["timestamp"], params["nonce"]
    message = f"{stamp}\n{nonce}\n".encode()
    assert params == {
        "grant_type": "client_signature",
        "client_id": "id",
        "timestamp": stamp,
        "nonce": nonce,
        "data": "",
        "signature": hmac.new(SECRET.encode(), message, hashlib.sha256).hexdigest(),
    }
    assert stamp == (VENUE_US + int(venue.now * 1e6)) // 1000  # the venue's clock, not ours
    assert not [sent for sent in venue.sent if SECRET.encode() in sent]


def test_the_signature_of_a_known_example() -> None:
    # RFC 4231, test case 2, whose data stand in the place of ours: "what do ya want for nothing?"
    direct = hmac.new(b"Jefe", b"what do ya want for nothing?", "sha256").hexdigest()
    assert direct.startswith("5bdcc146bf60754e")
    assert sign("Jefe", 1, "n", "d") == hmac.new(b"Jefe", b"1\nn\nd", "sha256").hexdigest()


def test_bug_class_9_each_attempt_has_a_fresh_timestamp_and_nonce() -> None:
    # Five sessions, each with another generator, as a client's sessions and clients have.
    attempts = [asked_to_log_in(greeted(key=SIGNING, seed=seed)) for seed in range(5)]
    venue = greeted(key=SIGNING)
    venue.answer("auth", {"expires_in": 900})  # no refresh token: it must sign again
    live_for(venue, 721)
    attempts += [asked_to_log_in(venue)]
    assert len({attempt["nonce"] for attempt in attempts}) == 6
    assert len({attempt["signature"] for attempt in attempts}) == 6
    assert attempts[-1]["timestamp"] >= attempts[0]["timestamp"] + 719_000


def test_a_venue_that_tells_no_time_gets_no_signature() -> None:
    venue = Venue(credentials=SIGNING)
    (request,) = venue.asked
    reply = {"id": request["id"], "result": {"version": "1"}}
    (end,) = venue.says(json.dumps(reply).encode())
    assert isinstance(end, Reconnect)
    assert "no time" in end.detail


def test_a_token_is_renewed_with_its_refresh_token_at_80_percent_of_its_life() -> None:
    venue = logged_in(BTC)
    live_for(venue, 719)
    assert venue.requests("auth") == []
    live_for(venue, 2)
    params = asked_to_log_in(venue)
    assert params == {"grant_type": "refresh_token", "refresh_token": "canary-refresh"}
    venue.answer("auth", TOKEN | {"refresh_token": "second"})
    live_for(venue, 721)
    assert asked_to_log_in(venue)["refresh_token"] == "second"


def test_a_refresh_that_is_refused_is_followed_by_a_login_with_the_key() -> None:
    venue = logged_in(BTC)
    live_for(venue, 721)
    assert venue.fail("auth", 13004) == [Failed("public/auth", 13004, "invalid_credentials")]
    assert asked_to_log_in(venue)["client_secret"] == SECRET
    venue.answer("auth", TOKEN)
    assert not venue.session.is_over


def test_a_refresh_and_then_the_key_refused_is_fatal() -> None:
    venue = logged_in(BTC)
    live_for(venue, 721)
    venue.fail("auth", 13004)
    assert isinstance(venue.fail("auth", 13004)[-1], Fatal)


def test_data_flow_on_while_a_token_is_renewed() -> None:
    venue = logged_in(BTC)
    venue.says(book(BTC, 5))
    live_for(venue, 721)
    venue.session.want([BTC, ETH], venue.now)
    venue.tick(0.0)
    assert venue.channels_asked("subscribe") == [ETH]
    assert len(venue.says(book(BTC, 6, 5))) == 1


def test_a_token_of_no_life_is_no_hot_loop() -> None:
    venue = greeted()
    venue.answer("auth", {"expires_in": -5})
    before = len(venue.sent)
    for _ in range(20):
        venue.tick(0.5)
        for request in list(venue.asked):
            if request["method"] == "public/auth":
                venue.answer("auth", {"expires_in": 0}, request)
            else:
                venue.answer_one(request)
    logins = [sent for sent in venue.sent[before:] if b"public/auth" in sent]
    assert 8 <= len(logins) <= 11


@pytest.mark.parametrize("code", [13009, 10000])
def test_13009_logs_in_on_the_same_connection_and_repeats_what_was_refused(code: int) -> None:
    venue = logged_in(BTC)
    venue.session.want([BTC, ETH], venue.now)
    venue.tick(0.0)
    assert venue.fail("subscribe", code)[0] == Failed("private/subscribe", code, "no")
    assert asked_to_log_in(venue)["grant_type"] == "client_credentials"
    venue.tick(1.0)
    assert venue.requests("subscribe") == []  # not before the venue knows us again
    assert venue.answer("auth", TOKEN) == []
    venue.tick(1.0)
    (request,) = venue.requests("subscribe")
    assert request["params"]["channels"] == [ETH]
    assert venue.answer("subscribe", [ETH]) == [Subscribed((ETH,))]
    assert not venue.session.is_over


def test_13009_to_an_unsubscribe_is_repeated_too() -> None:
    venue = logged_in(BTC, ETH)
    venue.session.want([BTC], venue.now)
    venue.tick(0.0)
    venue.fail("unsubscribe", 13009)
    venue.answer("auth", TOKEN)
    venue.tick(1.0)
    assert venue.channels_asked("unsubscribe") == [ETH]


def test_13009_to_the_list_of_instruments_is_repeated_too() -> None:
    venue = logged_in(BTC)
    for _ in range(601):  # it is asked for each ten minutes
        venue.tick(1.0)
        for request in list(venue.asked):
            if request["method"] != "public/get_instruments":
                venue.answer_one(request)
    venue.fail("get_instruments", 13009)
    venue.tick(0.5)
    assert venue.requests("get_instruments") == []
    venue.answer("auth", TOKEN)
    venue.tick(0.0)
    assert venue.answer("get_instruments", []) == [Instruments(())]


def test_two_refusals_lead_to_one_login() -> None:
    venue = logged_in(BTC, ETH)
    venue.session.want([ETH, "book.SOL_USDC-PERPETUAL.100ms"], venue.now)
    venue.tick(0.0)
    venue.fail("unsubscribe", 13009)
    venue.fail("subscribe", 13009)
    assert len(venue.requests("auth")) == 1


def test_13009_right_after_a_login_is_tried_on_a_new_connection_not_for_ever() -> None:
    venue = logged_in(BTC)
    venue.session.want([BTC, ETH], venue.now)
    venue.tick(0.0)
    venue.fail("subscribe", 13009)
    venue.answer("auth", TOKEN)
    venue.tick(1.0)
    end = venue.fail("subscribe", 13009)[-1]
    assert isinstance(end, Reconnect)
    assert end.reason == "unauthorized"


def test_13009_without_a_key_ends_the_session() -> None:
    venue = Venue(BTC)
    venue.answer("hello", {"version": "1"})
    assert isinstance(venue.fail("subscribe", 13009)[-1], Reconnect)


def test_a_login_that_is_lost_during_its_renewal_is_made_with_the_key_if_need_be() -> None:
    venue = logged_in(BTC)
    live_for(venue, 721)
    venue.session.want([BTC, ETH], venue.now)
    venue.tick(0.0)
    venue.fail("subscribe", 13009)
    assert asked_to_log_in(venue)["grant_type"] == "refresh_token"  # still the only one
    venue.fail("auth", 13009)
    assert asked_to_log_in(venue)["grant_type"] == "client_credentials"


def test_13778_on_a_connection_that_was_logged_in_is_a_lost_login() -> None:
    venue = logged_in(RAW)
    venue.session.want([RAW, "trades.BTC-PERPETUAL.raw"], venue.now)
    venue.tick(0.0)
    venue.fail("subscribe", 13778)
    venue.answer("auth", TOKEN)
    venue.tick(1.0)
    assert venue.channels_asked("subscribe") == ["trades.BTC-PERPETUAL.raw"]


def test_13778_in_spite_of_a_fresh_login_falls_back_to_100ms() -> None:
    venue = greeted(RAW)
    venue.answer("auth", TOKEN)
    *_, fell = venue.fail("subscribe", 13778)
    assert fell == FellBack(((RAW, BTC),))
    venue.tick(0.5)
    assert venue.channels_asked("subscribe") == [BTC]


def test_11056_with_a_key_is_answered_by_logging_in_before_the_greeting() -> None:
    venue = Venue(BTC, credentials=KEY)
    venue.fail("hello", 11056)
    assert asked_to_log_in(venue)["client_secret"] == SECRET
    assert venue.answer("auth", TOKEN) == []
    assert venue.answer("hello", {"version": "1.2.26"}) == [Connected(simulated=False)]
    assert venue.channels_asked("subscribe") == [BTC]


def test_11056_without_a_key_stays_away_for_a_while() -> None:
    venue = Venue(BTC)
    end = venue.fail("hello", 11056)[-1]
    assert isinstance(end, Reconnect)
    assert (end.reason, end.least_wait_s) == ("unauthenticated_disabled", 30.0)


@pytest.mark.parametrize(("code", "least_s"), [(10028, 5.0), (11051, 30.0), (11094, 0.0)])
def test_a_login_that_the_venue_cannot_serve_now_is_tried_again_later(
    code: int, least_s: float
) -> None:
    end = greeted().fail("auth", code)[-1]
    assert isinstance(end, Reconnect)
    assert end.least_wait_s == least_s


def test_no_secret_and_no_token_is_said_in_any_event_or_repr() -> None:
    venue = greeted(key=KEY)
    venue.answer("auth", {"access_token": "canary-access", "expires_in": "canary-text"})
    assert venue.session.is_over
    other = greeted(key=KEY)
    other.says(json.dumps({"id": 77, "result": TOKEN}).encode())
    other.says(b'{"id": 2, "result": {"access_token": "canary-access", "refresh_token": ')
    other.says(json.dumps({"method": "auth", "result": TOKEN}).encode())
    other.fail("auth", 13004, f"invalid_credentials: {SECRET}")
    everything = repr([venue.events, other.events, KEY, venue.session, venue.session.__dict__])
    assert sum(isinstance(event, Unreadable) for event in other.events) == 3
    assert "canary" not in everything


def test_a_channel_that_is_refused_for_another_reason_is_rejected_with_a_key_too() -> None:
    venue = logged_in(BTC)
    venue.session.want([BTC, ETH], venue.now)
    venue.tick(0.0)
    assert isinstance(venue.fail("subscribe", 13020)[-1], Rejected)
