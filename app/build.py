"""Puts around the worker what others see of it: views, streams, metrics; and a monitor."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Final

from app.api.authentication import Access
from app.api.forwarding import Owners
from app.api.peer_check import Neighbours
from app.api.peer_signatures import Peers
from app.api.push.window_source import Tap, consumer_of
from app.api.site import Limits, install
from app.monitoring.collector import WorkerCollector
from app.monitoring.gc_tuning import GcTuning
from app.monitoring.monitor import Monitor

if TYPE_CHECKING:
    from app.settings import Settings
    from app.worker import Steelyard


OTHER_FILES: Final = 4_096
"""Files and sockets beside the streams' that a worker may have open: mostly RocksDB's."""


def operate(app: Steelyard) -> None:
    """Serve the views, push what comes, and watch over the worker."""
    configured, metrics = app.options, app.shared.metrics
    allow_files(configured.web_streams + OTHER_FILES)
    access = access_of(configured)
    limits = Limits(access, max_streams=configured.web_streams)
    hub = install(app.web.web_app, app.shared, limits, metrics)
    collector = WorkerCollector(app, hub)
    metrics.registry.register(collector)
    monitor = Monitor(app, collector)
    windows = app.topic_name("windows")
    tap = Tap(hub, lambda: consumer_of(configured.kafka), windows, configured.partitions)
    app.shared.on_closed = tap.own
    neighbours = Neighbours(app.shared, Owners(app.shared, Peers(app.shared.secret, access.token)))
    watches = monitor.watch_loop, monitor.watch_state, neighbours.watch, GcTuning().watch
    for task in (tap.run, *watches):
        app.task(task)


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
