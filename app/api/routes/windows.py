"""`/v1/windows/{instrument}`: closed windows, from the worker that owns their history.

They are handed out as the bytes that were published. Of a span that holds more than the limit the
last ones come first, each page oldest first; `next_cursor` leads to those before.
"""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web

from app.api.cursor import Cursor, decode_cursor, encode_cursor
from app.api.envelope import answer_encoded, meta_of
from app.api.forwarding import Owners
from app.api.max_age import MAX_AGE, check_age
from app.api.problems import Problem, bad_parameter
from app.api.query import (
    instrument_name,
    integer,
    known_states,
    parameters,
    span_of,
    state_of,
    time_ms,
)
from app.durations import format_duration
from app.state.read_model import Serving
from models.live import LiveState

MAX_DEFAULT_SPAN_MS: Final = 86_400_000
"""What is kept, but at most a day, is the span when none is asked for: an hour of 1 s."""
DEFAULT_LIMIT: Final = 1_000
MAX_LIMIT: Final = 10_000


class _Start(msgspec.Struct):
    start_ms: int


_decoder = msgspec.json.Decoder(_Start)


class Windows:
    """The history that this worker owns; others are asked for at their owners."""

    def __init__(self, serving: Serving, owners: Owners) -> None:
        self.serving = serving
        self.owners = owners

    async def single(self, request: web.Request) -> web.Response:
        """Return the windows of a length with from ≤ start < to: the last ones, oldest first."""
        name = instrument_name(request)
        query = parameters(request, ("length", "from", "to", "limit", "cursor", MAX_AGE))
        limit = integer("limit", query.get("limit", str(DEFAULT_LIMIT)), 1, MAX_LIMIT)
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
            first = _decoder.decode(windows[0]).start_ms
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
