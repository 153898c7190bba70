"""A market of the simulated exchange's model, with tickers and a gap, computed without a socket."""

from __future__ import annotations

from app.processing.processor import Processor
from exchange.channels import parse_channel
from exchange.config import Config
from exchange.hub import Hub
from exchange.model import Model
from exchange.truth import Truth
from models.frame import Connected, Frame, GapFound, Notification, Tick
from models.live import LiveState
from orderbook.windows.record import open_interest_usd
from tests.api.recorded import RULES, RecordedServing

START_MS = 1_763_900_000_000
STEPS_PER_S = 100
NS_PER_MS = 1_000_000


class ModelledServing(RecordedServing):
    """The read side of a worker that follows a whole modelled venue, as fast as it goes."""

    def __init__(self, instruments: int = 6, rate: float = 30.0, seed: int = 7) -> None:
        super().__init__(simulated=True)
        self._hub = Hub()
        config = Config(
            seed=seed, instruments=instruments, rate=rate, speed=float("inf"), start_ms=START_MS
        )
        self._model = Model(config, self._hub, Truth(None))
        self._lost: set[str] = set()
        for fields in self._model.instruments():
            name = str(fields["instrument_name"])
            self._follow(name)
        self.clock_ms = self._now_ms

    @property
    def _now_ms(self) -> int:
        return self._model.now_us() // 1_000

    def _follow(self, name: str) -> None:
        self.processors[name] = Processor(name, RULES)
        self._take(name, Connected(0, self.worker, True))
        for channel in (f"book.{name}.100ms", f"trades.{name}.100ms", f"ticker.{name}.100ms"):
            self._hub.subscribe(channel, _Follower(self, name))
        self.resync(name)

    def resync(self, name: str) -> None:
        """Hand out a new snapshot of the book, as after a subscription."""
        self._lost.discard(name)
        opening = self._model.opening(parse_channel(f"book.{name}.100ms"))
        assert opening is not None
        self.hear(name, opening.encode())

    def lose(self, name: str) -> None:
        """Break the book of an instrument: nothing of it is known until `resync`."""
        self._lost.add(name)
        self._take(name, GapFound(self._now_ms * NS_PER_MS, f"book.{name}.100ms", 1, 2))

    def hear(self, name: str, message: bytes) -> None:
        """Take a notification of the venue."""
        if name in self._lost and message.startswith(b'{"params":{"channel":"book.'):
            return
        self._take(name, Notification(self._now_ms * NS_PER_MS, message))

    def run(self, seconds: float) -> None:
        """Let the venue's time pass."""
        for step in range(int(seconds * STEPS_PER_S)):
            self._model.step()
            if step % STEPS_PER_S == 0:
                for name in self.processors:
                    self._take(name, Tick(self._now_ms * NS_PER_MS, self._now_ms, 0))
        self.clock_ms = self._now_ms

    def _take(self, name: str, item: Connected | GapFound | Notification | Tick) -> None:
        processor = self.processors[name]
        frame = Frame(1, name, f"book.{name}.100ms", "modelled-1", processor.sequence + 1, [item])
        self.keep(name, processor.feed(frame).windows)

    def _state(self, processor: Processor) -> LiveState:
        state = super()._state(processor)
        if (ticker := processor.instrument.ticker) is not None:
            state.mark_price, state.index_price = ticker.mark_price, ticker.index_price
            state.funding_8h = ticker.funding_8h
            state.open_interest_usd = open_interest_usd(
                ticker.open_interest, ticker.mark_price, linear=processor.instrument.linear
            )
        state.gaps += processor.counts["gaps_at_ingest"]
        return state


class _Follower:
    def __init__(self, serving: ModelledServing, name: str) -> None:
        self._serving = serving
        self._name = name

    def notify(self, message: bytes, *_: object) -> None:
        self._serving.hear(self._name, message)

    def cut(self) -> None:
        raise AssertionError("nobody cuts a follower without a socket")

    async def drained(self) -> None:
        return
