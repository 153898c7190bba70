"""A Kafka that asks what its clients may do; everybody may, until something is denied."""

from __future__ import annotations

from aiokafka.protocol.admin import CreateAclsRequest

from app.embedded_kafka import EmbeddedBroker
from app.settings import Settings
from app.topics.admin import connect

TOPIC, GROUP = 2, 3
READ, WRITE, DESCRIBE = 3, 4, 8
LITERAL, DENY, ALLOW = 3, 2, 3
EVERYBODY = "User:ANONYMOUS"


class GuardedBroker(EmbeddedBroker):
    """An embedded broker with Kafka's authorizer."""

    def _prepare(self) -> str:
        jars = super()._prepare()
        with self.storage.properties.open("a") as properties:
            properties.write(
                "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n"
                "allow.everyone.if.no.acl.found=true\n"
            )
        return jars


async def say(settings: Settings, kind: int, name: str, operation: int, permission: int) -> None:
    """Allow or deny everybody an operation on a topic or a group; what has rules has no others."""
    rule = CreateAclsRequest(kind, name, LITERAL, EVERYBODY, "*", operation, permission)
    async with connect(settings) as admin:
        response = await admin._send_request(rule)
    results = response.to_object() if hasattr(response, "to_object") else response
    assert "error_code': 0" in str(results), results
