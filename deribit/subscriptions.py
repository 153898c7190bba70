"""Subscriptions: wanted channels, confirmed ones, and the calls that close the difference.

A book without a chain to build on is restarted: unsubscribe, wait for the answer, subscribe; for a
second subscribe alone is answered, but brings no new snapshot. Restarts are batched, paced and, if
one did not help, spaced by a backoff, because the venue ends the session of who calls too often.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Iterable, Iterator
from enum import Enum
from typing import Final, NamedTuple

from deribit.backoff import Backoff
from deribit.limits import Limits
from deribit.sequence_check import Chain
from deribit.vocabulary import Method, parse_channel, without_raw

MAX_CHANNELS_PER_CALL: Final = 400
"""The venue allows 500."""
MAX_CALL_BYTES: Final = 30_000
"""The venue refuses requests above 32 kB."""
_CALL_OVERHEAD_BYTES: Final = 200
RESYNC_BATCH_S: Final = 0.2
"""Books that break within this time are restarted together."""
SNAPSHOT_TIMEOUT_S: Final = 10.0


class Stage(Enum):
    """The stages of a channel between the venue and us."""

    IDLE = "idle"
    SUBSCRIBING = "subscribing"
    ACTIVE = "active"
    UNSUBSCRIBING = "unsubscribing"
    REJECTED = "rejected"


class Subscription:
    """One channel, with its chain if it is an incremental book."""

    __slots__ = (
        "attempts",
        "chain",
        "channel",
        "due",
        "instrument",
        "is_wanted",
        "must_restart",
        "stage",
        "synced_at",
    )

    def __init__(self, channel: str) -> None:
        parts = parse_channel(channel)
        assert parts is not None, channel
        self.channel = channel
        self.instrument = parts.instrument
        self.chain = Chain() if parts.is_incremental_book else None
        self.stage = Stage.IDLE
        self.is_wanted = True
        self.must_restart = False
        self.due = -math.inf
        """When the next step is due: to subscribe, to restart, to miss the snapshot."""
        self.attempts = 0
        """Restarts since the chain was last healthy."""
        self.synced_at: float | None = None

    @property
    def is_settled(self) -> bool:
        """Return whether nothing is left to do or to wait for."""
        if self.stage is Stage.REJECTED:
            return self.is_wanted
        waits = self.chain is not None and self.chain.is_waiting
        return self.stage is Stage.ACTIVE and self.is_wanted and not self.must_restart and not waits


class Call(NamedTuple):
    """A request to subscribe or to unsubscribe."""

    is_subscribe: bool
    subscriptions: tuple[Subscription, ...]

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(subscription.channel for subscription in self.subscriptions)


class Subscriptions:
    """All channels of one session."""

    def __init__(self, backoff: Backoff, rng: random.Random, limits: Limits) -> None:
        self.is_held = False
        """While the reader is behind, nothing that brings a snapshot is asked for."""
        self.due = math.inf
        """When `plan` should be called next, as far as is known."""
        self._backoff = backoff
        self._rng = rng
        self._limits = limits
        self._all: dict[str, Subscription] = {}
        self._unsettled: dict[str, Subscription] = {}
        self._batch_at = -math.inf
        self._without_raw = False

    def find(self, channel: str) -> Subscription | None:
        """Return the subscription of a channel that is wanted, or was and is not yet given up."""
        return self._all.get(channel)

    def served_as(self, channel: str) -> str:
        """Return the channel that is followed for one that is wanted."""
        return without_raw(channel) if self._without_raw else channel

    def want(self, channels: Iterable[str], now: float) -> None:
        """Make these the wanted channels; raise ValueError, changing nothing, if one is no name."""
        wanted = {self.served_as(channel): None for channel in channels}
        for channel in wanted:
            if parse_channel(channel) is None:
                raise ValueError(f"{channel!r} is no channel of the venue; book.X.100ms is one")
        for channel, subscription in self._all.items():
            if channel not in wanted and subscription.is_wanted:
                subscription.is_wanted = False
                # Should it be wanted again before the venue knows: its owner needs a snapshot.
                subscription.must_restart = True
                if subscription.chain is not None:
                    subscription.chain.interrupt()
                self._touch(subscription, now)
        for channel in wanted:
            self._add(channel, now)

    def plan(self, now: float) -> list[Call]:
        """Return the calls that are due, and note that they are under way."""
        leave, join = [], []
        for subscription in list(self._unsettled.values()):
            if subscription.is_settled:
                del self._unsettled[subscription.channel]
            elif subscription.stage is Stage.ACTIVE:
                if subscription.due > now:
                    continue
                if not subscription.is_wanted:
                    leave.append(subscription)
                elif not self.is_held:
                    if subscription.must_restart:
                        leave.append(subscription)
                    else:
                        self.restart(subscription, now)  # the snapshot has not come in time
            elif subscription.stage in (Stage.IDLE, Stage.REJECTED):
                if not subscription.is_wanted:
                    del self._all[subscription.channel], self._unsettled[subscription.channel]
                elif subscription.due <= now and not self.is_held:
                    join.append(subscription)
        calls = list(self._calls(leave, join, now))
        self.due = self._next_due(now)
        return calls

    def confirmed(self, call: Call, listed: Collection[str], now: float) -> list[Subscription]:
        """Note the venue's answer to a call; return the subscriptions that it left out."""
        left_out = []
        for subscription in call.subscriptions:
            due = now
            if not call.is_subscribe:
                subscription.stage = Stage.IDLE
            elif subscription.channel not in listed:
                left_out.append(subscription)
            else:
                subscription.stage = Stage.ACTIVE
                # A restart that was asked for meanwhile keeps its time.
                due = subscription.due if subscription.must_restart else now + SNAPSHOT_TIMEOUT_S
            self._touch(subscription, now, due)
        self.reject(left_out)
        return left_out

    def reject(self, subscriptions: Iterable[Subscription]) -> None:
        """Note that the venue does not serve these; they are not asked for again."""
        for subscription in subscriptions:
            subscription.stage = Stage.REJECTED

    def retry(self, call: Call, now: float) -> None:
        """Note that a call has to be made again, after a wait."""
        for subscription in call.subscriptions:
            subscription.stage = Stage.IDLE if call.is_subscribe else Stage.ACTIVE
            self._delay(subscription, now)

    def unsubscribed(self, subscription: Subscription, now: float) -> None:
        """Note that the venue dropped a subscription by itself."""
        if subscription.chain is not None:
            subscription.chain.interrupt()
        subscription.stage = Stage.IDLE
        subscription.must_restart = False
        self._delay(subscription, now)

    def restart(self, subscription: Subscription, now: float) -> None:
        """Break the chain and ask for a new snapshot; nothing if that is under way."""
        if subscription.chain is not None:
            subscription.chain.interrupt()
        if subscription.must_restart or subscription.stage not in _STARTED:
            return
        subscription.must_restart = True
        self._delay(subscription, now)

    def synced(self, subscription: Subscription, now: float) -> None:
        """Note that the snapshot has come: whatever was to be restarted is whole again."""
        subscription.synced_at = now
        subscription.must_restart = False

    def fall_back(self, call: Call, now: float) -> list[tuple[str, str]]:
        """Replace the raw channels of a refused call; return what by what. Empty: none was raw."""
        self._without_raw = True
        replaced = []
        for subscription in call.subscriptions:
            channel = without_raw(subscription.channel)
            if channel == subscription.channel:
                subscription.stage = Stage.IDLE
                self._touch(subscription, now)
                continue
            del self._all[subscription.channel]
            self._unsettled.pop(subscription.channel, None)
            if subscription.is_wanted:
                self._add(channel, now)
                replaced.append((subscription.channel, channel))
        return replaced

    def _add(self, channel: str, now: float) -> None:
        known = self._all.get(channel)
        if known is None:
            self._all[channel] = known = Subscription(channel)
        elif known.is_wanted:
            return
        known.is_wanted = True
        self._touch(known, now)

    def _delay(self, subscription: Subscription, now: float) -> None:
        """Set when a broken subscription may be asked for: with the batch at first, then later."""
        synced_at = subscription.synced_at
        if synced_at is not None and now - synced_at >= self._backoff.healthy_s:
            subscription.attempts = 0
        if subscription.attempts == 0:
            if self._batch_at <= now:
                self._batch_at = now + RESYNC_BATCH_S
            due = self._batch_at
        else:
            due = now + self._backoff.wait_s(subscription.attempts - 1, self._rng)
        subscription.attempts += 1
        self._touch(subscription, now, due)

    def _touch(self, subscription: Subscription, now: float, due: float | None = None) -> None:
        subscription.due = now if due is None else due
        self._unsettled[subscription.channel] = subscription
        self.due = min(self.due, max(subscription.due, now))

    def _calls(
        self, leave: list[Subscription], join: list[Subscription], now: float
    ) -> Iterator[Call]:
        for is_subscribe, subscriptions in ((False, leave), (True, join)):
            for chunk in _chunks(subscriptions):
                if not self._limits.take(_METHODS[is_subscribe], now):
                    return
                for subscription in chunk:
                    if is_subscribe:
                        subscription.stage = Stage.SUBSCRIBING
                        subscription.must_restart = False
                    else:
                        # Its chain waits already: whatever made it leave has interrupted it.
                        subscription.stage = Stage.UNSUBSCRIBING
                yield Call(is_subscribe, tuple(chunk))

    def _next_due(self, now: float) -> float:
        """Return the time of the next step that does not wait for an answer of the venue."""
        due = math.inf
        for subscription in self._unsettled.values():
            if subscription.stage in (Stage.SUBSCRIBING, Stage.UNSUBSCRIBING):
                continue
            if subscription.is_wanted and self.is_held:
                continue
            due = min(due, subscription.due)
        if due > now:
            return due
        return max(due, self._limits.ready_at(Method.SUBSCRIBE, now))


_METHODS: Final = (Method.UNSUBSCRIBE, Method.SUBSCRIBE)
"""Method of a call, by whether it subscribes; private ones draw on the same pool."""
_STARTED: Final = (Stage.SUBSCRIBING, Stage.ACTIVE)


def _chunks(subscriptions: Iterable[Subscription]) -> Iterator[list[Subscription]]:
    """Cut a call into several that the venue takes."""
    chunk: list[Subscription] = []
    size = _CALL_OVERHEAD_BYTES
    for subscription in subscriptions:
        extra = len(subscription.channel.encode()) + 3
        if chunk and (len(chunk) == MAX_CHANNELS_PER_CALL or size + extra > MAX_CALL_BYTES):
            yield chunk
            chunk, size = [], _CALL_OVERHEAD_BYTES
        chunk.append(subscription)
        size += extra
    if chunk:
        yield chunk
