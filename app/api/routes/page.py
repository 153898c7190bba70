"""The page and its files. All are read at the start: a request reads no disk and names no path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from app.api.etags import digest, not_modified
from app.api.routing import Query, Route, Services, View
from app.errors import UserError

FOLDER: Final = Path(__file__).resolve().parents[3] / "dashboard"
INDEX: Final = "index.html"
TYPES: Final = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
"""Only files of these kinds are served."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of the page."""

    content: bytes
    content_type: str
    tag: str


class Page(View):
    """The page at `/`, its files below `/static/`."""

    def __init__(self, services: Services) -> None:
        self.files = read_files(FOLDER)

    @Route("/")
    async def index(self, request: web.Request, query: Query) -> web.Response:
        """Return the page."""
        return _serve(request, self.files[INDEX])

    @Route("/static/{path:.+}")
    async def static(self, request: web.Request, query: Query) -> web.Response:
        """Return one of the files that were there at the start."""
        file = self.files.get(request.match_info["path"])
        if file is None:
            raise web.HTTPNotFound
        return _serve(request, file)


def read_files(folder: Path) -> dict[str, File]:
    """Return the files by name; raise UserError if the page is not among them."""
    files = {
        path.relative_to(folder).as_posix(): _read(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in TYPES
    }
    if INDEX not in files:
        raise UserError(f"the page is not there: {folder / INDEX}; is the checkout complete?")
    return files


def _read(path: Path) -> File:
    content = path.read_bytes()
    return File(content, TYPES[path.suffix], f'"{digest(content)}"')


def _serve(request: web.Request, file: File) -> web.Response:
    if (answer := not_modified(request, file.tag)) is not None:
        return answer
    response = web.Response(body=file.content, content_type=file.content_type, charset="utf-8")
    # Asked for anew each time, but answered by 304: an update of the project shows at once.
    response.headers.update({"ETag": file.tag, "Cache-Control": "no-cache"})
    return response
