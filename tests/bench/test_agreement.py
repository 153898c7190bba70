"""The comparison compares: peers agree with Steelyard, and a wrong window is found out."""

from __future__ import annotations

import importlib.util
import json
from types import ModuleType
from typing import Any

import pytest

from bench.agreement import compare, truth
from bench.feeds import EXCERPT, Log, book_messages, generated, instrument_names, recording
from bench.peers.run import HERE

STORED_EVERY = 25


@pytest.fixture
def peer() -> ModuleType:
    """The book that the peers keep, imported as they do: by its path."""
    spec = importlib.util.spec_from_file_location("book", HERE / "book.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["generated", "recorded"])
def log(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Log:
    """Both logs, short."""
    if request.param == "generated":
        return generated(1_000, instrument_names(3), depth=20)
    monkeypatch.setenv("BENCH_RECORDING", str(EXCERPT))
    return recording(limit=2_000)


def windows_of(log: Log, peer: ModuleType, *, is_stored: bool) -> list[dict[str, Any]]:
    """What a peer computes; stored, books go through JSON as durable state does."""
    books: dict[str, Any] = {}
    windows: dict[tuple[str, int], dict[str, Any]] = {}
    for number, (name, message) in enumerate(book_messages(log)):
        data = json.loads(message)["params"]["data"]
        book = books.get(name, peer.Book())
        measured = book.apply(data)
        if is_stored and number % STORED_EVERY == 0:
            book = peer.Book(json.loads(json.dumps(book.state())))
        books[name] = book
        start_ms = data["timestamp"] // 1_000 * 1_000
        window = windows.get((name, start_ms)) or peer.begin_window(name, start_ms)
        windows[name, start_ms] = peer.add_to_window(window, measured)
    return list(windows.values())


@pytest.mark.parametrize("is_stored", [True, False])
def test_peers_compute_what_steelyard_computes(log: Log, peer: ModuleType, is_stored: bool) -> None:
    expected = truth(log)
    assert len(expected) >= 5
    assert compare(expected, windows_of(log, peer, is_stored=is_stored)) == {
        "windows": len(expected),
        "same": len(expected),
        "different": 0,
        "missing": 0,
        "repeated": 0,
    }


@pytest.mark.parametrize(
    ("field", "wrong"),
    [("observations", 1), ("imbalance_10_last", 1e-6), ("ofi_usd", 10.0)],
)
def test_a_wrong_window_is_found_out(field: str, wrong: float, peer: ModuleType) -> None:
    log = generated(500, instrument_names(2), depth=20)
    windows = windows_of(log, peer, is_stored=False)
    windows[3][field] += wrong
    found = compare(truth(log), windows)
    assert (found["different"], found["missing"]) == (1, 0)


def test_missing_and_repeated_windows_are_found_out(peer: ModuleType) -> None:
    log = generated(500, instrument_names(2), depth=20)
    windows = windows_of(log, peer, is_stored=False)
    changed = {**windows[1], "observations": 0}
    found = compare(truth(log), [changed, *windows[1:]])
    assert (found["missing"], found["repeated"]) == (1, 1)
