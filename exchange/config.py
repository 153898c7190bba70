"""Configuration of an exchange: one frozen object, checked when it is made."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

MAX_INSTRUMENTS = 500
STEP_US = 10_000  # the model advances in steps of venue time; a raw channel coalesces within one

SIMULATED_VERSION = "1.2.26-simulated"

# The largest conflation that leaves the 100ms channels this share of ticks without news is used:
# nearer to saturation, almost every tick of every instrument would have to carry a change.
MAX_TICK_USE = 0.8
CONFLATIONS_MS = (100, 50, 20, 10)


class ConfigError(ValueError):
    """A setting is wrong; the text says which, and what is possible."""


@dataclass(frozen=True, kw_only=True)
class Config:
    host: str = "127.0.0.1"
    port: int = 0
    seed: int = 7
    instruments: int = 14
    rate: float = 60.0  # notifications/s over all 100ms book channels together
    speed: float = 1.0  # venue time per wall time; infinity is "as fast as it goes"
    start_ms: int | None = None  # venue time at which it begins; None: the wall clock
    recording: Path | None = None
    hold: Literal["no", "first", "all"] = "no"
    truth: Path | None = None
    client_id: str = "demo"
    client_secret: str = "demo-secret"  # noqa: S105 - the simulated venue's public key pair
    control: bool = False
    testnet: bool = False
    heartbeat_scale: float = 1.0  # tests make heartbeats faster: 0.01 turns 10 s into 100 ms
    max_unsent_bytes: int = 64 << 20  # a reader further behind than this is cut
    max_connections: int = 32  # the next one is answered 429
    open_raw: bool = False  # raw channels need no login
    limits: bool = True  # calls cost credits (rate_limits.py)
    token_lifetime_s: float = 900.0
    scenario: Path | None = None  # faults to make, and when (scenario.py)
    conflation_ms: int | None = None  # length of a "100ms" tick; None chooses one that carries rate

    def __post_init__(self) -> None:
        if not 1 <= self.instruments <= MAX_INSTRUMENTS:
            raise ConfigError(f"instruments is {self.instruments}; 1 to {MAX_INSTRUMENTS} possible")
        if not (self.rate > 0 and math.isfinite(self.rate)):
            raise ConfigError(f"rate is {self.rate}; a positive number of notifications/s needed")
        if not self.speed > 0:
            raise ConfigError(f"speed is {self.speed}; a positive number or max needed")
        if self.max_connections < 1:
            raise ConfigError(f"max_connections is {self.max_connections}; at least 1 needed")
        if not (self.token_lifetime_s > 0 and math.isfinite(self.token_lifetime_s)):
            raise ConfigError(f"token_lifetime_s is {self.token_lifetime_s}; more than 0 s needed")
        if self.hold != "no" and self.recording is None:
            raise ConfigError("hold is for a recording; give --recording too")
        if self.conflation_ms is not None and self.conflation_ms not in CONFLATIONS_MS:
            raise ConfigError(f"conflation_ms is {self.conflation_ms}; one of {CONFLATIONS_MS}")
        if self.recording is None and self.rate > MAX_TICK_USE * self._ticks_per_s():
            raise ConfigError(
                f"rate {self.rate:g}/s is more than {self.instruments} instruments can carry at "
                f"{self.tick_ms} ms a tick: at most {MAX_TICK_USE * self._ticks_per_s():g}/s; "
                "lower --rate or raise --instruments"
            )

    @property
    def tick_ms(self) -> int:
        """Length of a tick of the 100ms channels; shorter than 100 only where the rate asks so."""
        if self.conflation_ms is not None:
            return self.conflation_ms
        for tick_ms in CONFLATIONS_MS:
            if self.rate <= MAX_TICK_USE * self.instruments * 1_000 / tick_ms:
                return tick_ms
        return CONFLATIONS_MS[-1]

    def _ticks_per_s(self) -> float:
        return self.instruments * 1_000 / self.tick_ms
