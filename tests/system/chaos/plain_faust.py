"""The same domain on Faust as it is: the switch that shows that the suite can fail.

Its own consumer and commits, one table write per event, no positions. `faust -A
tests.system.chaos.plain_faust worker` reads the same settings as the product's worker.
"""

from __future__ import annotations

import os
from typing import Any

import faust
from yarl import URL

from app.processing.processor import Processor, Rules
from app.processing.state_codec import BooksCodec
from app.settings import settings
from faust_exact.app import RAW
from models.frame import decode_frame
from models.window import encode_window

os.environ.setdefault("FAUST_LOOP", "aio")
configured = settings()
(configured.data_dir / "plain").mkdir(parents=True, exist_ok=True)
rules = Rules(configured.windows, configured.trade_grace_ms, configured.stale_after_ms)
codec = BooksCodec(rules)

app = faust.App(
    configured.app_id,
    broker=URL(f"kafka://{configured.kafka}"),
    datadir=configured.data_dir / "plain" / configured.worker_name,
    store="rocksdb://",
    autodiscover=False,
    topic_partitions=configured.partitions,
    topic_allow_declare=False,
    topic_disable_leader=True,
    reply_create_topic=False,
    consumer_auto_offset_reset="earliest",
    broker_session_timeout=10.0,
    broker_heartbeat_interval=2.0,
    broker_request_timeout=30.0,
    stream_recovery_delay=0.0,
    stream_wait_empty=False,  # else a stop can wait for ever (F14)
    web_bind="127.0.0.1",
    web_port=configured.web_port,
)
feed = app.topic(f"{configured.topic_prefix}feed", **RAW)
windows = f"{configured.topic_prefix}windows"
books = app.Table(
    "books",
    partitions=configured.partitions,
    key_type=bytes,
    value_type=bytes,
    options={"driver": "rocksdict", "block_cache_size": 4 * 2**20, "write_buffer_size": 4 * 2**20},
)


@app.agent(feed, name="books", concurrency=1)
async def process(stream: Any) -> None:
    """Apply each frame to the table's state of its instrument, and write it back."""
    async for event in stream.events():
        frame = decode_frame(event.value)
        if not frame.sequence:
            continue
        record = books.get(event.key)
        state = codec.load(event.key, record) if record else Processor(frame.instrument, rules)
        for window in state.feed(frame).windows:
            partition = event.message.partition
            await app.producer.send(
                windows, event.key, encode_window(window), partition, None, None
            )
        books[event.key] = codec.dump(event.key, state, event.message.offset + 1)
