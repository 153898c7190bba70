"""Publishes the model's markets on every channel that is followed.

Books and trades are told as they come, and to the file of truth too; channels of state (ticker,
quote, grouped book, perpetual) only when what decides about them has changed.
"""

from collections.abc import Callable, Iterable

from exchange.channels import Channel, notification, parse_channel
from exchange.hub import Hub
from exchange.instruments import Instrument
from exchange.market import Market
from exchange.numbers import encode
from exchange.truth import Truth

STATE_TOPICS = ("grouped", "ticker", "perpetual", "quote")


class Publisher:
    """The way from the markets to the hub; `now_us` is the venue's clock of the last step."""

    def __init__(self, hub: Hub, truth: Truth, now_us: Callable[[], int]) -> None:
        self._hub = hub
        self._truth = truth
        self._now_us = now_us
        self._told: dict[str, tuple[int, str]] = {}  # channel of state → version, what decided
        self._watched: dict[tuple[str, str], list[Channel]] = {}
        self._watched_version = -1

    def tell(self, market: Market, interval: str, step: int) -> None:
        """Publish what is new on the instrument's channels of that interval."""
        followed = self._watched.get((market.instrument.name, interval))
        is_ahead = followed and interval == "100ms" and _runs_ahead(market, step)
        if followed and is_ahead:
            self._tell_state(market, followed)
        chain = market.chains[interval]
        text = chain.flush(self._truth.wanted or chain.channel in self._hub.live)
        if text:
            self._publish(chain.channel, text)
        trades = market.tape.pending.get(interval)
        if trades:
            self._tell_trades(market.instrument, interval, trades)
            trades.clear()
        if followed and not is_ahead:
            self._tell_state(market, followed)

    def tell_whole(self, market: Market) -> None:
        """Publish a snapshot of the book on each of its channels."""
        for chain in market.chains.values():
            self._publish(chain.channel, chain.snapshot())

    def note_listed(self, market: Market) -> None:
        """Write to the file of truth how the books of a market begin."""
        for chain in market.chains.values():
            self._truth.write(self._now_us() * 1_000, chain.snapshot())

    def announce(self, market: Market, at_us: int) -> None:
        """Publish the state of an instrument: listed, halted, closed."""
        fields = {
            "timestamp": at_us // 1_000,
            "state": market.state,
            "instrument_name": market.instrument.name,
        }
        for scope in _scopes(market.instrument):
            channel = f"instrument.state.{scope}"
            self._hub.publish(channel, notification(channel, encode(fields)))

    def opening(self, channel: Channel, market: Market) -> str | None:
        """The message that a new subscriber of an instrument's channel gets at once."""
        if channel.topic == "book":
            return market.chains[channel.interval].snapshot()
        if channel.topic not in STATE_TOPICS:
            return None
        decides, data = market.render(channel)
        # The first follower has now been told; for others the next tick decides.
        self._told.setdefault(channel.name, (market.version, decides))
        return notification(channel.name, data)

    def watch(self) -> None:
        """Sort the followed channels of state by instrument and interval, when they changed."""
        if self._watched_version == self._hub.version:
            return
        self._watched_version = self._hub.version
        self._watched.clear()
        for name in self._hub.live:
            channel = parse_channel(name)
            if channel.topic in STATE_TOPICS:
                key = channel.instrument, channel.interval or "raw"  # a quote is told at once
                self._watched.setdefault(key, []).append(channel)
        self._told = {name: told for name, told in self._told.items() if name in self._hub.live}

    def _tell_state(self, market: Market, channels: Iterable[Channel]) -> None:
        for channel in channels:
            told_version, told = self._told.get(channel.name, (-1, ""))
            if told_version == market.version:
                continue
            decides, data = market.render(channel)
            self._told[channel.name] = market.version, decides
            if decides != told:
                self._hub.publish(channel.name, notification(channel.name, data))

    def _tell_trades(self, instrument: Instrument, interval: str, trades: list[str]) -> None:
        data = "[" + ",".join(trades) + "]"
        channel = f"trades.{instrument.name}.{interval}"
        if self._truth.wanted or channel in self._hub.live:
            self._publish(channel, notification(channel, data))
        for scope in _scopes(instrument):
            channel = f"trades.{scope}.{interval}"
            if channel in self._hub.live:
                self._hub.publish(channel, notification(channel, data))

    def _publish(self, channel: str, text: str) -> None:
        self._truth.write(self._now_us() * 1_000, text)
        self._hub.publish(channel, text)


def _runs_ahead(market: Market, step: int) -> bool:
    """Return whether a ticker comes before the book frame that it matches: two times of five.

    In a capture of the real venue 40 of 89 tickers do.
    """
    return (step // 7 + market.instrument.number) % 5 < 2


def _scopes(instrument: Instrument) -> list[str]:
    """The `kind.currency` parts of channel names that include the instrument."""
    currencies = (instrument.settlement, "any")
    return [f"{kind}.{currency}" for kind in ("future", "any") for currency in currencies]
