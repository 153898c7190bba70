"""`/v1/windows/{instrument}`: closed windows, from the worker that owns their history.

They are handed out as the bytes that were published. Of a span that holds more than the limit the
last ones come first, each page oldest first; `next_cursor` leads to those before.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from app.api.cursor import Cursor, decode_cursor, encode_cursor
from app.api.envelope import answer_encoded, meta_of
from app.api.max_age import MAX_AGE, check_age
from app.api.problems import Problem, bad_parameter
from app.api.query import (
    IntegerParameter,
    Parameter,
    known_states,
    span_of,
    state_of,
    time_ms,
)
from app.api.routing import INSTRUMENT, Query, Route, View
from app.durations import MAX_TIME_MS, format_duration
from models.answers import WindowsAnswer
from models.live import LiveState
from models.window import decode_window

MAX_DEFAULT_SPAN_MS: Final = 86_400_000
"""What is kept, but at most a day, is the span when none is asked for: an hour of 1 s."""
LIMIT: Final = IntegerParameter("limit", "Windows.", low=1, high=10_000, default=1_000)
TIME: Final = "ms since the epoch, or RFC 3339 with an offset"
TIME_SCHEMA: Final = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": MAX_TIME_MS},
        {"type": "string", "format": "date-time"},
    ]
}
PARAMETERS: Final = (
    Parameter(
        "length",
        "Of the windows, such as 1s; the shortest if left out.",
        type="string",
        pattern="^[0-9]{1,9}(ms|s|m|h|d)(/[0-9]{1,9}(ms|s|m|h|d))?$",
    ),
    Parameter("from", f"The first start, {TIME}.", **TIME_SCHEMA),
    Parameter("to", f"Every start is before this, {TIME}.", **TIME_SCHEMA),
    LIMIT,
    Parameter("cursor", "next_cursor of the page before; instead of the span.", type="string"),
    MAX_AGE,
)


class Windows(View):
    """The history that this worker owns; others are asked for at their owners."""

    @Route(
        "/v1/windows/{instrument}",
        "Its closed windows, of a span.",
        WindowsAnswer,
        PARAMETERS,
        problems=(410,),
    )
    async def windows(self, request: web.Request, query: Query) -> web.Response:
        """Return the windows of a length with from ≤ start < to: the last ones, oldest first."""
        name, limit = query[INSTRUMENT], LIMIT.of(query)
        state = state_of(known_states(self.serving), name)
        asked = self._asked(query, state)
        span = span_of(self.serving, "length", asked.length)
        if (handed_on := await self.owners.ask(request, name)) is not None:
            return handed_on
        meta = meta_of(self.serving, state)
        check_age(query, [(name, meta)])
        # One more than asked for tells whether there are earlier ones.
        windows = self.serving.windows(name, span, asked.from_ms, asked.to_ms, limit + 1)
        kept_from_ms = self.serving.kept_from_ms(name, span)
        if kept_from_ms is not None and asked.to_ms <= kept_from_ms:
            raise _not_kept(name, asked, kept_from_ms)
        has_earlier = len(windows) > limit
        windows = windows[-limit:]
        cursor = None
        if has_earlier:
            first = decode_window(windows[0]).start_ms
            cursor = encode_cursor(asked._replace(to_ms=first))
        meta |= {
            "length_ms": span.length_ms,
            "hop_ms": span.hop_ms,
            "from_ms": asked.from_ms,
            "to_ms": asked.to_ms,
            "kept_from_ms": kept_from_ms,
            "kept_whole": kept_from_ms is not None and kept_from_ms <= asked.from_ms,
            "limit": limit,
            "has_earlier": has_earlier,
            "next_cursor": cursor,
        }
        return answer_encoded(b"[%b]" % b",".join(windows), meta)

    def _asked(self, query: dict[str, str], state: LiveState) -> Cursor:
        """Return the question: as a cursor that was given says, or as the parameters do."""
        if "cursor" in query:
            if beside := sorted(query.keys() & {"length", "from", "to"}):
                raise bad_parameter("cursor", f"it says {beside[0]} already: leave that out")
            return decode_cursor(query["cursor"], state.instrument)
        length = query.get("length", format_duration(min(self.serving.lengths_ms)))
        kept_ms = span_of(self.serving, "length", length).hop_ms * self.serving.kept_windows
        default_ms = min(kept_ms, MAX_DEFAULT_SPAN_MS)
        return Cursor(state.instrument, length, *self._times(query, state, default_ms))

    def _times(self, query: dict[str, str], state: LiveState, default_ms: int) -> tuple[int, int]:
        """Return from and to: by default the last of the instrument's own clock."""
        if "to" in query:
            to_ms = time_ms("to", query["to"])
        else:
            # Event time: a recording that is played again has its own.
            to_ms = self.serving.now_ms() if state.clock_ms is None else state.clock_ms + 1
        from_ms = max(0, to_ms - default_ms)
        if "from" in query:
            from_ms = time_ms("from", query["from"])
            if "to" not in query:
                to_ms = max(to_ms, from_ms + 1)
        if from_ms >= to_ms:
            raise bad_parameter("from", f"{from_ms} is not before to, which is {to_ms}")
        return from_ms, to_ms


def _not_kept(name: str, asked: Cursor, kept_from_ms: int) -> Problem:
    """Return the problem of a span of which nothing is kept: an empty list would say that nothing
    happened then."""
    detail = (
        f"windows of {asked.length} of {name} are kept from {kept_from_ms} on (kept_from_ms), and "
        f"this span ends at {asked.to_ms}; older ones are in the topic and in recordings, if at all"
    )
    return Problem(410, "not-kept", detail, kept_from_ms=kept_from_ms)
