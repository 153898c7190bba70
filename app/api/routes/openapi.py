"""`/openapi.json`: the description of the API."""

from __future__ import annotations

from aiohttp import web

from app.api.envelope import JSON_TYPE, encode
from app.api.etags import digest, not_modified
from app.api.openapi import document
from app.api.routing import Query, Route, Services, View


class Description(View):
    """The OpenAPI document, made once."""

    def __init__(self, services: Services) -> None:
        self.body = encode(document())
        self.tag = f'"{digest(self.body)}"'

    @Route("/openapi.json")
    async def document(self, request: web.Request, query: Query) -> web.Response:
        """Return the document."""
        if (answer := not_modified(request, self.tag)) is not None:
            return answer
        response = web.Response(body=self.body, content_type=JSON_TYPE)
        response.headers.update({"ETag": self.tag, "Cache-Control": "no-cache"})
        return response
