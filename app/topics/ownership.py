"""Whose topics, group and changelogs these are: a worker asks before it touches any of them.

Two things are looked at. The topic `installation` has the claim of the worker that came first: a
name may be shared by workers only, not by production and a test. And no worker may live that reads
these topics in another group, or other topics in this group: an earlier release could be set so.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from yarl import URL

from app.errors import UserError, command
from app.settings import Settings
from app.topics.admin import KAFKA_TIMEOUT_S, KafkaUnreachable, TopicRefused, connect
from app.topics.definitions import changelog_name
from deribit.hosts import is_loopback
from faust_exact.outage_patience import is_away, refusal

if TYPE_CHECKING:
    from aiokafka.admin import AIOKafkaAdminClient

log = logging.getLogger("steelyard.worker")

CLAIM_PARTITION: Final = 0
SETTLE_S: Final = 3.0
"""While a group is being shared anew, Kafka does not tell what its members read."""
LOOK_AGAIN_S: Final = 0.2
LEAVES_WITHIN_S: Final = 10.0
"""After a worker's death Kafka takes it for a member for the 8 s of its session."""
SHARING: Final = frozenset({"PreparingRebalance", "CompletingRebalance"})
FAUST: Final = "faust"
"""The assignor of every Faust application, and how its usual client id begins."""


class InstallationForeign(UserError):
    """Group or topics belong to another installation."""


class AddressTaken(UserError):
    """Two workers say that they are at the same address."""


@dataclass(frozen=True, slots=True)
class Member:
    """A live worker of this project, as Kafka describes it."""

    group: str
    host: str
    topics: frozenset[str]
    url: str
    """Where the others are told to reach it; "" if that cannot be read."""

    @property
    def feed(self) -> str:
        """The feed that it reads."""
        return next((name for name in sorted(self.topics) if name.endswith("feed")), "no feed")


async def check_claims(settings: Settings) -> None:
    """Raise InstallationForeign if what the settings name belongs to somebody else."""
    from aiokafka.errors import KafkaError

    async with connect(settings) as admin:
        members = await _members(admin, settings)
        for member in members:
            _check_member(settings, member)
        await _check_address(admin, settings, members)
    if not settings.ingest:
        return  # who reads no venue gets on with workers that read any
    try:
        async with asyncio.timeout(KAFKA_TIMEOUT_S):
            await _check_claim(settings)
    except (KafkaError, OSError, TimeoutError) as error:
        if (told := refusal(error)) is not None:
            raise told from error
        if isinstance(error, KafkaError) and not is_away(error):
            name = settings.topic_prefix + "installation"
            raise TopicRefused(f"Kafka refused the record of topic {name}: {error!r}") from error
        raise KafkaUnreachable(
            f"Kafka at {settings.kafka} (STEELYARD_KAFKA) does not tell whose topics these are: "
            f"{error!r}"
        ) from error


def _check_member(settings: Settings, member: Member) -> None:
    feed, group = settings.topic_prefix + "feed", settings.app_id
    if (member.group == group) == (feed in member.topics):
        return
    raise InstallationForeign(
        f"A worker at {member.host} is in the consumer group {member.group} and reads "
        f"{member.feed}; this one, of the installation {settings.installation}, would be in "
        f"{group} and read {feed}. They would overwrite each other's state. It is of an earlier "
        "release or of another installation: stop it first, or give this one a name of its own "
        "(STEELYARD_INSTALLATION)."
    )


async def _check_address(
    admin: AIOKafkaAdminClient, settings: Settings, members: list[Member]
) -> None:
    """Raise AddressTaken if a worker on another machine says that it is where this one is.

    One that has died is still a member until its session ends.
    """
    own = settings.advertised_url.origin()
    deadline = time.monotonic() + LEAVES_WITHIN_S
    while True:
        ours = [each for each in members if each.group == settings.app_id]
        away = [each for each in ours if not is_of_here(each.host)]
        taken = [each.host for each in away if each.url == str(own)]
        if not taken:
            break
        if time.monotonic() >= deadline:
            raise AddressTaken(
                f"The worker at {taken[0]} advertises {own}, and so would this one: the others "
                "could reach one of them only, or none. Set STEELYARD_WEB_ADVERTISED of each to an "
                "address at which the others reach it, and STEELYARD_WEB_HOST to serve there."
            )
        await asyncio.sleep(LOOK_AGAIN_S)
        members = await _members(admin, settings)
    if away and is_loopback(own.host or ""):
        log.warning(
            "other workers run at %s, and this one advertises %s, where only this machine reaches "
            "it: set STEELYARD_WEB_ADVERTISED if they are on other machines",
            *(", ".join(sorted({each.host for each in away})), own),
        )


def is_of_here(host: str) -> bool:
    """Return whether an address is of this machine: two workers cannot bind the same port of it."""
    try:
        address = ip_address(host)
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except (ValueError, OSError):
        return False
    return True


# Who lives


async def _members(admin: AIOKafkaAdminClient, settings: Settings) -> list[Member]:
    """Return the live workers, of any group, that could meet this one."""
    from aiokafka.errors import KafkaError

    deadline = time.monotonic() + SETTLE_S
    try:
        while True:
            groups = await _groups(admin)
            unsettled = [group.group for group in groups if _is_unknown(group, settings)]
            if not unsettled:
                break
            if time.monotonic() >= deadline:
                log.info("what is read in the groups %s is not known yet", ", ".join(unsettled))
                break
            await asyncio.sleep(LOOK_AGAIN_S)
    except KafkaError as error:  # whoever may look at its own topics only can still work
        log.warning("Kafka does not tell which groups there are: %r", error)
        return []
    return [member for group in groups for member in workers_of(group)]


async def _groups(admin: AIOKafkaAdminClient) -> list[Described]:
    """Return all groups of consumers, each from the broker that coordinates it."""
    found: list[Described] = []
    for broker in (await admin.describe_cluster())["brokers"]:
        number = broker["node_id"]
        listed = await admin.list_consumer_groups([number])
        # One at a time: an answer about several is one that aiokafka 0.14 cannot read.
        for group in (group for group, kind, *_ in listed if kind == "consumer"):
            (response,) = await admin.describe_consumer_groups([group], number)
            found += [Described(*each) for each in response.groups]
    return found


@dataclass(frozen=True, slots=True)
class Described:
    """A group in Kafka's own words."""

    error_code: int
    group: str
    state: str
    protocol_type: str
    protocol: str
    members: list[Any]
    authorized_operations: Any = None


def _is_unknown(group: Described, settings: Settings) -> bool:
    """Return whether workers of an earlier release may be in it that Kafka does not show yet.

    Those of this release are known by their client id.
    """
    if group.state not in SHARING:
        return False
    clients = {member[1] for member in group.members} - {client_id(settings)}
    return any(client.startswith(FAUST) for client in clients)


def workers_of(group: Described) -> Iterator[Member]:
    """Yield the members of a group that are workers of this project."""
    from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata

    if group.error_code or group.protocol != FAUST:
        return
    for _id, _client, host, metadata, *_ in group.members:
        if not metadata:
            continue
        names = ConsumerProtocolMemberMetadata.decode(metadata).subscription
        if changelog_name(group.group, "books") in names:
            url = _advertised_in(metadata)
            yield Member(group.group, host.removeprefix("/"), frozenset(names), url)


def _advertised_in(metadata: bytes) -> str:
    """Return the address in what Faust tells of a member as it joins."""
    from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata

    try:
        told = ConsumerProtocolMemberMetadata.decode(metadata).user_data
        return str(URL(json.loads(told)["url"]).origin())
    except (ValueError, TypeError, KeyError):
        return ""


def client_id(settings: Settings) -> str:
    """Return what a worker of this installation calls itself to Kafka."""
    return f"steelyard/{settings.installation}"


# What was claimed


async def _check_claim(settings: Settings) -> None:
    """Claim the topics if nobody has; raise if somebody has who reads another venue.

    Two that start at once may both claim. Both then see who was first, and the other one ends.
    """
    ours = venue_of(settings)
    topic = settings.topic_prefix + "installation"
    claims = await _claims(settings, topic)
    if not claims:
        await _append(settings, topic)
        claims = await _claims(settings, topic)
    theirs = next((found["venue"] for found in claims), ours)
    if theirs != ours:
        raise InstallationForeign(
            f"The installation {settings.installation} on this Kafka reads the venue at {theirs}; "
            f"this worker would write what it reads at {ours} into the same topics.\n"
            "Give this one a name of its own (STEELYARD_INSTALLATION). If the installation itself "
            "has moved to another venue, stop all its workers and run\n"
            f"    {command()} topics --recreate {topic} --yes"
        )


def venue_of(settings: Settings) -> str:
    """Return where the venue is: its host, whatever the port, which a demo chooses anew."""
    host = urlsplit(settings.venue_url).hostname or ""
    return "this machine" if is_loopback(host) else host


async def _claims(settings: Settings, topic: str) -> list[dict[str, Any]]:
    from aiokafka import AIOKafkaConsumer, TopicPartition

    tp = TopicPartition(topic, CLAIM_PARTITION)
    values: list[bytes | None] = []
    async with AIOKafkaConsumer(
        bootstrap_servers=settings.kafka.split(","), enable_auto_commit=False
    ) as consumer:
        consumer.assign([tp])
        await consumer.seek_to_beginning(tp)
        end = (await consumer.end_offsets([tp]))[tp]
        while await consumer.position(tp) < end:
            batches = await consumer.getmany(tp, timeout_ms=1_000)
            values += [record.value for batch in batches.values() for record in batch]
    return list(_decoded(values))


def _decoded(values: Iterable[bytes | None]) -> Iterator[dict[str, Any]]:
    for value in values:
        try:
            found = json.loads(value or b"")
        except ValueError:
            continue  # not ours
        if isinstance(found, dict) and isinstance(found.get("venue"), str):
            yield found


async def _append(settings: Settings, topic: str) -> None:
    from aiokafka import AIOKafkaProducer

    claim = {
        "installation": settings.installation,
        "venue": venue_of(settings),
        "worker": settings.worker_name,
        "since_ms": time.time_ns() // 10**6,
    }
    servers = settings.kafka.split(",")
    async with AIOKafkaProducer(bootstrap_servers=servers, acks="all") as producer:
        await producer.send_and_wait(topic, json.dumps(claim).encode(), partition=CLAIM_PARTITION)
