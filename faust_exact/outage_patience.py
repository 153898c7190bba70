"""The clients of Kafka wait while Kafka is away, however long that is.

Kafka refuses a record, a group, a topic: that is an error, which no waiting mends. Kafka does not
answer, or answers that it cannot just now: that ends by itself. aiokafka takes the second for the
first when a time of its own is over, which is made endless here, and fails where it meets an outage
at its start, or in the middle of a request whose connection has just been closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NodeNotReadyError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from faust_exact.errors import UserError

log = logging.getLogger("steelyard.kafka")

T = TypeVar("T")

FOREVER_S: Final = 10 * 365 * 86_400.0
CONNECT_TIMEOUT_S: Final = 5.0
"""An attempt that began in an outage is given up after this. Linux repeats what opens a connection
after 1, 2, 4, 8 and 16 s: a worker would go on waiting although Kafka is there again."""
ASK_AGAIN_S: Final = 0.5

REFUSALS: Final = (
    TopicAuthorizationFailedError,
    GroupAuthorizationFailedError,
    ClusterAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)


class NotAllowed(UserError):
    """Kafka does not let us do what a worker has to do."""


def is_away(error: BaseException) -> bool:
    """Whether an error says that Kafka cannot answer just now, not that it refuses."""
    if isinstance(error, KafkaError):
        return bool(error.retriable) or isinstance(error, KafkaTimeoutError)
    return isinstance(error, TimeoutError)


def refusal(error: BaseException | None) -> UserError | None:
    """Return what a person has to be told of an error that only a person can mend."""
    while error is not None and not isinstance(error, (UserError, *REFUSALS)):
        error = error.__cause__
    if error is None or isinstance(error, UserError):
        return error
    what = ", ".join(sorted(map(str, _names(error)))) or "the cluster"
    kind = {TopicAuthorizationFailedError: "topic", GroupAuthorizationFailedError: "group"}
    return NotAllowed(
        f"Kafka does not allow this worker what it needs of {kind.get(type(error), 'itself')} "
        f"{what} ({type(error).__name__}): give its user Read, Write and Describe of the topics, "
        "and Read and Describe of the group (docs/operations.md)"
    )


def _names(error: BaseException) -> list[Any]:
    """Return what an error of authorization is about: a name, or a set of names."""
    named = error.args[0] if error.args else ()
    return [named] if isinstance(named, str) else list(named)


def make_patient(client: AIOKafkaClient) -> None:
    """Have a client wait for a Kafka that is away when it starts, and bear what an outage does."""
    bootstrap, get_conn, send = client.bootstrap, client._get_conn, client.send

    async def wait_to_bootstrap() -> None:
        waits = False
        while True:
            try:
                await bootstrap()
            except KafkaConnectionError as error:
                if not waits:
                    log.warning("Kafka does not answer (%s): waiting for it", error)
                waits = True
                await asyncio.sleep(ASK_AGAIN_S)
            else:
                return

    async def connect_soon(node_id: Any, **options: Any) -> Any:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                return await get_conn(node_id, **options)
        except TimeoutError:
            client.force_metadata_update()
            return None

    async def send_or_say(node_id: Any, request: Any, **options: Any) -> Any:
        try:
            return await send(node_id, request, **options)
        except KeyError as error:
            # Another request has timed out on the same connection, and it is gone already.
            raise NodeNotReadyError(f"the connection to node {node_id} was closed") from error

    client.bootstrap, client._get_conn, client.send = wait_to_bootstrap, connect_soon, send_or_say


async def patiently(ask: Callable[[], Awaitable[T]], go_on: Callable[[], bool] = lambda: True) -> T:
    """Ask Kafka, again while it is away; `go_on` says whether anybody still wants to know."""
    while True:
        try:
            return await ask()
        except (KafkaError, TimeoutError) as error:
            if not is_away(error) or not go_on():
                raise
        await asyncio.sleep(ASK_AGAIN_S)


class PatientProducer(AIOKafkaProducer):  # type: ignore[misc]
    """A producer whose records wait for Kafka as long as it is away; it has to be idempotent.

    A record whose acknowledgement was lost is sent again. Kafka knows it by its number then, and
    does not append it twice, nor behind those that came after it: a state of before would be the
    last of its key otherwise.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        assert self._txn_manager is not None, "only an idempotent producer may send again for ever"
        self._message_accumulator._batch_ttl = FOREVER_S
        self._request_timeout_ms = FOREVER_S * 1_000  # to wait for room; requests have their own
        make_patient(self.client)
