"""The market data of one session: which notifications are handed on, and what breaks a book.

A gap concerns its own channel only: that one is restarted, and what still arrives of it is dropped
until its snapshot; all others flow on.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Final

from deribit import decode_books_trades as messages
from deribit.backoff import Backoff
from deribit.decode_books_trades import decode
from deribit.decode_quotes_states import PlatformState
from deribit.envelope import Data, Params
from deribit.events import (
    Event,
    FellBack,
    GapFound,
    Notification,
    Rejected,
    Subscribed,
    Unreadable,
)
from deribit.limits import Limits
from deribit.sequence_check import Step
from deribit.subscriptions import Call, Stage, Subscription, Subscriptions
from deribit.vocabulary import INSTRUMENT_STATE, PLATFORM_STATE, parse_channel

MAX_NOTIFICATION_BYTES: Final = 768 * 1024
"""A larger one would not fit into a Kafka record; the deepest book seen has 46 kB."""
_OPEN: Final = (Stage.ACTIVE, Stage.SUBSCRIBING)


@dataclass(slots=True)
class Dropped:
    """Notifications that were not handed on, by why."""

    unwanted: int = 0
    """Notifications of a channel that is not wanted, no longer, or not yet again."""
    awaiting_snapshot: int = 0
    """Notifications of a book whose chain is broken."""
    repeated: int = 0
    """Announcements of the platform that said nothing new; it makes two and a half a second."""


class MarketData:
    """The channels of a session and their chains."""

    def __init__(
        self, backoff: Backoff, rng: random.Random, dropped: Dropped, limits: Limits
    ) -> None:
        self.subscriptions = Subscriptions(backoff, rng, limits)
        self._dropped = dropped
        self._marked: set[str] = set()
        self._announced: dict[str | None, PlatformState] = {}
        """The platform's last word by price index; None: on all of it."""
        self.is_listing_old = False
        """Whether an instrument has changed its state since the owner said that it has none."""

    def notified(self, params: Params | None, raw: bytes, now: float) -> list[Event]:
        """Take a notification; return what it means, nothing if it is to be dropped."""
        if params is None or params.data is None:
            return [Unreadable(raw, "a notification without channel or data")]
        channel = params.channel
        subscription = self.subscriptions.find(channel)
        if subscription is None:
            if parse_channel(channel) is None:
                return [Unreadable(raw, f"channel {channel[:80]!r} is not known")]
            self._dropped.unwanted += 1
            return []
        if not subscription.is_wanted or subscription.stage not in _OPEN:
            self._dropped.unwanted += 1  # in flight while the subscription was given up
            return []
        if len(raw) > MAX_NOTIFICATION_BYTES:
            return [Unreadable(raw, f"{len(raw)} bytes are more than {MAX_NOTIFICATION_BYTES}")]
        instrument = subscription.instrument
        if instrument and (other := params.names_other_than(instrument)) is not None:
            return [Unreadable(raw, f"channel {channel} carries data of {other[:80]!r}")]
        data = params.data
        if subscription.chain is None:
            if not instrument:
                return self._about_many(channel, data, raw)
            return [Notification(channel, instrument, raw)]
        if isinstance(data, list) or data.change_id is None:
            return [Unreadable(raw, f"a book without a change_id on {channel}")]
        expected = subscription.chain.last
        match subscription.chain.step(data.type, data.change_id, data.prev_change_id):
            case Step.NEXT:
                return [Notification(channel, instrument, raw)]
            case Step.SNAPSHOT:
                self.subscriptions.synced(subscription, now)
                return [Notification(channel, instrument, raw)]
            case Step.DUPLICATE:
                return [Notification(channel, instrument, raw, is_duplicate=True)]
            case Step.WAITING:
                self._dropped.awaiting_snapshot += 1
                return []
            case Step.GAP:
                self.subscriptions.restart(subscription, now)
                return [GapFound(channel, instrument, expected, data.prev_change_id)]

    def _about_many(self, channel: str, data: Data | list[Any], raw: bytes) -> list[Event]:
        """Take a notification of a channel that is not about one instrument."""
        if channel.startswith(INSTRUMENT_STATE) and isinstance(data, Data):
            self.is_listing_old = True
            return [Notification(channel, data.instrument_name or "", raw)]
        if channel == PLATFORM_STATE:
            try:
                decoded = decode(raw)
            except messages.Unreadable as error:
                return [Unreadable(raw, str(error))]
            state = decoded[1] if decoded is not None else None
            if isinstance(state, PlatformState):
                if self._announced.get(state.price_index) == state:
                    self._dropped.repeated += 1
                    return []
                self._announced[state.price_index] = state
        return [Notification(channel, "", raw)]

    def resync(self, channel: str, now: float) -> list[Event]:
        """Break a book's chain and ask for its snapshot; nothing if that is under way."""
        subscription = self.subscriptions.find(self.subscriptions.served_as(channel))
        if subscription is None or subscription.chain is None or subscription.chain.is_waiting:
            return []
        return [self._break(subscription, now)]

    def lost(self, channel: str, now: float) -> list[Event]:
        """Note that a notification could not be kept; return the mark that says so, once."""
        self.subscriptions.is_held = True
        subscription = self.subscriptions.find(channel)
        if subscription is None:
            return []
        if subscription.chain is None:
            mark = GapFound(channel, subscription.instrument, None, None)
        else:
            mark = self._break(subscription, now)
        if channel in self._marked:
            return []
        self._marked.add(channel)
        return [mark]

    def relieved(self, now: float) -> bool:
        """Note that there is room again: snapshots may be asked for. False if there always was."""
        if not self.subscriptions.is_held:
            return False
        self.subscriptions.is_held = False
        self.subscriptions.due = now
        self._marked.clear()
        return True

    def answered(self, call: Call, listed: set[str], now: float) -> list[Event]:
        """Take the venue's answer to a call, which lists only what it did."""
        left_out = self.subscriptions.confirmed(call, listed, now)
        if not call.is_subscribe:
            return []
        events: list[Event] = []
        rejected = tuple(subscription.channel for subscription in left_out)
        if accepted := tuple(name for name in call.channels if name not in rejected):
            events.append(Subscribed(accepted))
        if rejected:
            reason = "the venue left it out of its answer: unknown to it"
            events.append(Rejected(rejected, reason))
        return events

    def refused_raw(self, call: Call, now: float) -> list[Event]:
        """Follow 100ms channels instead of raw ones; nothing if the call had no raw ones."""
        replaced = self.subscriptions.fall_back(call, now)
        return [FellBack(tuple(replaced))] if replaced else []

    def refused(self, call: Call, reason: str) -> list[Event]:
        """Note that the venue serves none of a call's channels."""
        self.subscriptions.reject(call.subscriptions)
        return [Rejected(call.channels, reason)]

    def unsubscribed(self, channels: tuple[str, ...], now: float) -> list[Event] | None:
        """Note that the venue dropped channels by itself; None if none of them is known."""
        found = [s for s in map(self.subscriptions.find, channels) if s is not None]
        events: list[Event] = []
        for subscription in found:
            chain = subscription.chain
            if chain is not None and not chain.is_waiting:
                mark = GapFound(subscription.channel, subscription.instrument, chain.last, None)
                events.append(mark)
            self.subscriptions.unsubscribed(subscription, now)
        return events if found else None

    def _break(self, subscription: Subscription, now: float) -> GapFound:
        assert subscription.chain is not None
        expected = subscription.chain.last
        self.subscriptions.restart(subscription, now)
        return GapFound(subscription.channel, subscription.instrument, expected, None)
