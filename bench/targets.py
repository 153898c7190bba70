"""The targets of the project beside what was measured."""

from __future__ import annotations

from typing import Any

from bench.tables import markdown, number

Reports = dict[str, dict[str, Any]]
Row = tuple[str, str, str | None, str | None]


def targets(reports: Reports) -> str:
    """Return the table of targets."""
    rows = [*_replay(reports), *_live(reports), *_restart(reports)]
    return markdown(("what", "target", "measured", "reached"), rows)


def _replay(reports: Reports) -> list[Row]:
    results = _results(reports, "replay")
    one = {_kind(result): result for result in results if result["workers"] == 1}
    two = {_kind(result): result for result in results if result["workers"] == 2}
    rows = [
        _row(
            "replay, one worker, 1–3 levels",
            one.get("generated"),
            "notifications_per_s",
            30_000,
            "notifications/s",
        ),
        _row(
            "replay, one worker, the recording",
            one.get("recording"),
            "levels_per_s",
            250_000,
            "level changes/s",
        ),
    ]
    for kind, result in one.items():
        if kind in two:
            ratio = two[kind]["changes_per_s"] / result["changes_per_s"]
            rows.append((f"two workers, {kind}", "≥ 1.7×", f"{ratio:.2f}×", _yes(ratio >= 1.7)))
    for who, wanted in (("naive Faust", 20.0), ("Quix Streams", 5.0), ("Bytewax", 1.0)):
        for kind, result in one.items():
            peers = [
                peer
                for peer in _results(reports, "peers")
                if peer["who"] == who and _kind(peer) == kind and "failed" not in peer
            ]
            for peer in peers:
                ratio = result["changes_per_s"] / max(1, peer["changes_per_s"])
                rows.append(
                    (
                        f"{who}, {peer['variant']}, {kind}",
                        f"≥ {wanted:g}×",
                        f"{ratio:.1f}×",
                        _yes(ratio >= wanted),
                    )
                )
    return rows


def _live(reports: Reports) -> list[Row]:
    rows: list[Row] = []
    for result in _results(reports, "live"):
        if result["rate"] != 2_000 or "failed" in result:
            continue
        for name in ("socket_to_window_ms", "socket_to_push_ms"):
            for place, most in (("p50", 10.0), ("p99", 50.0)):
                value = result[name][place]
                text = None if value is None else f"{value} ms"
                what = f"live, 2,000/s, {name.removesuffix('_ms').replace('_', ' ')}, {place}"
                rows.append(
                    (what, f"≤ {most:g} ms", text, None if value is None else _yes(value <= most))
                )
        percent = result["cpu_percent"]["worker"]
        rows.append(("live, 2,000/s, worker", "≤ 60 %", f"{percent} %", _yes(percent <= 60)))
        most_mb = max(result["resident_mb"], default=None)
        if most_mb is not None:
            rows.append(("memory", "≤ 400 MB", f"{most_mb} MB", _yes(most_mb <= 400)))
    return rows


def _restart(reports: Reports) -> list[Row]:
    rows: list[Row] = []
    for result in _results(reports, "restart"):
        if "changelog_per_feed_byte" in result:
            share = result["changelog_per_feed_byte"]
            rows.append(("changelog", "≤ 0.5 byte/byte", str(share), _yes(share <= 0.5)))
        else:
            seconds = result["seconds_to_live"]
            rows.append((result["what"], "≤ 15 s", f"{seconds} s", _yes(seconds <= 15)))
    return rows


def _results(reports: Reports, part: str) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = reports.get(part, {"results": []})["results"]
    return results


def _kind(result: dict[str, Any]) -> str:
    return str(result["log"]).split(",")[0].split()[0]


def _row(what: str, result: dict[str, Any] | None, field: str, least: int, unit: str) -> Row:
    if result is None:
        return what, f"≥ {number(least)} {unit}", None, None
    value = result[field]
    return what, f"≥ {number(least)} {unit}", number(value), _yes(value >= least)


def _yes(reached: bool) -> str:
    return "yes" if reached else "no"
