"""No class of ours takes a name that a class of Faust, mode or aiokafka uses for something else.

An attribute that hides a method of `mode.Service` made a worker that could neither work nor end.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Iterator
from functools import cache
from typing import Any

import faust
import pytest
from mode import Service

import agents
import app
import faust_exact
from app.monitoring.logs import QUIET_LOGGERS

FOREIGN = ("faust", "mode", "aiokafka")
REPLACED = {
    "PatientProducer._request_timeout_ms",  # which has no end here
    "PlainWorker.spinner",  # None, as Faust itself sets it where there is no terminal
    "QuietWeb._runner",  # the web server's, with limits
    "StateStore.rocksdb_options",  # the store's options, as our settings say
    "ExactApp.transport",  # properties that Faust has for that
    "Steelyard.web",
}
"""What we set on purpose in place of what Faust has there."""


def classes() -> Iterator[type]:
    """Yield every class of ours that has a foreign base."""
    names = [
        found.name
        for package in (app, agents, faust_exact)
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not found.name.endswith("__main__")
    ]
    seen = {
        each
        for name in names
        for each in vars(importlib.import_module(name)).values()
        if inspect.isclass(each) and each.__module__ == name
    }
    yield from sorted((each for each in seen if foreign_bases(each)), key=str)


def foreign_bases(ours: type) -> list[type]:
    return [base for base in ours.__mro__ if base.__module__.partition(".")[0] in FOREIGN]


@cache
def assigned(of: type) -> set[str]:
    """Return the names that a class gives to its instances: `self.name = …`, in any method."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(of)))
    names = set()
    for node in ast.walk(tree):
        targets: list[Any] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign | ast.AugAssign):
            targets = [node.target]
        names |= {
            target.attr
            for each in targets
            for target in getattr(each, "elts", [each])
            if isinstance(target, ast.Attribute)
            and isinstance(target.value, ast.Name)
            and target.value.id == "self"
        }
    return names


def clashes(ours: type) -> set[str]:
    """Return the names that a class of ours takes although a foreign base uses them."""
    bases = foreign_bases(ours)
    methods = {name for base in bases for name in vars(base)}
    fields = {name for base in bases for name in assigned(base)}
    taken = assigned(ours) & (methods | fields)
    for name, value in vars(ours).items():
        inherited = next((vars(base)[name] for base in bases if name in vars(base)), None)
        if callable(inherited) and not callable(getattr(value, "__func__", value)):
            taken.add(name)  # a value, or a property, in place of a method
        elif inherited is None and name in fields and callable(value):
            taken.add(name)  # a method in place of a value
    return {f"{ours.__name__}.{name}" for name in taken if not name.startswith("__")} - REPLACED


OURS = list(classes())


def test_the_classes_are_found() -> None:
    assert {"Steelyard", "ExactProducer", "Ingest"} <= {each.__name__ for each in OURS}


@pytest.mark.parametrize("ours", OURS, ids=lambda each: each.__name__)
def test_no_name_of_a_base_is_taken(ours: type) -> None:
    assert clashes(ours) == set()


def test_what_hid_the_crash_is_found() -> None:
    class Hides(Service):  # type: ignore[misc]
        def on_send_error(self) -> None:
            self._crash = None

    class HidesForAll(faust.App):  # type: ignore[misc]
        stop = None

    assert clashes(Hides) == {"Hides._crash"}
    assert clashes(HidesForAll) == {"HidesForAll.stop"}


def test_what_mode_says_of_our_services_is_not_in_the_log_of_a_worker() -> None:
    """A service logs each of its starts at INFO, under the name of the module of its class."""
    services = [each for each in OURS if issubclass(each, Service)]
    assert len(services) > 5
    loud = {each.__module__ for each in services} - {
        each.__module__ for each in services if each.__module__.partition(".")[0] in QUIET_LOGGERS
    }
    assert not loud
