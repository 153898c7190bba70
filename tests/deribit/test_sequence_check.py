"""The chain of one channel, by examples and over any sequence."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from deribit.sequence_check import Chain, Step


def synced(change_id: int = 10) -> Chain:
    chain = Chain()
    assert chain.step("snapshot", change_id, None) is Step.SNAPSHOT
    return chain


def test_changes_follow_by_their_predecessor_not_by_counting() -> None:
    chain = synced(10)
    assert chain.step("change", 17, 10) is Step.NEXT
    assert chain.step("change", 118_850_969_743, 17) is Step.NEXT
    assert chain.last == 118_850_969_743


def test_a_change_before_any_snapshot_is_of_no_use() -> None:
    chain = Chain()
    assert chain.step("change", 11, 10) is Step.WAITING
    assert chain.last is None


def test_bug_class_2_a_gap_is_found_and_nothing_follows_it_but_a_snapshot() -> None:
    chain = synced(10)
    assert chain.step("change", 13, 12) is Step.GAP
    assert chain.step("change", 14, 13) is Step.WAITING
    assert chain.step("change", 11, 10) is Step.WAITING
    assert chain.step("snapshot", 20, None) is Step.SNAPSHOT
    assert chain.step("change", 21, 20) is Step.NEXT


def test_a_predecessor_below_the_last_is_a_gap_too() -> None:
    """It names a state that has been left: what lies between is not in this message."""
    chain = synced(10)
    chain.step("change", 14, 10)
    assert chain.step("change", 20, 12) is Step.GAP
    assert chain.step("change", 21, 20) is Step.WAITING
    assert chain.last == 14
    chain.step("snapshot", 30, None)
    assert chain.step("change", 40, 29) is Step.GAP
    assert chain.step("change", 41, 40) is Step.WAITING


def test_an_interrupted_chain_waits_and_tells_the_last_one_known() -> None:
    chain = synced(10)
    assert chain.interrupt() == 10
    assert chain.step("change", 11, 10) is Step.WAITING
    assert Chain().interrupt() is None


def test_a_duplicate_is_no_gap_and_changes_nothing() -> None:
    chain = synced(10)
    chain.step("change", 12, 10)
    assert chain.step("change", 12, 10) is Step.DUPLICATE
    assert chain.step("change", 10, 9) is Step.DUPLICATE
    assert chain.step("change", 13, 12) is Step.NEXT


def test_bug_class_1_ids_may_restart_lower_with_a_snapshot() -> None:
    chain = synced(1_000_000)
    assert chain.step("snapshot", 5, None) is Step.SNAPSHOT
    assert chain.step("change", 6, 5) is Step.NEXT


def test_old_shapes_of_a_snapshot() -> None:
    assert Chain().step(None, 5, None) is Step.SNAPSHOT  # before 2021: no type
    assert Chain().step("snapshot", 5, 20) is Step.SNAPSHOT  # 2022: names a predecessor
    assert Chain().step("change", 5, 0) is Step.SNAPSHOT  # 2021: first change of a new book


@settings(derandomize=True, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["snapshot", "change", None]),
            st.integers(0, 8),
            st.none() | st.integers(0, 8),
        ),
        max_size=40,
    )
)
def test_a_next_always_names_the_last_one_handed_on(messages: list[tuple]) -> None:
    chain, last = Chain(), None
    for kind, change_id, previous_id in messages:
        step = chain.step(kind, change_id, previous_id)
        if step is Step.NEXT:
            assert previous_id == last
            assert change_id > last
        if step in (Step.NEXT, Step.SNAPSHOT):
            last = change_id
        elif step in (Step.GAP, Step.WAITING):
            last = None
