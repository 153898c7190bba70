"""The Faust application: its settings, topics and tables. app/build.py adds what runs in it."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any, Final

from faust.web.drivers.aiohttp import Web
from yarl import URL

from app.api.server import Runner
from app.errors import UserError
from app.monitoring.early_log import say
from app.monitoring.logs import logging_config
from app.monitoring.task_dump import unfinished_tasks
from app.settings import Settings
from app.topics.ownership import client_id
from app.topics.start_checks import check_start
from app.worker_process import PlainWorker
from faust_exact.app import RAW, ExactApp
from faust_exact.outage_patience import refusal

log = logging.getLogger("steelyard.worker")

SESSION_TIMEOUT_S: Final = 8.0
"""How long Kafka waits for a worker that died; Faust's 60 s make takeover slow (F20)."""
HEARTBEAT_S: Final = 2.0
REQUEST_TIMEOUT_S: Final = 30.0
REBALANCE_TIMEOUT_S: Final = 15.0
STOP_DEADLINE_S: Final = 9.0
"""A clean stop takes 2 to 4 s; without Kafka, and now and then with it, when a rebalance begins in
the same moment, Faust waits for ever."""
PRODUCER_LINGER_S: Final = 0.0
"""What goes to Kafka has been collected before: frames for STEELYARD_LINGER_MS, windows in
faust_exact/fast/output_batches.py, states by their interval. While a request is under way, more is
collected."""
BATCH_BYTES: Final = 256 * 1024
"""Limit of a partition's batch; Faust's 16 KiB are ten windows, then each send waits."""
MAX_REQUEST_BYTES: Final = 4 * 1024 * 1024
FETCH_BYTES: Final = 512 * 1024
"""Limit of a fetch of one partition; a larger record comes all the same. What is fetched of all
partitions is handed on before more is fetched: this bounds the memory, and the wait of a worker
that is behind.
"""
SWITCH_INTERVAL_S: Final = 0.001
"""GIL switch interval. The thread of the Kafka client wants the GIL half a dozen times for each
fetch; with Python's 5 ms that was most of a frame's way."""
STATE_VERSION: Final = 1
"""Names the folder of the tables; raised when the state of an older release can't be read."""


class QuietWeb(Web):  # type: ignore[misc]
    """Faust's web server without Faust's own pages, which are open to everybody (F22)."""

    default_blueprints = ()
    production_blueprints = ()
    debug_blueprints = ()
    optional_blueprints = ()

    def __init__(self, app: Any, **kwargs: Any) -> None:
        super().__init__(app, **kwargs)
        self._runner = Runner(self.web_app, max_streams=app.options.web_streams)


class Steelyard(ExactApp):
    """A Faust app that is exact: see faust_exact."""

    options: Settings

    def __init__(self, configured: Settings) -> None:
        self.options = configured
        advertised = configured.advertised_url
        super().__init__(
            configured.app_id,
            version=STATE_VERSION,
            broker=[URL(f"kafka://{server}") for server in configured.kafka.split(",")],
            datadir=data_dir(configured),
            store="memory://",
            autodiscover=False,
            topic_partitions=configured.partitions,
            topic_replication_factor=configured.replication,
            reply_create_topic=False,
            broker_client_id=client_id(configured),
            broker_session_timeout=SESSION_TIMEOUT_S,
            broker_heartbeat_interval=HEARTBEAT_S,
            broker_request_timeout=REQUEST_TIMEOUT_S,
            broker_rebalance_timeout=REBALANCE_TIMEOUT_S,
            broker_commit_interval=configured.checkpoint_ms / 1_000,
            producer_linger=PRODUCER_LINGER_S,
            producer_max_batch_size=BATCH_BYTES,
            producer_compression_type="snappy",
            producer_request_timeout=REQUEST_TIMEOUT_S,
            producer_max_request_size=MAX_REQUEST_BYTES,
            consumer_max_fetch_size=FETCH_BYTES,
            table_standby_replicas=configured.standbys,
            web_bind=configured.web_host,
            web_port=configured.web_port,
            web_host=advertised.host,
            canonical_url=advertised,
            web_cors_options={},
            Worker=PlainWorker,
            logging_config=logging_config(configured),
        )
        self.web = QuietWeb(self)

    async def on_first_start(self) -> None:
        """Check what the worker stands on before anything is opened: topics, disk, folder."""
        configured = self.options
        log.info(
            "starting, as pid %d on %s, of the installation %s: Kafka %s, venue %s, views %s",
            *(os.getpid(), socket.gethostname(), configured.installation, configured.kafka),
            *(configured.venue_url if configured.ingest else "not read", configured.advertised_url),
        )
        try:
            await check_start(self.options, self.conf.datadir)
        except UserError as error:
            say("error", str(error), self.options.log_format, in_worker=True)
            # Nothing has been started that would have to be stopped, and Faust would exit with 1.
            os._exit(error.exit_code)
        await super().on_first_start()

    async def on_start(self) -> None:
        """Start; let the threads of the worker take quick turns."""
        await super().on_start()
        sys.setswitchinterval(SWITCH_INTERVAL_S)

    async def stop(self) -> None:
        """Stop; a worker that cannot, because Kafka is gone, ends all the same."""
        deadline = threading.Timer(STOP_DEADLINE_S, end_now, [self])
        deadline.daemon = True
        deadline.start()
        try:
            await super().stop()
        finally:
            deadline.cancel()
            reason = refusal(self.crash_reason)
            if reason is not None:  # Faust would exit with 1, and a traceback
                say("error", str(reason), self.options.log_format, in_worker=True)
                os._exit(reason.exit_code)

    def topic_name(self, name: str) -> str:
        """Return the full name of a topic of the project."""
        return self.options.topic_prefix + name

    def raw_topic(self, name: str) -> Any:
        """Return a topic of the project, whose keys and values are bytes as they are."""
        return self.topic(self.topic_name(name), **RAW, partitions=self.options.partitions)

    def input_topic(self, name: str) -> Any:
        """Return a topic of the project whose position a keeper commits."""
        return super().input_topic(self.topic_name(name))

    def raw_table(self, name: str, *, is_global: bool = False) -> Any:
        """Return a small table of bytes, kept in memory and recovered from its changelog.

        Bytes are written raw, keys too: as JSON, with quotes, Faust would look for a key in a
        partition where no producer has put it (F7).
        """
        make = self.GlobalTable if is_global else self.Table
        table = make(name, partitions=self.options.partitions, key_type=bytes, value_type=bytes)
        if is_global:
            # Faust collects 1,000 changes of other workers before it applies them. With 1 it would
            # also read back this worker's own partitions, later than they were written.
            table.recovery_buffer_size = 0
        return table


def end_now(app: Steelyard) -> None:
    """End the process: with 0 if the last commit was made, so that nothing is left but clean-up.

    Otherwise what is not committed is replayed by whoever comes next.
    """
    thread = getattr(app._consumer, "_thread", None)
    loops = (app.loop, getattr(thread, "thread_loop", None))
    for line in unfinished_tasks(loop for loop in loops if loop is not None):
        say("error", f"stands: {line}", app.options.log_format, in_worker=True)
    if app._consumer is not None and app.consumer.has_settled:
        log.warning("Faust did not stop within %.0f s of the last commit; ended", STOP_DEADLINE_S)
        os._exit(0)
    say(
        "error",
        f"not stopped within {STOP_DEADLINE_S:.0f} s",
        app.options.log_format,
        in_worker=True,
    )
    os._exit(1)


def data_dir(configured: Settings) -> Path:
    """Return the folder of a worker's tables."""
    return (configured.data_dir / "workers" / configured.app_id / configured.worker_name).resolve()
