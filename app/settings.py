"""Settings: read once from the environment and `.env` into one frozen object.

Every setting is `STEELYARD_` plus the field's name in capitals, and stands in `.env.example`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.durations import parse_duration

PRODUCTION_URL = "wss://www.deribit.com/ws/api/v2"
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


class Settings(BaseSettings):
    """All that can be set, with defaults that run on one machine without an account."""

    model_config = SettingsConfigDict(
        env_prefix="STEELYARD_",
        env_file=".env",
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )

    app_id: str = Field("steelyard", pattern=r"^[a-zA-Z0-9._-]{1,100}$")
    """Name of the consumer group, and prefix of the changelog topics."""
    topic_prefix: str = Field("", pattern=r"^[a-zA-Z0-9._-]{0,100}$")
    """Put before every topic's name, so that several installations can share one Kafka."""
    kafka: str = "localhost:9092"
    """Bootstrap servers, `host:port[,host:port…]`. Empty in `make demo`: the embedded broker."""
    kafka_port: int = Field(0, ge=0, le=65_535)
    """Port of the embedded broker on 127.0.0.1; 0 takes a free one."""
    replication: int = Field(1, ge=1, le=9)
    """Copies of each partition; more than 1 needs as many brokers."""
    partitions: int = Field(8, ge=1, le=1000)
    """Partitions of each topic: the most workers that can share the load."""
    data_dir: Path = Path("var")
    """Everything this installation writes on disk."""
    worker_name: str = Field("worker-1", pattern=r"^[a-zA-Z0-9._-]{1,64}$")
    """Unique among the workers of one machine: names its tables' folder and its answers."""

    venue_url: str = PRODUCTION_URL
    """Websocket of the venue; `make demo` puts the simulated exchange here."""
    client_id: str | None = None
    """API key of the venue; public data at 100ms needs none."""
    client_secret: SecretStr | None = None
    """Secret of the API key."""
    instruments: Annotated[tuple[str, ...], NoDecode] = ()
    """Instruments to ingest, comma separated; empty: all open perpetuals of the venue."""
    book_interval: Literal["raw", "100ms", "agg2"] = "100ms"
    """How often the venue sends book changes; `raw` needs an API key."""
    channels: Annotated[tuple[str, ...], NoDecode] = ("book", "trades", "ticker")
    """Kinds of channels to ingest: the incremental book, trades, ticker, quote, perpetual."""
    ingest: bool = True
    """Whether this worker reads the venue at all; off, it only processes what is in `feed`."""

    linger_ms: int = Field(2, ge=0, le=1_000)
    """Time that a frame waits for more notifications of its instrument."""

    windows: Annotated[tuple[int, ...], NoDecode] = (1_000, 10_000, 60_000)
    """Window lengths in ms, given as `1s,10s,1m`."""
    trade_grace_ms: int = Field(250, ge=0, le=60_000)
    """Event time that a window waits for its trades after its end."""
    checkpoint_ms: int = Field(1_000, ge=50, le=10_000)
    """Time between two checkpoints of the state, each of which ends in a commit."""
    checkpoint_max_age_ms: int = Field(20_000, ge=0, le=600_000)
    """A changed book is in a checkpoint after this at the latest, a busy one sooner; 0: in each."""
    live_interval_ms: int = Field(250, ge=50, le=10_000)
    """Time between two records of a partition in `live`."""
    history: int = Field(3_600, ge=1, le=1_000_000)
    """Windows kept for the views, per instrument and length."""
    stale_after_ms: int = Field(3_000, ge=500, le=600_000)
    """Silence after which an instrument is served as `stale`."""
    standbys: int = Field(0, ge=0, le=5)
    """Standby copies of the tables on other workers, for faster takeover."""

    web_host: str = "127.0.0.1"
    """Address that the views are served on."""
    web_port: int = Field(6066, ge=0, le=65_535)
    """Port that the views are served on."""
    log_format: Literal["console", "json"] = "console"
    """Log lines for people, or one JSON object each."""

    @field_validator("instruments", "channels", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("windows", mode="before")
    @classmethod
    def _lengths(cls, value: object) -> object:
        if isinstance(value, str):
            value = tuple(part.strip() for part in value.split(",") if part.strip())
        if isinstance(value, tuple | list):
            lengths = {parse_duration(part) if isinstance(part, str) else part for part in value}
            if not lengths:
                raise ValueError("give at least one window length, such as 1s")
            return tuple(sorted(lengths))
        return value

    @field_validator("windows")
    @classmethod
    def _whole_panes(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        for length in value:
            if length < 100 or length % 100 or length > 86_400_000:
                raise ValueError(
                    f"window length {length} ms must be a multiple of 100 ms, at most 1 day"
                )
        return value

    @field_validator("channels")
    @classmethod
    def _known_channels(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        known = {"book", "trades", "ticker", "quote", "perpetual"}
        if unknown := set(value) - known:
            raise ValueError(f"unknown channels {sorted(unknown)}; known are {sorted(known)}")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Settings:
        if (self.client_id is None) != (self.client_secret is None):
            raise ValueError("set both STEELYARD_CLIENT_ID and STEELYARD_CLIENT_SECRET, or none")
        scheme, _, rest = self.venue_url.partition("://")
        host = rest.split("/")[0].rsplit(":", 1)[0].strip("[]")
        if scheme not in {"ws", "wss"}:
            raise ValueError(
                f"STEELYARD_VENUE_URL {self.venue_url!r} must start with ws:// or wss://"
            )
        if scheme == "ws" and host not in LOOPBACK_HOSTS and self.client_id is not None:
            raise ValueError("credentials are sent over wss:// only, except to this machine")
        if self.web_host not in LOOPBACK_HOSTS and not self.allow_remote_web:
            raise ValueError(
                f"STEELYARD_WEB_HOST={self.web_host} would serve other machines without a guard; "
                "set STEELYARD_ALLOW_REMOTE_WEB=true if a proxy or a container network guards it"
            )
        return self

    allow_remote_web: bool = False
    """The views may be bound beyond loopback (inside a container, behind a proxy)."""


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return the settings of this process; raise pydantic.ValidationError if one is wrong."""
    return Settings()
