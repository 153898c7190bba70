"""`/v1/books/{instrument}`: the levels of a book, from the worker that owns it."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from app.api.envelope import answer, meta_of
from app.api.etags import etag, not_modified
from app.api.max_age import MAX_AGE, check_age
from app.api.query import IntegerParameter, known_states, state_of
from app.api.routing import INSTRUMENT, Query, Route, View
from app.state.read_model import BookView
from models.answers import BookAnswer
from orderbook.events import GroupedBook

DEPTH: Final = IntegerParameter("depth", "Levels of each side.", low=1, high=1_000, default=20)


class Books(View):
    """The books that this worker owns; others are asked for at their owners."""

    @Route(
        "/v1/books/{instrument}",
        "The levels of its book.",
        BookAnswer,
        (DEPTH, MAX_AGE),
        has_etag=True,
    )
    async def book(self, request: web.Request, query: Query) -> web.Response:
        """Return the best levels of both sides."""
        name, depth = query[INSTRUMENT], DEPTH.of(query)
        state = state_of(known_states(self.serving), name)
        if (handed_on := await self.owners.ask(request, name)) is not None:
            return handed_on
        book = self.serving.book(name, depth)
        if book is not None:
            meta = meta_of(self.serving, book.state, book.state.status)
            meta["age_ms"] = book.age_ms
            if book.state.status == "retired":
                book = None  # nothing rests there any more
        else:
            # Owned, but not here yet: what the global table says of it must not pass for a book.
            status = self.serving.status_of(state)
            meta = meta_of(self.serving, state, "waiting" if status == "waiting" else "recovering")
            meta["change_id"] = meta["venue_ts_ms"] = None
        check_age(query, [(name, meta)])
        tag = etag(meta, depth)
        return not_modified(request, tag) or answer(_book(name, depth, book), meta, tag)


def _book(name: str, depth: int, book: BookView | None) -> dict[str, Any]:
    return {
        "instrument": name,
        "depth": depth,
        "bids": book.bids if book else None,
        "asks": book.asks if book else None,
        "bid_levels": book.bid_levels if book else None,
        "ask_levels": book.ask_levels if book else None,
        "grouped": _grouped(book.grouped) if book and book.grouped else None,
    }


def _grouped(book: GroupedBook) -> dict[str, Any]:
    return {
        "channel": book.channel,
        "sequence_checked": False,
        "change_id": book.change_id,
        "venue_ts_ms": book.timestamp_ms,
        "bids": book.bids,
        "asks": book.asks,
    }
