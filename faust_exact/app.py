"""`ExactApp`: a Faust app whose settings, clients and tables are those that exactness needs.

It owns the settings of `SETTINGS`: an app that is given another value for one of them is refused,
and so is one whose configuration was changed before it starts. All else is the caller's.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import faust

from faust_exact.consumer import ExactTransport
from faust_exact.errors import UserError
from faust_exact.progress_watchdog import watch
from faust_exact.reachability import Reach
from faust_exact.store import STORE_OPTIONS, StateTable

if TYPE_CHECKING:
    from faust_exact.partition_states import StateKeeper

TESTED: Final = {"faust-streaming": "0.15.3", "mode-streaming": "0.7.1", "aiokafka": "0.14.0"}
"""The versions that the overrides here were written for and are tested with."""

RAW: Final = {
    "key_type": bytes,
    "value_type": bytes,
    "key_serializer": "raw",
    "value_serializer": "raw",
}
BY_TIME_ONLY: Final = 1_000_000_000


class Setting(NamedTuple):
    """The value of a Faust setting, and why no other one is exact."""

    value: Any
    why: str


SETTINGS: Final[dict[str, Setting]] = {
    "processing_guarantee": Setting(
        "at_least_once", "Faust's exactly_once does not work with tables; positions do its work"
    ),
    "consumer_auto_offset_reset": Setting(
        "earliest",
        "a partition without a commit is read from its beginning, nothing is passed over",
    ),
    "broker_commit_every": Setting(
        BY_TIME_ONLY, "a commit is a checkpoint, and made by time; not after so many events"
    ),
    "producer_acks": Setting(-1, "what one replica alone has acknowledged can be lost"),
    "stream_recovery_delay": Setting(
        0.0, "a recovery that waits is one during which Kafka moves on"
    ),
    "recovery_consistency_check": Setting(
        False, "it ends the app; the keeper's own check computes the states again"
    ),
    "stream_wait_empty": Setting(
        False, "Faust would wait in each rebalance for streams that wait for the rebalance"
    ),
    "topic_allow_declare": Setting(False, "a topic made by accident has other partitions"),
    "topic_disable_leader": Setting(True, "nobody needs the leader's topic, and it is declared"),
}
"""The settings that exactness hangs on."""


class SettingRefused(UserError):
    """A setting has a value with which results are not exact."""


class ExactApp(faust.App):  # type: ignore[misc]
    """A Faust app whose state survives any restart: see README.md.

    Tables that a `StateKeeper` holds are made by `state_table`, its input by `input_topic`. The
    interval of checkpoints is `broker_commit_interval`.
    """

    keepers: list[StateKeeper[Any]]

    def __init__(self, id: str, **options: Any) -> None:
        """Make the app; raise SettingRefused for an option that differs from `SETTINGS`."""
        for name, setting in SETTINGS.items():
            if name in options and options[name] != setting.value:
                raise SettingRefused(_why_refused(name, options[name], setting))
        self.keepers = []
        owned = {name: setting.value for name, setting in SETTINGS.items()}
        # Without `env`, Faust would obey its own environment variables before what is set here.
        super().__init__(id, **{"env": {}} | options | owned)
        self.transport = ExactTransport(self.conf.broker_consumer, self)
        self.reach = Reach(self)
        self.task(self.reach.run)

    async def on_first_start(self) -> None:
        """Check the settings before anything is opened: they may have been changed since."""
        self.check_settings()
        for said in untested_versions():
            self.log.warning(said)
        await super().on_first_start()

    async def on_start(self) -> None:
        """Watch over the worker's progress from its first moment."""
        await super().on_start()
        self.add_future(watch(self))

    def check_settings(self) -> None:
        """Raise SettingRefused if a setting that exactness hangs on has another value."""
        for name, setting in SETTINGS.items():
            value = getattr(self.conf, name)
            if getattr(value, "value", value) != setting.value:  # Faust makes an enum of some
                raise SettingRefused(_why_refused(name, value, setting))

    @property
    def knows_coordinator(self) -> bool:
        """Return whether the group has a coordinator, as far as the consumer knows."""
        return self._consumer is None or self.consumer.knows_coordinator

    @property
    def consumer_is_ready(self) -> bool:
        """Return whether the consumer has been given its partitions at least once."""
        return self._consumer is not None and self._assignment is not None

    def input_topic(self, name: str) -> Any:
        """Return a topic whose position a keeper commits, so that Faust is to keep no acks of it.

        It would drop them at its own commits only, and so keep the offset of every record (F24).
        """
        return self.topic(name, **RAW, partitions=self.conf.topic_partitions, acks=False)

    def state_table(self, name: str) -> StateTable:
        """Return a table of state records, kept in RocksDB."""
        table: StateTable = self.tables.add(
            StateTable(
                self,
                name=name,
                partitions=self.conf.topic_partitions,
                beacon=self.tables.beacon,
                options=STORE_OPTIONS,
                key_type=bytes,
                value_type=bytes,
            )
        )
        return table


def untested_versions() -> list[str]:
    """Return a warning for each library whose installed version is not the tested one."""
    installed = {name: version(name) for name in TESTED}
    return [
        f"{name} {installed[name]} is installed; faust_exact was tested with {tested}: "
        "run its contract test before you trust it"
        for name, tested in TESTED.items()
        if installed[name] != tested
    ]


def _why_refused(name: str, value: object, setting: Setting) -> str:
    return f"{name}={value!r} is not exact, it must be {setting.value!r}: {setting.why}"
