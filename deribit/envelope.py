"""Reading of what the venue sends: an envelope of only the fields that a session decides by.

The data themselves stay bytes here; what they say about a book or a trade is decoded after Kafka
(decode_books_trades.py). 1.2 µs a book change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec

from deribit.events import Instrument, Unreadable
from deribit.vocabulary import UNSERVED_STATES
from orderbook.instrument_names import is_instrument_name

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises: not JSON, of another type than expected, not UTF-8, nested too deeply."""

_Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""Ids travel on as 64 bits."""


class Data(msgspec.Struct, gc=False):
    """The part of a notification's data that the sequence check reads."""

    type: str | None = None
    change_id: _Id | None = None
    prev_change_id: _Id | None = None
    instrument_name: str | None = None


class _Named(msgspec.Struct, gc=False):
    instrument_name: str | None = None


class Params(msgspec.Struct, gc=False):
    """The parameters of a notification or a heartbeat."""

    channel: str = ""
    type: str = ""
    data: Data | list[_Named] | None = None

    def names_other_than(self, instrument: str) -> str | None:
        """Return another instrument that the data name; None if there is none."""
        data = self.data
        if isinstance(data, Data):
            name = data.instrument_name
            return name if name is not None and name != instrument else None
        for item in data or ():
            if item.instrument_name is not None and item.instrument_name != instrument:
                return item.instrument_name
        return None


class VenueError(msgspec.Struct):
    """An error reply."""

    code: int
    message: str = ""
    data: msgspec.Raw = msgspec.Raw()

    def channels(self) -> list[str]:
        """Return the channels that the error names, if it does."""
        try:
            named = msgspec.json.decode(self.data, type=_NamedChannels)
        except UNREADABLE:
            return []  # `data` is free text for most errors
        return named.channels + ([named.channel] if named.channel else [])


class _NamedChannels(msgspec.Struct):
    channel: str = ""
    channels: list[str] = []


class Message(msgspec.Struct, gc=False):
    """Anything the venue sends."""

    id: int | str | None = None
    method: str = ""
    params: Params | None = None
    result: msgspec.Raw = msgspec.Raw()
    error: VenueError | None = None
    usOut: int | None = None
    testnet: bool = False


class Version(msgspec.Struct):
    """The answer to hello."""

    version: str


@dataclass(frozen=True, slots=True)
class Token:
    """The answer to auth, as far as it is used: the connection itself is authenticated."""

    expires_in: float
    refresh_token: str | None = field(default=None, repr=False)


_message = msgspec.json.Decoder(Message)
decode = _message.decode
_items = msgspec.json.Decoder(list[msgspec.Raw])
_instrument = msgspec.json.Decoder(Instrument)


def open_futures(result: msgspec.Raw) -> tuple[list[Instrument], list[Unreadable]]:
    """Return the open futures of an answer to get_instruments, and what was not understood.

    Raises what UNREADABLE names if the answer is no list.
    """
    found, refused = [], []
    for raw in _items.decode(result):
        try:
            instrument = _instrument.decode(raw)
        except UNREADABLE as error:
            refused.append(Unreadable(bytes(raw), f"instrument: {error}"))
            continue
        if not is_instrument_name(instrument.instrument_name):
            refused.append(Unreadable(bytes(raw), "instrument: its name cannot be in a channel"))
        elif instrument.is_active is not False and instrument.state not in UNSERVED_STATES:
            found.append(instrument)
    return found, refused
