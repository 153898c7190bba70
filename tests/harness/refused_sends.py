"""The application, to which Kafka refuses all records for one topic, and to no other worker.

`REFUSED_TOPIC=… REFUSING_TOPIC=… faust -A tests.harness.refused_sends worker`: what is meant for
the first goes to the second, which takes no record of more than a few bytes (max.message.bytes).
"""

from __future__ import annotations

import os
from typing import Any

from aiokafka import AIOKafkaProducer

import app as product

REFUSED, REFUSING = os.environ["REFUSED_TOPIC"], os.environ["REFUSING_TOPIC"]
send, send_batch = AIOKafkaProducer.send, AIOKafkaProducer.send_batch


def instead(topic: str) -> str:
    return REFUSING if topic == REFUSED else topic


async def send_instead(self: Any, topic: str, *rest: Any, **named: Any) -> Any:
    return await send(self, instead(topic), *rest, **named)


async def send_batch_instead(self: Any, batch: Any, topic: str, *, partition: int) -> Any:
    return await send_batch(self, batch, instead(topic), partition=partition)


AIOKafkaProducer.send = send_instead
AIOKafkaProducer.send_batch = send_batch_instead
app = product.app
