"""The topics in Kafka: made as the catalogue says, compared with it, and mended.

Every topic is made here, with partitions, replication and policy; none is made by accident.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from app.errors import UserError, command
from app.settings import Settings
from app.topics.definitions import MIN_ISR, Topic, changelog_name, topics
from faust_exact.outage_patience import is_away, refusal

if TYPE_CHECKING:
    from aiokafka.admin import AIOKafkaAdminClient

__all__ = [
    "KafkaUnreachable",
    "Mismatch",
    "Topic",
    "TopicMismatch",
    "TopicRefused",
    "TopicState",
    "TopicsUnknown",
    "alter",
    "changelog_name",
    "configs_told",
    "connect",
    "create",
    "describe",
    "ensure_topics",
    "recreate",
    "topics",
]

KAFKA_TIMEOUT_S: Final = 10.0
ASK_AGAIN_S: Final = 0.2
ConfigEntry = tuple[Any, ...]
"""As the protocol has it: name, value, whether it is read-only, where it was set, …"""
SET_ON_TOPIC: Final = 1
"""The protocol's number for a value that was set on the topic itself, not a default."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One property of an existing topic that is not as wanted, and the command that mends it."""

    topic: str
    what: str
    wanted: str
    found: str
    mend: str


@dataclass(frozen=True, slots=True)
class TopicState:
    """A wanted topic beside what Kafka has of it; `partitions` is None where it has none."""

    topic: Topic
    partitions: int | None
    replication: int | None
    configs: dict[str, str]

    def mismatches(self) -> list[Mismatch]:
        """Compare what cannot differ without losing data or answers; the rest is the owner's."""
        if self.partitions is None or self.replication is None:
            return []
        topic = self.topic
        recreate = f"{command()} topics --recreate {topic.name} --yes"
        alter = f"{command()} topics --alter {topic.name}"
        found = []
        if self.partitions != topic.partitions:
            wanted, has = str(topic.partitions), str(self.partitions)
            found.append(Mismatch(topic.name, "partitions", wanted, has, recreate))
        if self.replication < topic.replication:
            wanted, has = f"at least {topic.replication}", str(self.replication)
            found.append(Mismatch(topic.name, "replication", wanted, has, recreate))
        if (policy := self.configs.get("cleanup.policy", "")) != topic.policy:
            found.append(Mismatch(topic.name, "cleanup.policy", topic.policy, policy, alter))
        wanted_bytes = topic.configs["max.message.bytes"]
        has_bytes = self.configs.get("max.message.bytes", "0")
        if int(has_bytes) < int(wanted_bytes):  # a record that is refused would be data lost
            what = f"at least {wanted_bytes}"
            found.append(Mismatch(topic.name, "max.message.bytes", what, has_bytes, alter))
        wanted_copies = topic.configs[MIN_ISR]
        has_copies = self.configs.get(MIN_ISR, "1")
        if int(has_copies) < int(wanted_copies):  # else what was acknowledged can be lost
            found.append(
                Mismatch(topic.name, MIN_ISR, f"at least {wanted_copies}", has_copies, alter)
            )
        return found


class TopicMismatch(UserError):
    """Topics exist that would lose data or give wrong answers if they were used."""

    def __init__(self, mismatches: Sequence[Mismatch]) -> None:
        self.mismatches = tuple(mismatches)
        lines = [
            f"topic {m.topic}: {m.what} is {m.found}, wanted {m.wanted}\n    mend: {m.mend}"
            for m in mismatches
        ]
        warning = "--recreate deletes the topic and all that is in it."
        hint = f"\n{warning}" if any("--recreate" in m.mend for m in mismatches) else ""
        super().__init__(
            "Kafka has topics that are not as they must be:\n  " + "\n  ".join(lines) + hint
        )


class KafkaUnreachable(UserError):
    """No broker answers."""


class TopicRefused(UserError):
    """Kafka refused to make, describe, alter or delete a topic."""


class TopicsUnknown(UserError):
    """Kafka has topics and does not say how they are configured."""


async def ensure_topics(settings: Settings) -> None:
    """Create the topics that are missing; raise TopicMismatch if one that exists is wrong."""
    wanted = topics(settings)
    async with connect(settings) as admin:
        states = await describe(admin, wanted)
        if missing := [state.topic for state in states if state.partitions is None]:
            await create(admin, missing)
            states = await describe(admin, wanted)  # a peer may have made one, and otherwise
        if found := [mismatch for state in states for mismatch in state.mismatches()]:
            raise TopicMismatch(found)


async def describe(admin: AIOKafkaAdminClient, wanted: Sequence[Topic]) -> list[TopicState]:
    """Return the state of each wanted topic, in the same order."""
    existing = {entry["topic"]: entry for entry in await admin.describe_topics()}
    entries = await _configs(
        admin,
        {topic.name: dict.fromkeys(topic.configs) for topic in wanted if topic.name in existing},
    )
    states = []
    for topic in wanted:
        if (entry := existing.get(topic.name)) is None:
            states.append(TopicState(topic, None, None, {}))
        else:
            replication = min(len(partition["replicas"]) for partition in entry["partitions"])
            has = {entry[0]: entry[1] for entry in entries[topic.name]}
            states.append(TopicState(topic, len(entry["partitions"]), replication, has))
    return states


async def create(admin: AIOKafkaAdminClient, missing: Sequence[Topic]) -> None:
    """Create topics and wait until they can be used; one made meanwhile by a peer is well."""
    from aiokafka.admin import NewTopic
    from aiokafka.errors import TopicAlreadyExistsError

    if not missing:
        return
    new = [
        NewTopic(topic.name, topic.partitions, topic.replication, topic_configs=topic.configs)
        for topic in missing
    ]
    response = await admin.create_topics(new, timeout_ms=int(KAFKA_TIMEOUT_S * 1000))
    for name, code, message in response.topic_errors:
        if code not in (0, TopicAlreadyExistsError.errno):
            raise TopicRefused(f"Kafka refused to create topic {name}: {_words(code, message)}")
    await _wait_until(admin, {topic.name for topic in missing}, present=True)


async def recreate(admin: AIOKafkaAdminClient, topic: Topic) -> None:
    """Delete a topic with all that is in it, and create it as it must be."""
    response = await admin.delete_topics([topic.name])
    for name, code in response.topic_error_codes:
        if code:
            raise TopicRefused(f"Kafka refused to delete topic {name}: {_words(code, None)}")
    await _wait_until(admin, {topic.name}, present=False)
    await create(admin, [topic])


async def alter(admin: AIOKafkaAdminClient, topic: Topic) -> None:
    """Give an existing topic the wanted configuration; what is in it stays.

    The request replaces all that was set on the topic, so what its owner set is sent along.
    """
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    entries = (await _configs(admin, {topic.name: None}))[topic.name]
    kept = {entry[0]: entry[1] for entry in entries if entry[3] == SET_ON_TOPIC}
    resource = ConfigResource(ConfigResourceType.TOPIC, topic.name, kept | topic.configs)
    for response in await admin.alter_configs([resource]):
        for code, message, _type, name in response.resources:
            if code:
                raise TopicRefused(f"Kafka refused to alter topic {name}: {_words(code, message)}")


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """Give an admin client of the Kafka in the settings, or raise KafkaUnreachable."""
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.errors import KafkaError

    servers = [server.strip() for server in settings.kafka.split(",")]
    admin = AIOKafkaAdminClient(
        bootstrap_servers=servers, request_timeout_ms=int(KAFKA_TIMEOUT_S * 1000)
    )
    try:
        await asyncio.wait_for(admin.start(), KAFKA_TIMEOUT_S)
        yield admin
    except (KafkaError, OSError, TimeoutError) as error:
        if (told := refusal(error)) is not None:
            raise told from error
        if isinstance(error, KafkaError) and not is_away(error):
            raise
        reason = str(error) or type(error).__name__
        raise KafkaUnreachable(
            f"No Kafka answers at {settings.kafka} (STEELYARD_KAFKA): {reason}\n"
            f"Start one with `make demo` or `{command()} kafka`, or set STEELYARD_KAFKA to "
            "the address of yours."
        ) from error
    finally:
        await admin.close()


async def _configs(
    admin: AIOKafkaAdminClient, asked: Mapping[str, dict[str, None] | None]
) -> dict[str, Sequence[ConfigEntry]]:
    """Return the configuration of existing topics, the named entries or all; wait until it is told.

    A broker that has just started does not know yet all that the cluster knows.
    """
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    resources = [ConfigResource(ConfigResourceType.TOPIC, *each) for each in asked.items()]
    told: dict[str, Sequence[ConfigEntry]] = {}
    deadline = time.monotonic() + KAFKA_TIMEOUT_S
    while resources:
        told = configs_told(await admin.describe_configs(resources))
        unknown = asked.keys() - told.keys()
        if not unknown:
            break
        if time.monotonic() >= deadline:
            raise TopicsUnknown(
                f"Kafka has not told the configuration of {', '.join(sorted(unknown))} within "
                f"{KAFKA_TIMEOUT_S:.0f} s: its brokers are still starting, or have lost each "
                "other. Try again; if it stays so, their logs say why."
            )
        await asyncio.sleep(ASK_AGAIN_S)
    return told


def configs_told(responses: Iterable[Any]) -> dict[str, Sequence[ConfigEntry]]:
    """Return by topic what an answer tells; what it leaves empty is left out: not known yet."""
    from aiokafka.errors import for_code

    told: dict[str, Sequence[ConfigEntry]] = {}
    for response in responses:
        for code, message, _type, name, entries in response.resources:
            if code and not for_code(code).retriable:
                words = _words(code, message)
                raise TopicRefused(f"Kafka refused to tell how topic {name} is configured: {words}")
            if entries:
                told[name] = entries
    return told


async def _wait_until(admin: AIOKafkaAdminClient, names: set[str], *, present: bool) -> None:
    async def settled() -> None:
        while True:
            entries = {entry["topic"]: entry for entry in await admin.describe_topics()}
            if present:
                ready = all(name in entries and _led(entries[name]) for name in names)
            else:
                ready = not names & set(entries)
            if ready:
                return
            await asyncio.sleep(0.05)

    try:
        await asyncio.wait_for(settled(), KAFKA_TIMEOUT_S)
    except TimeoutError:
        state = "created" if present else "deleted"
        raise TopicRefused(
            f"Kafka has not {state} {', '.join(sorted(names))} within {KAFKA_TIMEOUT_S:.0f} s"
        ) from None


def _led(entry: dict[str, Any]) -> bool:
    return all(partition["leader"] >= 0 for partition in entry["partitions"])


def _words(code: int, message: str | None) -> str:
    from aiokafka.errors import for_code

    error = for_code(code)
    return message or f"{error.__name__}: {error.description or ''}".rstrip(": ")
