"""Kinds of settings: how a text is read, and what is refused, with the reason that is shown."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, SecretStr, ValidationInfo
from pydantic_settings import NoDecode
from yarl import URL

from app.durations import format_span, parse_duration, parse_span
from app.settings.advertised_address import parse_advertised
from deribit.served_instruments import sizes_by_name
from deribit.vocabulary import is_channel_kind
from orderbook.windows.span import Span

PRODUCTION_URL: Final = "wss://www.deribit.com/ws/api/v2"
TESTNET_URL: Final = "wss://test.deribit.com/ws/api/v2"
MIN_TOKEN_CHARS: Final = 16
HOST_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
PANE_MS: Final = 100
DAY_MS: Final = 86_400_000


def venue_address(value: str, info: ValidationInfo) -> str:
    """Return the address of the venue: as given, or that of Deribit."""
    testnet = info.data.get("testnet", False)
    if testnet and value == PRODUCTION_URL:
        raise ValueError("this is the production venue, but STEELYARD_TESTNET is set")
    value = value or (TESTNET_URL if testnet else PRODUCTION_URL)
    scheme, _, rest = value.partition("://")
    if scheme not in {"ws", "wss"}:
        raise ValueError("it must start with ws:// or wss://")
    if "@" in rest.split("/")[0]:
        raise ValueError("a name or password has no place in it: set STEELYARD_CLIENT_ID")
    URL(value)  # it must have a host, and a port that there can be
    return value


def kafka_servers(value: str) -> str:
    """Return the servers, each of which is a host with a port."""
    for server in value.split(","):
        URL(f"kafka://{server.strip()}")
    return value


def bare_host(value: str) -> str:
    """Return a host without the brackets of a URL."""
    return value.strip().removeprefix("[").removesuffix("]")  # as in a URL


def split(value: object) -> object:
    """Return the parts of a list with commas."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def served_instruments(value: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names, all of instruments that are served."""
    for name in value:
        sizes_by_name(name)
    return value


def window_lengths(value: object) -> object:
    """Return lengths in ms, sorted, each once."""
    value = split(value)
    if isinstance(value, tuple | list):
        lengths = {parse_duration(part) if isinstance(part, str) else part for part in value}
        if not lengths:
            raise ValueError("give at least one window length, such as 1s")
        return tuple(sorted(lengths))
    return value


def whole_panes(value: tuple[int, ...]) -> tuple[int, ...]:
    """Return the lengths, all of whole panes."""
    for length in value:
        if length < PANE_MS or length % PANE_MS or length > DAY_MS:
            raise ValueError(
                f"window length {length} ms must be a multiple of 100 ms, at most 1 day"
            )
    return value


def reachable(value: str) -> str:
    """Return the address, at which a worker can be asked."""
    if value:
        parse_advertised(value, 0)
    return value


def host_names(value: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names, all of hosts."""
    for name in value:
        if HOST_NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} is no name of a host: no port, no URL, no pattern")
    return value


def long_enough(value: SecretStr) -> SecretStr:
    """Return the token, which is too long to be guessed."""
    if len(value.get_secret_value()) < MIN_TOKEN_CHARS:
        raise ValueError(f"it must have {MIN_TOKEN_CHARS} characters at least")
    return value


def hops(value: object) -> object:
    """Return the spans, sorted, each once."""
    if isinstance(value, str):
        value = tuple(parse_span(part) for part in value.split(",") if part.strip())
    return tuple(sorted(set(value))) if isinstance(value, tuple | list) else value


def overlapping(value: tuple[Span, ...]) -> tuple[Span, ...]:
    """Return the spans, all of windows that overlap."""
    for span in value:
        span.check()
        if not span.is_hopping or span.hop_ms % PANE_MS:
            raise ValueError(
                f"{format_span(span)}: give a length and a hop, each a multiple of 100 ms and "
                "the hop the shorter one, such as 10s/1s; other windows belong in windows"
            )
    return value


def known_channels(value: tuple[str, ...]) -> tuple[str, ...]:
    """Return the kinds, all of channels that are read."""
    if unknown := [each for each in value if not is_channel_kind(each)]:
        raise ValueError(
            f"unknown channels {unknown}; known are book, trades, ticker, quote, perpetual, "
            "instrument.state, platform_state, and grouped books such as book.none.10"
        )
    return value


Venue = Annotated[str, AfterValidator(venue_address)]
Servers = Annotated[str, AfterValidator(kafka_servers)]
Host = Annotated[str, AfterValidator(bare_host)]
Advertised = Annotated[str, AfterValidator(reachable)]
Token = Annotated[SecretStr, AfterValidator(long_enough)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split)]
Instruments = Annotated[Names, AfterValidator(served_instruments)]
Channels = Annotated[Names, AfterValidator(known_channels)]
HostNames = Annotated[Names, AfterValidator(host_names)]
Lengths = Annotated[
    tuple[int, ...], NoDecode, BeforeValidator(window_lengths), AfterValidator(whole_panes)
]
Hops = Annotated[tuple[Span, ...], NoDecode, BeforeValidator(hops), AfterValidator(overlapping)]
