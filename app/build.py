"""Builds the application: wires the state, the agents, the API and what watches over them.

Agents are imported by name: Faust's autodiscovery drops an agent whose module fails to import
without a word.
"""

from __future__ import annotations

import logging
import resource
from typing import Final

from agents.books import Books
from agents.history import History
from agents.ingest import Subscriptions, ingest_service
from agents.latest import Latest
from app.api.authentication import Access
from app.api.forwarding import Owners
from app.api.peer_check import Neighbours
from app.api.peer_signatures import Peers
from app.api.push.window_source import Tap, consumer_of
from app.api.site import Limits, install
from app.monitoring.collector import WorkerCollector
from app.monitoring.early_log import say
from app.monitoring.gc_tuning import GcTuning
from app.monitoring.logs import QUIET_LOGGERS
from app.monitoring.metrics import Metrics
from app.monitoring.monitor import Monitor
from app.processing.processor import Processor, Rules
from app.processing.state_codec import BooksCodec
from app.settings import Settings, settings, warn_of_unknown_names
from app.state.history_chunks import Chunk, HistoryCodec
from app.state.latest_states import LatestStates
from app.state.worker_read_model import WorkerReadModel
from app.state.written import WrittenState
from app.worker import Steelyard
from app.worker_process import ignored_names
from faust_exact.partition_states import StateKeeper
from faust_exact.sensors import RecoveryTimes

OTHER_FILES: Final = 4_096
"""Files and sockets beside the streams' that a worker may have open: mostly RocksDB's."""
HISTORY_MAX_AGE_S: Final = 120.0
"""A chunk is written whole: when it is full, and at the latest after this. What is not yet written
is replayed from `closed`, where a repeat changes nothing."""


def build() -> Steelyard:
    """Return the application with all its agents and views."""
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    warn_of_unknown_names()
    app = Steelyard(settings())
    for name in ignored_names():
        text = f"{name} is in the environment, where Faust would obey it; this worker does not"
        say("warning", text, app.options.log_format)
    configured = app.options
    written = written_state(app)
    app.sensors.add(RecoveryTimes(written.metrics.recovery))
    ingest = ingest_service(app, written)
    read = WorkerReadModel(configured, written, app, ingest)

    allow_files(configured.web_streams + OTHER_FILES)
    access = access_of(configured)
    limits = Limits(access, max_streams=configured.web_streams)
    hub = install(app.web.web_app, read, limits, written.metrics)
    windows = app.topic_name("windows")
    tap = Tap(hub, lambda: consumer_of(configured.kafka), windows, configured.partitions)

    Books(app, written, tap.own).register()
    History(app, written).register()
    Latest(app, written).register()
    Subscriptions(app, written, ingest).register()

    collector = WorkerCollector(read, written, ingest, hub, app, configured.topic_prefix)
    written.metrics.registry.register(collector)
    monitor = Monitor(read, written.metrics, collector)
    neighbours = Neighbours(written, Owners(read, Peers(read.secret, access.token)))
    watches = monitor.watch_loop, monitor.watch_state, neighbours.watch, GcTuning().watch
    for task in (tap.run, *watches):
        app.task(task)
    return app


def written_state(app: Steelyard) -> WrittenState:
    """Return the state that the agents of a worker write, with its tables."""
    configured = app.options
    rules = Rules(
        configured.windows,
        configured.trade_grace_ms,
        configured.stale_after_ms,
        configured.hopping,
    )
    books: StateKeeper[Processor] = StateKeeper(
        app,
        app.topic_name("feed"),
        app.state_table("books"),
        BooksCodec(rules),
        max_age_s=configured.checkpoint_max_age_ms / 1_000,
    )
    history: StateKeeper[Chunk] = StateKeeper(
        app,
        app.topic_name("closed"),
        app.state_table("history"),
        HistoryCodec(),
        max_age_s=HISTORY_MAX_AGE_S,
        input_per_record=None,
        is_lazy=True,
    )
    latest = LatestStates(
        app.raw_table("latest", is_global=True), lambda: app.rebalancing or app.in_recovery
    )
    written = WrittenState(configured, rules, books, history, latest, Metrics())
    app.keepers += [books, history]
    for keeper in app.keepers:
        keeper.on_written = written.metrics.checkpoint
    books.on_settled.append(written.forget_partitions)
    books.on_missed = Processor.miss
    return written


def access_of(configured: Settings) -> Access:
    """Return who may ask, and by what names; any name will do where a token is enough."""
    token = configured.web_token.get_secret_value() if configured.web_token else None
    own = [host for host in (configured.web_host, configured.advertised_url.host) if host]
    hosts = [*configured.web_hosts, *own] if token is None or configured.web_hosts else []
    return Access(token, is_local=not configured.serves_others, hosts=hosts)


def allow_files(wanted: int) -> None:
    """Let this process open so many files, if the machine does; the usual 1,024 are few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
