"""`/v1/windows/{instrument}`: closed windows, from the worker that owns their history.

They are handed out as the bytes that were published.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from app.durations import format_duration, parse_duration
from app.serving import Serving
from app.views.envelope import answer_encoded, meta_of
from app.views.owners import ask_owner
from app.views.problems import bad_parameter, shown
from app.views.query import instrument_name, integer, parameters, state_of, time_ms
from models.live import LiveState

DEFAULT_SPAN_MS: Final = 3_600_000
DEFAULT_LIMIT: Final = 1_000
MAX_LIMIT: Final = 10_000


class Windows:
    """The history that this worker owns; others are asked for at their owners."""

    def __init__(self, serving: Serving) -> None:
        self.serving = serving

    async def single(self, request: web.Request) -> web.Response:
        """Return the windows of a length with from ≤ start < to: the last ones, oldest first."""
        name = instrument_name(request)
        query = parameters(request, ("length", "from", "to", "limit"))
        length_ms = self._length(query.get("length"))
        limit = integer("limit", query.get("limit", str(DEFAULT_LIMIT)), 1, MAX_LIMIT)
        state = state_of(self.serving.states(), name)
        from_ms, to_ms = self._span(query, state)
        if (handed_on := await ask_owner(self.serving, request, name)) is not None:
            return handed_on
        # One more than asked for tells whether there are earlier ones.
        windows = self.serving.windows(name, length_ms, from_ms, to_ms, limit + 1)
        meta = meta_of(self.serving, state) | {
            "length_ms": length_ms,
            "from_ms": from_ms,
            "to_ms": to_ms,
            "limit": limit,
            "has_earlier": len(windows) > limit,
        }
        return answer_encoded(b"[%b]" % b",".join(windows[-limit:]), meta)

    def _length(self, text: str | None) -> int:
        lengths = self.serving.lengths_ms
        if text is None:
            return min(lengths)
        try:
            length_ms = parse_duration(text)
        except ValueError as error:
            raise bad_parameter("length", str(error)) from error
        if length_ms not in lengths:
            have = ", ".join(format_duration(length) for length in lengths)
            raise bad_parameter(
                "length", f"there are no windows of {shown(text)}; there are {have}"
            )
        return length_ms

    def _span(self, query: dict[str, str], state: LiveState) -> tuple[int, int]:
        """Return from and to: by default the last hour of the instrument's own clock."""
        if "to" in query:
            to_ms = time_ms("to", query["to"])
        else:
            # Event time: a recording that is played again has its own.
            to_ms = self.serving.now_ms() if state.clock_ms is None else state.clock_ms + 1
        from_ms = max(0, to_ms - DEFAULT_SPAN_MS)
        if "from" in query:
            from_ms = time_ms("from", query["from"])
            if "to" not in query:
                to_ms = max(to_ms, from_ms + 1)
        if from_ms >= to_ms:
            raise bad_parameter("from", f"{from_ms} is not before to, which is {to_ms}")
        return from_ms, to_ms
