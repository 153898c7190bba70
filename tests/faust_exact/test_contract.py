"""What faust_exact overrides in Faust, mode and aiokafka is there, and is called as it was.

An override whose name is gone upstream is dead without a word. Each one stands here with the
parameters that the foreign one has, found by looking: a class that overrides more fails, too.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any

import pytest

import faust_exact

FOREIGN = ("faust", "mode", "aiokafka")
SPECIAL = {"__post_init__"}
OF_EVERY_CLASS = {"logger", "_abc_impl"}
CONTRACT: dict[str, str] = {
    "ExactApp.on_first_start": "",
    "ExactApp.on_start": "",
    "ExactConsumer._commit": "offsets",
    "ExactConsumer._commit_handler": "obj",
    "ExactConsumer._commit_offsets": "offsets, start_new_transaction",
    "ExactConsumer._filter_committable_offsets": "tps",
    "ExactConsumer._filter_tps_with_pending_acks": "topics",
    "ExactConsumer._handle_attached": "commit_offsets",
    "ExactConsumer.on_partitions_revoked": "revoked",
    "ExactConsumer.on_stop": "",
    "ExactConsumer.perform_seek": "",
    "ExactProducer.__post_init__": "",
    "ExactProducer._producer_type": "value",
    "ExactProducer._settings_extra": "",
    "ExactProducer.flush": "",
    "ExactProducer.send": "topic, key, value, partition, timestamp, headers, transactional_id",
    "ExactThread._create_consumer": "loop",
    "ExactThread.close": "",
    "ExactThread.earliest_offsets": "partitions",
    "ExactThread.highwaters": "partitions",
    "ExactThread.on_partitions_assigned": "assigned, generation_id",
    "ExactThread.on_partitions_revoked": "revoked",
    "ExactThread.on_start": "",
    "ExactThread.seek_to_committed": "",
    "ExactThread.seek_wait": "partitions",
    "ExactTransport.Consumer": "args, kwargs",
    "ExactTransport.Producer": "transport, loop, kwargs",
    "FetchingConsumer._new_consumer_thread": "",
    "FetchingConsumer._to_message": "tp, record",
    "FetchingConsumer._wait_next_records": "timeout",
    "FetchingConsumer.getmany": "timeout",
    "FetchingConsumer.highwater": "tp",
    "FetchingConsumer.wait_first": "coros, timeout",
    "RecoveryTimes.on_rebalance_end": "app, state",
    "StateStore._open_for_partition": "partition",
    "StateStore._try_open_db_for_partition": "partition, max_retries, retry_delay, generation_id",
    "StateStore._visible_items": "db",
    "StateStore.apply_changelog_batch": "batch, to_key, to_value",
    "StateStore.keys": "",
    "StateTable._new_store": "",
    "StoreOptions.as_options": "",
}
"""By override: the parameters of what it overrides but `self`; "value" for an attribute."""


def classes() -> list[type]:
    found = pkgutil.walk_packages(faust_exact.__path__, "faust_exact.")
    modules = [importlib.import_module(each.name) for each in found if ".examples" not in each.name]
    ours = {each for module in modules for each in vars(module).values() if inspect.isclass(each)}
    return sorted((each for each in ours if each.__module__.startswith("faust_exact")), key=str)


def overrides() -> dict[str, Any]:
    """Return what a foreign base has under each name that a class of ours gives another meaning."""
    found = {}
    for ours in classes():
        foreign = [base for base in ours.__mro__ if base.__module__.partition(".")[0] in FOREIGN]
        for name in vars(ours):
            if name.startswith("__") and name not in SPECIAL:
                continue
            theirs = next((vars(base)[name] for base in foreign if name in vars(base)), None)
            if theirs is not None and name not in OF_EVERY_CLASS:
                found[f"{ours.__name__}.{name}"] = theirs
    return found


def shape(theirs: Any) -> str:
    if isinstance(theirs, staticmethod | classmethod):
        theirs = theirs.__func__
    if not callable(theirs):
        return "value"
    return ", ".join(name for name in inspect.signature(theirs).parameters if name != "self")


FOUND = overrides()


def test_the_overrides_are_those_of_the_contract() -> None:
    assert set(FOUND) == set(CONTRACT), "an override has come, or what it overrides has gone"


@pytest.mark.parametrize("name", CONTRACT)
def test_what_is_overridden_has_the_parameters_that_it_had(name: str) -> None:
    assert shape(FOUND[name]) == CONTRACT[name]
