"""From measurements to figures: ratios, targets, and the page."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.embedded_kafka.jars import KAFKA_VERSION, read_lock
from app.settings import Settings
from bench import __main__ as command
from bench import replay
from bench.feeds import COPIES, EXCERPT, generated, instrument_names, recording
from bench.limits import NoGroups
from bench.peers import java
from bench.peers import run as peers
from bench.peers.run import PEERS
from bench.render import CONSTANTS, PAGE, PLACEHOLDER, TEMPLATE, page, read
from bench.replay import have_shared
from bench.tables import table, throughput
from bench.targets import targets
from faust_exact.checkpoint import INPUT_PER_RECORD


def result(who: str, rate: int, **fields: Any) -> dict[str, Any]:
    agreement = {"windows": 9, "same": 9, "different": 0, "missing": 0, "repeated": 0}
    return {
        "who": who,
        "variant": "v",
        "log": "generated, 1",
        "load_before": 0.1,
        "seconds": 9.25,
        "changes_per_s": rate,
        "notifications_per_s": rate,
        "levels_per_s": 2 * rate,
        "agreement": agreement,
        **fields,
    }


RESULTS = [
    result("Steelyard", 40_000, workers=1),
    result("Steelyard", 60_000, workers=2),
    result("Bytewax", 50_000),
    result("Quix Streams", 4_000),
]


def test_ratios_are_to_steelyard_with_one_worker() -> None:
    lines = throughput(RESULTS).splitlines()[2:]
    assert ["0.8×" in lines[2], "10×" in lines[3]] == [True, True]


def test_wrong_windows_are_in_the_table() -> None:
    wrong = result("Bytewax", 50_000)
    wrong["agreement"] = {**wrong["agreement"], "same": 7, "different": 2}
    assert "of 9: 2 different" in throughput([*RESULTS[:1], wrong])


def test_page_says_which_targets_are_reached_and_where() -> None:
    machine = {
        "commit": "abc",
        "cores": 2,
        "cpu": "a processor",
        "memory_gb": 24.0,
        "system": "Linux",
        "python": "3.11",
        "hot_path": "compiled",
        "kafka": "4.3.0",
        "packages": {"aiokafka": "0.14.0"},
    }
    report = {"part": "replay", "began": "today", "machine": machine}
    held = {"rate": 1_000, "instruments": 131, "minutes": 60.0, "mb_an_hour": 1.5}
    reports = {
        "memory": {**report, "results": [{**held, "resident_mb": [100.0, 152.0]}]},
        "replay": {**report, "results": RESULTS[:2]},
        "peers": {**report, "results": RESULTS[2:], "peers": {"Bytewax": "bytewax==0.21.1"}},
    }
    text = page(reports)
    for line in (
        "| replay, one worker, 1–3 levels | ≥ 30,000 notifications/s | 40,000 | yes |",
        "| replay, one worker, the recording | ≥ 250,000 level changes/s | – | – |",
        "| two workers, generated | ≥ 1.7× | 1.50× | no |",
        "| Bytewax, v, generated | ≥ 1× | 0.8× | no |",
        "| Quix Streams, v, generated | ≥ 5× | 10.0× | yes |",
        "## Memory over time",
        "| 1,000 | 131 | 60.0 | 100 / 152 / 152 | 1.5 |",
    ):
        assert line in text
    assert "2 cores of a processor" in text
    assert "the hot path compiled, Kafka 4.3.0" in " ".join(text.split())
    assert "bytewax==0.21.1" in text


HELD = [
    result("Steelyard", 10_000, workers=1, percent=40.0, variant="1 worker, 40 % of a core"),
    result("Steelyard", 18_000, workers=2, percent=40.0, variant="2 workers, 40 % of a core each"),
]


def test_held_workers_are_compared_with_each_other_only() -> None:
    text = targets({"replay": {"results": [*RESULTS[:2], *HELD]}})
    for line in (
        "| replay, one worker, 1–3 levels | ≥ 30,000 notifications/s | 40,000 | yes |",
        "| two workers, generated | ≥ 1.7× | 1.50× | no |",
        "| two workers of 40 % of a core each, generated | ≥ 1.7× | 1.80× | yes |",
    ):
        assert line in text
    table = throughput([*RESULTS, *HELD])
    assert "| Steelyard | 1 worker, 40 % of a core | generated, 1 | 9.2 | 10,000 |" in table
    assert "| 4× as fast |" in table.splitlines()[-2]  # one worker that has a core is


def test_held_workers_that_could_not_be_measured_are_no_figure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_groups(*_: object) -> None:
        raise NoGroups("read-only")

    names = instrument_names(2)
    monkeypatch.setattr(replay, "limited", no_groups)
    monkeypatch.setattr(replay, "generated", lambda *_: generated(20, names))
    monkeypatch.setattr(replay, "recording", lambda *_, limit: recording(names, 10))
    measured = {"changes_per_s": 10, "notifications_per_s": 10, "levels_per_s": 10}
    of_a_core = [result("Steelyard", 10, workers=workers) for workers in (1, 2, 1, 2)]
    held_only = replay.replay
    monkeypatch.setattr(
        replay,
        "replay",
        lambda *given: held_only(*given) if given[-1] else of_a_core.pop() | measured,
    )
    broker = SimpleNamespace(installation=lambda: None)
    results = replay.run(broker, quick=True)  # type: ignore[arg-type]
    assert [each["workers"] for each in results[4:]] == [1, 2, 1, 2]
    assert throughput(results).count("not measured: no cgroup") == 4
    text = targets({"replay": {"results": results}})
    for kind in ("generated", "recording"):
        what = f"two workers of 40 % of a core each, {kind}"
        assert f"| {what} | ≥ 1.7× | not measured: no cgroup | – |" in text


def test_partitions_are_shared_when_each_worker_has_some() -> None:
    def worker(*partitions: int, status: int = 503) -> Any:
        told = {"details": {"partitions": list(partitions)}}
        return SimpleNamespace(get=lambda _: (status, {"data": told} if status == 200 else told))

    nobody = SimpleNamespace(get=lambda _: (0, None))
    assert have_shared([worker(*range(8))])
    assert have_shared([worker(*range(4)), worker(*range(4, 8), status=200)])
    assert not have_shared([worker(*range(8)), worker()])
    assert not have_shared([worker(*range(8)), nobody])
    assert not have_shared([worker(*range(4)), worker(*range(4, 7))])


def test_a_target_that_was_not_measured_to_the_end_is_not_reached() -> None:
    failed = {**result("Bytewax", 0), "agreement": None, "failed": "it ended"}
    late = {"rate": 2_000, "failed": "too much"}
    reports = {
        "replay": {"results": RESULTS[:1]},
        "peers": {"results": [failed]},
        "live": {"results": [late]},
    }
    text = targets(reports)
    assert "| Bytewax, v, generated | ≥ 1× | it did not finish | – |" in text
    assert "| live, 2,000/s | live at all | not in time | no |" in text


def test_growth_is_told_along_each_axis() -> None:
    costs = [(1, 100, 8.0), (500, 100, 12.0), (1, 10, 7.0), (1, 100, 9.0), (1, 10_000, 14.0)]
    results = [
        {"instruments": instruments, "depth": depth, "us_per_change": cost}
        for instruments, depth, cost in costs
    ]
    text = targets({"growth": {"results": results}})
    what = "cost of a notification"
    assert f"| {what}, 500 instruments against 1 | ≤ 1.25× | 1.50× | no |" in text
    assert f"| {what}, 10,000 levels a side against 10 | ≤ 4× | 2.00× | yes |" in text


def test_the_table_says_how_long_was_timed() -> None:
    failed = {**result("Bytewax", 0), "agreement": None, "failed": "it ended"}
    del failed["seconds"]
    timed, untimed = throughput([result("Steelyard", 40_000, workers=1), failed]).splitlines()[2:]
    assert timed.startswith("| Steelyard | v | generated, 1 | 9.2 | 40,000 |")
    assert untimed.startswith("| Bytewax | v | generated, 1 | – | – |")


def test_processor_time_is_a_notifications() -> None:
    (line,) = throughput([{**RESULTS[0], "cpu_s": 2.5, "changes": 10_000}]).splitlines()[2:]
    assert "| 250 |" in line


def test_the_page_says_what_a_crash_leaves_of_every_peer() -> None:
    for peer in PEERS:
        assert f"| {peer.name}, durable" in TEMPLATE.read_text()


def test_the_page_says_how_often_a_book_is_kept() -> None:
    age_s = Settings.model_fields["checkpoint_max_age_ms"].default / 1_000
    assert INPUT_PER_RECORD == 8
    assert (
        f"told eight times what its record takes, or after {age_s:g} s at most"
        in TEMPLATE.read_text()
    )


def test_the_page_in_docs_is_of_the_template() -> None:
    """Its figures are of the last measurement; what is said around them is the template's."""
    page_in_docs = " ".join(PAGE.read_text().split())
    for paragraph in TEMPLATE.read_text().split("\n\n"):
        text = PLACEHOLDER.sub(lambda found: CONSTANTS.get(found[1], found[0]), paragraph)
        if not PLACEHOLDER.search(text):
            assert " ".join(text.split()) in page_in_docs
    assert not PLACEHOLDER.search(page_in_docs)


def test_sections_without_figures_are_left_out() -> None:
    machine = dict.fromkeys(
        ("commit", "cores", "cpu", "memory_gb", "system", "python", "hot_path", "kafka"), "x"
    )
    report = {"began": "today", "machine": {**machine, "packages": {}}, "results": []}
    text = page({"restart": report})
    assert "## Restart, changelog, memory" in text
    assert "## Live" not in text
    assert "## Replay through Kafka" not in text
    assert f"waits {CONSTANTS['session_timeout_s']} s for the dead worker" in text


def test_each_peer_has_its_own_length_of_both_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_RECORDING", str(EXCERPT))
    slowest = min(PEERS, key=lambda peer: peer.lines)
    made, recorded = (each() for each in peers.logs(slowest, 10))
    assert made.changes == slowest.generated // 10
    assert recorded.notifications == 250 * COPIES  # less would be over before it is timed


def test_kafka_streams_is_of_the_brokers_version() -> None:
    assert f"kafka-streams {KAFKA_VERSION}, " in java.versions(java.STREAMS)
    artifacts = {jar.artifact for jar in read_lock((java.STREAMS / "jars.lock").read_text())}
    assert artifacts >= {java.COMPILER, *java.SHOWN}


def test_what_failed_is_in_the_tables_and_is_no_figure() -> None:
    failed = {**result("Bytewax", 0), "agreement": None, "failed": "it ended"}
    assert "did not finish" in throughput([*RESULTS[:1], failed])
    assert "not live in time" in table("live", [{"rate": 5_000, "failed": "too much"}])


def test_quick_figures_are_not_rendered(tmp_path: Path) -> None:
    (tmp_path / "live-quick.json").write_text("{}")
    assert read(tmp_path) == {}
    (tmp_path / "live.json").write_text("{}")
    assert read(tmp_path) == {"live": {}}


def test_unknown_part_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["speed"])
    assert ended.value.code == 2
    assert "domain" in capsys.readouterr().err


@pytest.mark.parametrize(("parts", "ratios"), [(["replay", "peers"], 1), (["peers"], 0)])
def test_ratios_are_printed_once_both_are_measured(
    parts: list[str],
    ratios: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "WORK", tmp_path)
    monkeypatch.setattr(command, "Broker", nullcontext)
    monkeypatch.setitem(command.ON_KAFKA, "replay", lambda *_, **__: RESULTS[:1])
    monkeypatch.setitem(command.ON_KAFKA, "peers", lambda *_, **__: [result("Bytewax", 10_000)])
    command._measure(parts, quick=True, minutes=None)
    row = "| Bytewax | v | generated, 1 | 9.2 | 10,000 | 20,000 | 4× as fast |"
    assert capsys.readouterr().out.count(row) == ratios


def test_a_second_bench_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "WORK", tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(command, "_measure", lambda *_, **__: None)
    with command._alone():
        assert command.main(["domain"]) == 2
    assert "another bench is running" in capsys.readouterr().err
    assert command.main(["domain"]) == 0
