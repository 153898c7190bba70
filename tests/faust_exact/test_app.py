"""The app owns the settings that exactness hangs on, and names what it was tested with."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from faust_exact import app as exact
from faust_exact.app import SETTINGS, TESTED, ExactApp, SettingRefused, untested_versions

OTHER = {
    "processing_guarantee": "exactly_once",
    "consumer_auto_offset_reset": "latest",
    "broker_commit_every": 100,
    "producer_acks": 1,
    "stream_recovery_delay": 3.0,
    "recovery_consistency_check": True,
    "stream_wait_empty": True,
    "topic_allow_declare": True,
    "topic_disable_leader": False,
}


def made(**options: object) -> ExactApp:
    return ExactApp("counting", broker="kafka://127.0.0.1:1", store="memory://", **options)


@pytest.mark.parametrize("name", SETTINGS)
def test_another_value_of_an_owned_setting_is_refused(name: str) -> None:
    with pytest.raises(SettingRefused, match=f"{name}=.*{SETTINGS[name].why[:20]}"):
        made(**{name: OTHER[name]})
    made(**{name: SETTINGS[name].value}).check_settings()


@pytest.mark.parametrize("name", SETTINGS)
async def test_a_setting_that_was_changed_since_is_refused_at_the_start(name: str) -> None:
    app = made()
    app.check_settings()
    setattr(app.conf, name, OTHER[name])
    with pytest.raises(SettingRefused, match=name):
        await app.on_first_start()


def test_variables_of_the_environment_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRODUCER_ACKS", "0")
    monkeypatch.setenv("PROCESSING_GUARANTEE", "exactly_once")
    made().check_settings()


def test_the_installed_versions_are_the_tested_ones() -> None:
    assert {name: version(name) for name in TESTED} == TESTED
    assert untested_versions() == []


def test_another_version_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "TESTED", TESTED | {"aiokafka": "0.1"})
    [said] = untested_versions()
    assert said.startswith(f"aiokafka {version('aiokafka')} is installed")
