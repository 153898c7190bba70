"""Reads the owned windows of the history: which there are, and a range of them."""

from __future__ import annotations

from itertools import islice, takewhile

from app.state.history_chunks import chunk_key, chunk_number, chunk_prefix
from app.state.written import WrittenState
from orderbook.windows.span import Span


class HistoryReader:
    """Reads the chunks of the partitions owned here."""

    def __init__(self, written: WrittenState) -> None:
        self._written = written
        self._keeper = written.history

    def windows(
        self, instrument: str, span: Span, from_ms: int, to_ms: int, limit: int
    ) -> list[bytes]:
        """Return owned windows as their JSON, by start; the last `limit` of the range."""
        partition = self._written.partition_of(instrument)
        held = self._chunks_held(instrument, span)
        if held is None:
            return []
        first = max(held[0], chunk_number(instrument, max(from_ms, 0), span))
        last = min(held[1], chunk_number(instrument, max(to_ms - 1, 0), span))
        found: list[tuple[int, bytes]] = []
        for number in range(last, first - 1, -1):
            chunk = self._keeper.peek(partition, chunk_key(instrument, span, number))
            if chunk is None:
                continue
            windows = chunk.windows.items()
            found += [(start, value) for start, value in windows if from_ms <= start < to_ms]
            if len(found) >= limit:
                break
        return [value for _, value in sorted(found)[-limit:]]

    def kept_from_ms(self, instrument: str, span: Span) -> int | None:
        """Return the start of the oldest owned window in the history; None if there is none."""
        held = self._chunks_held(instrument, span)
        if held is None:
            return None
        key = chunk_key(instrument, span, held[0])
        chunk = self._keeper.peek(self._written.partition_of(instrument), key)
        return None if chunk is None else min(chunk.windows, default=None)

    def _chunks_held(self, instrument: str, span: Span) -> tuple[int, int] | None:
        """Return the numbers of the first and the last owned chunk in the history."""
        partition = self._keeper.partitions.get(self._written.partition_of(instrument))
        if partition is None:
            return None
        prefix = chunk_prefix(instrument, span)
        stored = takewhile(
            lambda key: key.startswith(prefix), self._keeper.stored_keys(partition, prefix)
        )
        in_memory = [key for key in partition.states if key.startswith(prefix)]
        ends = [int(key[len(prefix) :]) for key in (*islice(stored, 1), *in_memory)]
        newest = self._written.newest.get((instrument, span))
        if newest is None:  # no window has closed since this worker took it over
            ends += [int(key[len(prefix) :]) for key in stored]
        else:
            ends.append(chunk_number(instrument, newest, span))
        return (min(ends), max(ends)) if ends else None
