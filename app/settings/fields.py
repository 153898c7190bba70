"""All settings with their defaults and limits, and what must hold between several of them.

Every setting is `STEELYARD_` plus the field's name in capitals, and stands in `.env.example`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, PrivateAttr, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from yarl import URL

from app.settings.advertised_address import advertised_url
from app.settings.installation import DEFAULT_INSTALLATION, RETIRED, group_of, prefix_of
from app.settings.names import PREFIX, SERVICE_LINK_HINT, env_name, is_service_link
from app.settings.secret_file import one_secret
from app.settings.validation import (
    Advertised,
    Channels,
    Hops,
    Host,
    HostNames,
    Instruments,
    Lengths,
    Servers,
    Token,
    Venue,
)
from deribit.auth import Credentials, Grant
from deribit.hosts import is_loopback


class Settings(BaseSettings):
    """All that can be set, with defaults that run on one machine without an account."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
        # An error over several settings would print all that was given, the secret too.
        hide_input_in_errors=True,
    )

    installation: str = Field(DEFAULT_INSTALLATION, pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}$")
    """Name that all workers of one installation share, and no other installation of that Kafka has.
    Consumer group, topics, changelogs and the folder of the tables follow from it."""
    kafka: Servers = "localhost:9092"
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

    testnet: bool = False
    """Deribit's test venue in place of its production; it has keys of its own."""
    venue_url: Venue = Field("", validate_default=True)
    """Websocket of the venue; empty: Deribit's. `make demo` puts the simulated exchange here."""
    channels_per_connection: int = Field(500, ge=10, le=5_000)
    """Channels that one connection to the venue carries; for more, further ones are opened."""
    client_id: str | None = None
    """API key of the venue; public data at 100ms needs none."""
    client_secret: SecretStr | None = None
    """Secret of the API key."""
    client_secret_file: Path | None = None
    """File that holds the secret, in place of STEELYARD_CLIENT_SECRET."""
    client_grant: Literal["client_credentials", "client_signature", "none"] = "client_credentials"
    """How the key is used: the secret is sent, or only a signature made with it; or not at all."""
    instruments: Instruments = ()
    """Perpetuals and dated futures to ingest, comma separated; empty: all open perpetuals."""
    book_interval: Literal["raw", "100ms", "agg2"] = "100ms"
    """How often the venue sends book changes; `raw` needs an API key."""
    channels: Channels = (
        "book",
        "trades",
        "ticker",
        "instrument.state",
        "platform_state",
    )
    """Kinds of channels to ingest; there are also quote, perpetual, and grouped: book.none.10."""
    ingest: bool = True
    """Whether this worker reads the venue at all; off, it only processes what is in `feed`."""

    linger_ms: int = Field(2, ge=0, le=1_000)
    """Time that a frame waits for more of its instrument; longer while the worker falls behind.
    0: none."""

    windows: Lengths = (1_000, 10_000, 60_000)
    """Window lengths in ms, given as `1s,10s,1m`."""
    hopping: Hops = ()
    """Windows that overlap, by length and hop: `10s/1s` is the last ten seconds, every second."""
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
    """Standby copies of the tables on other workers: they spare the reading of changelogs, which is
    little beside the 8 s until Kafka takes a worker for dead."""

    web_host: Host = "127.0.0.1"
    """Address that the views are served on."""
    web_port: int = Field(6066, ge=0, le=65_535)
    """Port that the views are served on."""
    web_advertised: Advertised = ""
    """Where other workers reach these views: `host`, `host:port` or a URL. Empty: as they are
    bound, or by the machine's name where that is to all addresses."""
    web_hosts: HostNames = ()
    """Names, separated by commas, by which clients may ask for the views beside those of this
    machine, such as that of a proxy in front. With a token all may, unless names are given."""
    web_token: Token | None = None
    """Who asks must know it (Bearer, or a Basic password); needed to be bound beyond loopback."""
    web_streams: int = Field(1_000, ge=1, le=20_000)
    """Clients of the event stream and the WebSocket together; one more is refused."""
    log_format: Literal["console", "json"] = "console"
    """Log lines for people, or one JSON object each."""
    compiled: bool = True
    """Whether the hot path runs as `make setup` compiled it; off: as pure Python, slower."""

    _secret: str | None = PrivateAttr(None)

    @property
    def app_id(self) -> str:
        """The consumer group, which also begins the names of the changelogs."""
        return group_of(self.installation)

    @property
    def topic_prefix(self) -> str:
        """Return what the names of the topics begin with."""
        return prefix_of(self.installation)

    @property
    def credentials(self) -> Credentials | None:
        """The key of the venue's API; None where the venue is read without one."""
        if self.client_id is None or self._secret is None or self.client_grant == "none":
            return None
        return Credentials(self.client_id.strip(), self._secret, Grant(self.client_grant))

    @model_validator(mode="before")
    @classmethod
    def _one_name(cls, given: object) -> object:
        if isinstance(given, dict) and (old := RETIRED.keys() & given):
            raise ValueError(f"{', '.join(sorted(old))}: set installation, which both follow from")
        return given

    @model_validator(mode="before")
    @classmethod
    def _no_service_links(cls, given: object) -> object:
        if not isinstance(given, dict):
            return given
        links = {name for name, value in given.items() if is_service_link(value)}
        for name in sorted(links):
            if not name.lower().endswith("_port"):  # Kubernetes gives no others
                raise ValueError(f"{env_name(name)}={given[name]}: {SERVICE_LINK_HINT}")
        return {name: value for name, value in given.items() if name not in links}

    @model_validator(mode="after")
    def _whole(self) -> Settings:
        self._secret = one_secret(self.client_secret, self.client_secret_file)
        if (self.client_id is None) != (self._secret is None):
            raise ValueError(
                "set both STEELYARD_CLIENT_ID and STEELYARD_CLIENT_SECRET "
                "(or STEELYARD_CLIENT_SECRET_FILE), or none"
            )
        scheme, _, rest = self.venue_url.partition("://")
        host = rest.split("/")[0].rsplit(":", 1)[0].strip("[]")
        if scheme == "ws" and not is_loopback(host) and self.client_id is not None:
            raise ValueError("credentials are sent over wss:// only, except to this machine")
        if self.web_token is None and self.serves_others and not self.allow_remote_web:
            raise ValueError(
                f"STEELYARD_WEB_HOST={self.web_host} would serve other machines without a guard; "
                "set STEELYARD_WEB_TOKEN, which clients then have to give, or "
                "STEELYARD_ALLOW_REMOTE_WEB=true if a proxy or a container network guards it"
            )
        return self

    allow_remote_web: bool = False
    """The views may be bound beyond loopback without a token (in a container, behind a proxy)."""

    @property
    def advertised_url(self) -> URL:
        """The base URL at which other workers ask this one."""
        return advertised_url(self.web_advertised, self.web_host, self.web_port)

    @property
    def serves_others(self) -> bool:
        """Return whether the views are bound to more than this machine."""
        return not is_loopback(self.web_host)
