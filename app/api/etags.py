"""ETags: an answer about one instrument is the same as long as its change_id and status are.

They are weak, because the age and the time of the answer go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from aiohttp import web

TAG_CHARS: Final = 22


def etag(meta: Mapping[str, Any], *more: int) -> str:
    """Return the weak ETag of an answer; `more` is what else it depends on."""
    parts = [meta["worker"], meta["change_id"], meta["status"], *more]
    return f'W/"{digest(repr(parts).encode())}"'


def digest(content: bytes) -> str:
    """Return a short name of a content."""
    return sha256(content).hexdigest()[:TAG_CHARS]


def not_modified(request: web.Request, tag: str) -> web.Response | None:
    """Return 304 if the client has this already."""
    opaque = tag.removeprefix("W/").strip('"')
    held = request.if_none_match or ()
    if not any(one.value in (opaque, "*") for one in held):
        return None
    return web.Response(status=304, headers={"ETag": tag, "Cache-Control": "no-cache"})
