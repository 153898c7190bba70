"""Damaged messages do no harm: a part of `make fuzz`, and what Hypothesis finds."""

from __future__ import annotations

import functools
from random import Random

import pytest
from hypothesis import given, seed, settings

from app import WHAT_RUNS
from app.hot_path.finder import RUNS_COMPILED
from app.processing.processor import Processor
from exchange.corpus import MALFORMED
from tests.fuzz.check import Check, run
from tests.fuzz.generate import encode, message, templates
from tests.fuzz.strategies import any_messages, near_valid_messages

CASES = 3_000

shared_check = functools.cache(Check)  # it puts itself back before each case


@pytest.mark.parametrize("name", MALFORMED)
def test_the_corpus_does_no_harm(name: str) -> None:
    check = Check()
    check.case(MALFORMED[name].content)
    expected = "accepted, then gap" if name == "crossed snapshot" else "refused"
    assert check.seen[expected] == 1


def test_right_messages_are_accepted() -> None:
    """Or else the templates would test nothing but refusals."""
    check = Check()
    of_a_subscription = [one for one in templates() if one.get("method") == "subscription"]
    for value in of_a_subscription:
        check.case(encode(value))
    assert check.seen["refused"] == 0
    assert check.seen["accepted, then live"] == len(of_a_subscription)


def test_messages_drawn_at_random_do_no_harm() -> None:
    seen = run(CASES, 1, message).seen
    accepted = sum(count for what, count in seen.items() if what.startswith("accepted"))
    assert seen["refused"] + accepted == CASES
    assert min(seen["refused"], seen["unreadable"], accepted) > CASES / 20


@seed(1)
@settings(max_examples=400, deadline=None, database=None)
@given(near_valid_messages())
def test_near_valid_messages_do_no_harm(text: bytes) -> None:
    shared_check().case(text)


@seed(2)
@settings(max_examples=200, deadline=None, database=None)
@given(any_messages)
def test_any_bytes_do_no_harm(text: bytes) -> None:
    shared_check().case(text)


@pytest.mark.skipif(
    WHAT_RUNS == RUNS_COMPILED, reason="compiled code cannot be patched; `make test-pure` runs it"
)
def test_the_check_finds_a_crash_and_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave_a_trace(self: Processor, text: bytes, outcome: object) -> None:
        self.worker = "somebody else"
        raise_if_garbage(self, text, outcome)

    raise_if_garbage = Processor._notification
    check, made = Check(), Check()
    monkeypatch.setattr(Processor, "_notification", leave_a_trace)
    with pytest.raises(AssertionError, match="trace"):
        check.case(b"[]")

    def crash(self: Processor, text: bytes, outcome: object) -> None:
        raise KeyError(text)

    monkeypatch.setattr(Processor, "_notification", crash)
    with pytest.raises(KeyError) as caught:
        run(1, 7, lambda random: b"[]", made)
    assert "case 0 of seed 7" in caught.value.__notes__[0]


def test_a_case_is_a_function_of_its_seed() -> None:
    assert [message(Random(5)) for _ in range(3)] == [message(Random(5))] * 3
