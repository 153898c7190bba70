"""What is known of all instruments: merged from records of changes, and kept while a recovery reads
the table's changelog from its beginning."""

from __future__ import annotations

from typing import Any

from app.state.latest_states import LatestStates, key_of
from models.live import LiveRecord, LiveState, decode_live, encode_live
from tests.api.recorded import live_of

NUMBER = 3
KEY = key_of(NUMBER)
APPENDED_MS = 1_000


def state(name: str, change_id: int = 1) -> LiveState:
    return live_of(name, partition=NUMBER, change_id=change_id)


def record(
    *states: LiveState, whole: bool = False, heard_ms: int = 1, at_ms: int = 1, after_ms: int = 1
) -> LiveRecord:
    named = {each.instrument: each for each in states}
    return LiveRecord(NUMBER, "worker-1", at_ms, heard_ms, whole, named, after_ms)


class Worker:
    def __init__(self) -> None:
        self.table: dict[bytes, bytes] = {}
        self.is_recovering = False
        self.latest = LatestStates(self.table, lambda: self.is_recovering)

    def take(self, record: LiveRecord) -> None:
        self.read(encode_live(record))

    def read(self, value: bytes) -> None:
        self.latest.take(KEY, self.latest.decode(KEY, value), APPENDED_MS)

    def known(self) -> dict[str, int | None]:
        return {name: each.change_id for name, each in self.latest.states().items()}


def test_what_changed_is_merged_into_what_is_known() -> None:
    worker = Worker()
    worker.take(record(state("B"), state("A"), whole=True))
    worker.take(record(state("B", 2)))
    assert worker.known() == {"A": 1, "B": 2}
    assert list(worker.known()) == ["A", "B"]
    assert worker.latest.heard_age_ms(NUMBER) is not None
    assert worker.latest.heard_age_ms(NUMBER + 1) is None
    (value,) = worker.table.values()
    assert decode_live(value).states.keys() == {"A", "B"}


def test_a_whole_record_makes_the_others_disappear() -> None:
    worker = Worker()
    worker.take(record(state("A"), state("B")))
    worker.take(record(state("A", 2), whole=True))
    assert worker.known() == {"A": 2}


def test_what_another_worker_wrote_is_read() -> None:
    worker = Worker()
    worker.table[KEY] = encode_live(record(state("A")))
    assert worker.known() == {"A": 1}
    worker.table[KEY] = encode_live(record(state("A", 2)))
    assert worker.known() == {"A": 2}
    worker.take(record(state("B")))
    assert worker.known() == {"A": 2, "B": 1}


def test_a_recovery_shows_nothing_older_than_what_is_known() -> None:
    worker = Worker()
    worker.take(record(state("A", 5), state("B", 5), whole=True))
    worker.is_recovering = True
    worker.table.clear()
    assert worker.known() == {"A": 5, "B": 5}
    worker.table[KEY] = encode_live(record(state("A", 1)))  # the changelog's first
    assert worker.known() == {"A": 5, "B": 5}
    worker.table[KEY] = encode_live(record(state("A", 6), state("B", 6)))
    worker.is_recovering = False
    assert worker.known() == {"A": 6, "B": 6}


def test_a_first_recovery_shows_what_there_is() -> None:
    worker = Worker()
    worker.is_recovering = True
    worker.table[KEY] = encode_live(record(state("A", 4)))
    assert worker.known() == {"A": 4}


def test_a_value_is_decoded_once(monkeypatch: Any) -> None:
    worker = Worker()
    decoded = []

    def decode(value: bytes) -> LiveRecord:
        decoded.append(value)
        return decode_live(value)

    monkeypatch.setattr("app.state.latest_states.decode_live", decode)
    worker.read(worker.latest.encode(record(state("A"))))
    worker.read(worker.latest.encode(record(state("B"))))
    assert worker.known() == {"A": 1, "B": 1}
    assert not decoded, "what was sent here is known, and so is what was merged"
    worker.table[KEY] = encode_live(record(state("C")))
    for _ in range(3):
        assert worker.known() == {"C": 1}
    assert len(decoded) == 1


def test_what_was_sent_here_is_decoded_if_it_is_read_again_or_not_at_all() -> None:
    worker = Worker()
    worker.take(record(state("A"), state("B")))
    again = worker.latest.encode(record(state("A", 2)))
    worker.read(again)
    worker.take(record(state("B", 3)))
    worker.read(again)  # as a rebalance may have it
    assert worker.known() == {"A": 2, "B": 3}, "not what B was when it was read first"
    worker.latest.encode(record(state("A", 5)))
    worker.take(record(state("A", 4)))  # of another worker, or the send before failed
    assert worker.known() == {"A": 4, "B": 3}


def test_a_record_is_passed_on_with_the_time_of_kafka() -> None:
    worker = Worker()
    worker.take(record(state("A"), state("B"), whole=True))
    worker.take(record(state("B", 2), state("A", 3)))
    (value,) = worker.table.values()
    assert decode_live(value).appended_ms == APPENDED_MS
    assert worker.known() == {"A": 3, "B": 2}


def test_the_states_are_the_same_object_until_one_changes() -> None:
    worker = Worker()
    worker.take(record(state("A"), state("B")))
    before = worker.latest.states()
    assert worker.latest.states() is before
    worker.take(record(state("B", 2)))
    assert worker.known() == {"A": 1, "B": 2}
    assert before["B"].change_id == 1


def test_what_may_have_changed_in_a_record_that_was_missed_is_not_live() -> None:
    """Seen at 2,000 messages/s: around a take-over an instrument stayed as it was for 7 s, live."""
    worker = Worker()
    worker.take(record(state("A"), state("B"), whole=True, at_ms=10))
    worker.take(record(state("A", 3), at_ms=30, after_ms=20))
    statuses = {name: each.status for name, each in worker.latest.states().items()}
    assert statuses == {"A": "live", "B": "recovering"}
    worker.take(record(state("A", 4), at_ms=40, after_ms=30))
    assert worker.latest.states()["B"].status == "recovering", "what is known follows, B does not"
    worker.take(record(state("A", 5), state("B", 2), whole=True, at_ms=50, after_ms=40))
    assert {each.status for each in worker.latest.states().values()} == {"live"}


def test_another_worker_follows_on_nothing() -> None:
    worker = Worker()
    worker.take(record(state("A"), state("B"), whole=True, at_ms=10))
    other = record(state("A", 2), at_ms=30, after_ms=10)
    other.worker = "worker-2"
    worker.take(other)
    assert worker.latest.states()["B"].status == "recovering"
