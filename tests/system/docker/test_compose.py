"""docker/: what the files promise, without a container engine."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from app.embedded_kafka.jars import KAFKA_VERSION
from app.settings import PRODUCTION_URL, Settings
from app.settings.names import env_name
from tests.system.docker.compose_file import COMPOSE, ROOT, Unsupported, interpolated, load

DOCKER = ROOT / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
COMPOSE_TEXT = COMPOSE.read_text()
OWN_SERVICES = ("exchange", "topics", "worker")
SERVICES = ("kafka", *OWN_SERVICES)
LASTING_SERVICES = ("exchange", "kafka", "worker")


def services(environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the services as compose sees them in this environment."""
    found: dict[str, Any] = interpolated(load(COMPOSE_TEXT), environment or {})["services"]
    return found


def demo_environment() -> dict[str, str]:
    """Return what --env-file docker/demo.env sets."""
    lines = (DOCKER / "demo.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def instructions(name: str) -> list[str]:
    """Return the arguments of a Dockerfile instruction, in order, continued lines joined."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return [line.split(None, 1)[1] for line in joined.splitlines() if line.startswith(f"{name} ")]


def test_the_services_are_these() -> None:
    assert sorted(services()) == sorted(SERVICES)


@pytest.mark.parametrize("name", ["compose.yaml", "demo.env", "Dockerfile", "worker.sh"])
def test_every_variable_is_a_setting(name: str) -> None:
    used = set(re.findall(r"STEELYARD_\w+", (DOCKER / name).read_text()))
    assert used, "the file uses no setting: the test looks in the wrong place"
    assert used <= {env_name(field) for field in Settings.model_fields}


def test_a_setting_is_taken_from_the_variable_of_its_own_name() -> None:
    for name, value in load(COMPOSE_TEXT)["services"]["worker"]["environment"].items():
        if "${" in value:
            assert value.startswith(f"${{{name}:-")


@pytest.mark.parametrize("service", ["topics", "worker"])
@pytest.mark.parametrize("is_demo", [False, True], ids=["live", "demo"])
def test_the_settings_are_accepted(
    service: str, is_demo: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = demo_environment() if is_demo else {}
    for name, value in services(environment)[service]["environment"].items():
        monkeypatch.setenv(name, value)
    configured = Settings()
    assert configured.kafka == "kafka:9092"
    assert configured.partitions == Settings.model_fields["partitions"].default
    if service == "worker":
        assert configured.web_host == "0.0.0.0"
        assert configured.web_hosts == ("worker",)  # and no name that another site points here
        assert configured.web_port == Settings.model_fields["web_port"].default
        expected = "ws://exchange:8790/ws/api/v2" if is_demo else PRODUCTION_URL
        assert configured.venue_url == expected


def test_the_demo_has_the_exchange_and_volumes_of_its_own() -> None:
    environment = demo_environment()
    assert services()["exchange"]["profiles"] == [environment["COMPOSE_PROFILES"]]
    assert [name for name, service in services().items() if "profiles" in service] == ["exchange"]
    assert environment["COMPOSE_PROJECT_NAME"] != load(COMPOSE_TEXT)["name"]
    command = services()["exchange"]["command"]
    port = command[command.index("--port") + 1]
    assert f"//exchange:{port}/" in environment["STEELYARD_VENUE_URL"]


def test_only_workers_are_published_and_only_on_loopback() -> None:
    for ports in ("6066-6073", "7000", ""):
        published = {
            name: service["ports"]
            for name, service in services({"WORKER_PORTS": ports}).items()
            if "ports" in service
        }
        assert published == {"worker": [f"127.0.0.1:{ports}:6066"]}
    assert services()["worker"]["ports"] == ["127.0.0.1:6066-6073:6066"]


def test_images_are_pinned() -> None:
    assert services()["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"
    assert instructions("ARG") == ["PYTHON_IMAGE=python:3.11-slim-bookworm"]
    assert instructions("FROM") == ["${PYTHON_IMAGE}"]
    assert {services()[name]["image"] for name in OWN_SERVICES} == {"steelyard"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_do_no_more_than_it_must(name: str) -> None:
    service = services()[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert service["logging"]["options"]["max-size"]
    assert not {"privileged", "network_mode", "pid", "ipc", "cap_add", "devices"} & set(service)
    if name in OWN_SERVICES:
        assert service["read_only"] == "true"


def test_what_lasts_has_a_health_check_and_comes_back() -> None:
    for name in LASTING_SERVICES:
        service = services()[name]
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert service["restart"] == "unless-stopped"
        assert int(service["stop_grace_period"].removesuffix("s")) >= 10
    assert services()["topics"]["healthcheck"] == {"disable": "true"}
    assert services()["topics"]["restart"] == "no"


def test_a_worker_starts_when_kafka_answers_and_the_topics_are_made() -> None:
    assert services()["worker"]["depends_on"] == {
        "kafka": {"condition": "service_healthy"},
        "topics": {"condition": "service_completed_successfully"},
    }
    command = services()["topics"]["command"]
    assert command[:5] == ["python", "-m", "app", "topics", "--create"]
    assert services()["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_every_volume_is_declared() -> None:
    used = {
        mount.split(":")[0]
        for service in services().values()
        for mount in service.get("volumes", ())
    }
    assert used == set(load(COMPOSE_TEXT)["volumes"])
    assert services()["worker"]["volumes"] == ["workers:/var/lib/steelyard"]
    assert "STEELYARD_DATA_DIR=/var/lib/steelyard" in DOCKERFILE


def test_the_image_runs_as_nobody_in_particular() -> None:
    assert instructions("USER") == ["10001:10001"]
    assert "--uid 10001" in DOCKERFILE
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    assert json.loads(instructions("CMD")[-1])[0] == "sh"
    root_after = DOCKERFILE.partition("\nUSER ")[2]
    assert "RUN" not in root_after
    assert "COPY" not in root_after


def test_the_image_has_locked_dependencies_and_no_compiler() -> None:
    installs = [line for line in instructions("RUN") if "install " in line and "pip" in line]
    assert len(installs) == 1
    assert "--require-hashes" in installs[0]
    assert "--only-binary=:all:" in installs[0]
    assert installs[0].endswith("--requirement /srv/steelyard/requirements.lock")
    assert not re.search(r"apt|build-essential|gcc", DOCKERFILE)


def test_image_and_compose_check_the_health_of_a_worker_alike() -> None:
    _, _, command = instructions("HEALTHCHECK")[0].partition("CMD ")
    assert ["CMD", *json.loads(command)] == services()["worker"]["healthcheck"]["test"]


def test_the_image_takes_in_all_code_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    taken = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert all((ROOT / name).exists() for name in taken)
    code = {name for name in taken if (ROOT / name).is_dir()}
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()}
    imported = {
        package
        for folder in code
        for path in (ROOT / folder).rglob("*.py")
        for package in re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(), re.MULTILINE)
    }
    assert imported & folders <= code
    assert {"dashboard", "exchange"} <= code
    assert not {".env", ".git", "var", "tests", ".venv"} & taken


@pytest.mark.parametrize(
    "text",
    [
        "a: [1, 2] 3",
        "a: |\n  b",
        "a:\n    b: 1\n  c: 2",
        "a: 1\na: 2",
        "- a\nb",
        "a: 'b'",
        "a: {b}",
    ],
)
def test_what_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(Unsupported):
        load(text)


def test_references_are_replaced_as_compose_does() -> None:
    environment = {"EMPTY": "", "SET": "s"}
    text = "${SET:-d} ${EMPTY:-d} ${EMPTY-d} ${NONE:-d} ${NONE-d} ${NONE} $$x"
    assert interpolated(text, environment) == "s d  d d  $x"
