"""A worker's API from outside: one answer, or its stream, which is connected again when it ends."""

from __future__ import annotations

import asyncio
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping
from http.client import HTTPException
from typing import Final

from yarl import URL

from app.cli.local_worker import local_url, open_direct
from app.cli.stack.stack import running_stack
from app.cli.terminal.sse import Event, Parser
from app.errors import UserError
from app.settings import Settings

TIMEOUT_S: Final = 10.0
SILENCE_S: Final = 5.0
"""The stream says something at least once a second; after this it is taken for dead."""
RETRY_FIRST_S: Final = 0.5
RETRY_CAP_S: Final = 5.0
_TEMPORARY: Final = 500
"""Answers from this code on are no mistake of who asks."""


class Refused(UserError):
    """The worker has answered with an error: exit 1 if it cannot now, though asked rightly."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status
        self.exit_code = 1 if status >= _TEMPORARY else 2


class Worker:
    """One worker's address, and the token that it may want."""

    def __init__(self, url: str, token: str | None = None) -> None:
        try:
            is_address = URL(url).scheme in {"http", "https"}  # which must have a host, too
        except ValueError:
            is_address = False
        if not is_address:
            raise UserError(f"--url {url!r}: write it like http://127.0.0.1:6066")
        self.url = url.rstrip("/")
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    @classmethod
    def chosen(cls, settings: Settings, url: str | None) -> Worker:
        """Return the worker of a URL; else of the stack that runs here; else of the settings."""
        token = None if settings.web_token is None else settings.web_token.get_secret_value()
        if url is None and "web_port" not in settings.model_fields_set:
            stack = running_stack(settings.data_dir)
            url = None if stack is None else stack.url
        return cls(url or str(local_url(settings.web_host, settings.web_port)), token)

    def ask(self, path: str, query: Mapping[str, str]) -> bytes:
        """Return the body of an answer; raise UserError with the problem that it is instead."""
        address = f"{self.url}{path}"
        if query:
            address += f"?{urllib.parse.urlencode(query)}"
        request = urllib.request.Request(address, headers=self._headers)  # noqa: S310 - see __init__
        try:
            with open_direct(request, TIMEOUT_S) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise self._problem(error.code, error.read()) from error
        except (OSError, HTTPException) as error:
            raise self._nobody(str(getattr(error, "reason", error))) from error

    async def follow(
        self, query: Mapping[str, str], on_lost: Callable[[str], None]
    ) -> AsyncIterator[Event]:
        """Yield the events of the stream, for ever; `on_lost` is told why it must be resumed.

        Raises UserError if the first attempt fails: then it is not the connection.
        """
        import aiohttp  # here: the commands that only ask once need not wait for it

        wait_s, last_id, has_answered = RETRY_FIRST_S, "", False
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_S, sock_read=SILENCE_S)
        async with aiohttp.ClientSession(timeout=timeout, headers=self._headers) as http:
            while True:
                resume = {"Last-Event-ID": last_id} if last_id else {}
                try:
                    async with http.get(
                        f"{self.url}/v1/stream", params=query, headers=resume
                    ) as answer:
                        if answer.status >= 400:
                            raise self._problem(answer.status, await answer.read())
                        parser = Parser()
                        async for chunk in answer.content.iter_any():
                            for event in parser.feed(chunk):
                                has_answered, wait_s = True, RETRY_FIRST_S
                                last_id = event.id or last_id
                                yield event
                    on_lost("the worker has ended the stream")
                except UserError as error:
                    if not has_answered:
                        raise
                    on_lost(str(error))
                except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                    # aiohttp's own words name the address, which is said already.
                    number = getattr(getattr(error, "os_error", error), "errno", None)
                    why = os.strerror(number) if number else str(error) or "it is silent"
                    if not has_answered:
                        raise self._nobody(why) from error
                    on_lost(why)
                await asyncio.sleep(wait_s)
                wait_s = min(RETRY_CAP_S, 2 * wait_s)

    def _problem(self, status: int, body: bytes) -> UserError:
        """Return what a worker answered instead, in its own words."""
        try:
            document = json.loads(body)
            detail = str(document["detail"])
        except (ValueError, KeyError, TypeError):
            detail = f"it answered {status} without saying why"
        if status == 401:
            detail += " (set STEELYARD_WEB_TOKEN)"
        return Refused(f"{self.url}: {detail}", status)

    def _nobody(self, why: str) -> UserError:
        return UserError(
            f"no worker answers at {self.url}: {why}\n"
            "Start one (`make demo`), or name another with --url http://127.0.0.1:PORT"
        )
