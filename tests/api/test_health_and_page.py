"""/livez, /readyz, the page and its files."""

from pathlib import Path

import pytest
from aiohttp import ClientSession

from app.api.routes.page import FOLDER, read_files
from app.errors import UserError
from models.answers import LiveAnswer, ReadyAnswer
from tests.api.checks import ask, ask_wrongly, check_headers
from tests.api.recorded import RecordedServing


async def test_live_and_ready(http: ClientSession, url: str, serving: RecordedServing) -> None:
    live = await ask(http, f"{url}/livez", LiveAnswer)
    assert (live.data.worker, live.data.now_ms) == ("worker-1", serving.clock_ms)
    ready = await ask(http, f"{url}/readyz", ReadyAnswer)
    assert ready.data.details == {"instruments": 4}


async def test_not_ready_says_why_and_is_alive(
    http: ClientSession, url: str, serving: RecordedServing
) -> None:
    serving.faults = ["tables are being recovered", "the broker does not answer"]
    problem = await ask_wrongly(http, f"{url}/readyz", 503)
    assert problem.reasons == serving.faults
    assert "the broker does not answer" in problem.detail
    await ask(http, f"{url}/livez", LiveAnswer)


async def test_the_page_and_every_file_it_names(http: ClientSession, url: str) -> None:
    async with http.get(url + "/") as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
        check_headers(answer)
        page = await answer.text()
    assert page == (FOLDER / "index.html").read_text()
    named = {part.split('"')[0] for part in page.split('="/static/')[1:]}
    assert {"app.js", "style.css", "icon.svg"} <= named
    for name in sorted(named | {path.name for path in FOLDER.glob("*.js")}):
        async with http.get(f"{url}/static/{name}") as answer:
            assert answer.status == 200, name
            assert await answer.read() == (FOLDER / name).read_bytes()
            check_headers(answer)
            tag = answer.headers["ETag"]
        held = {"If-None-Match": tag}
        async with http.get(f"{url}/static/{name}", headers=held) as answer:
            assert answer.status == 304


def test_nothing_of_the_page_is_elsewhere_or_inline() -> None:
    for path in filter(Path.is_file, FOLDER.iterdir()):
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text, path
        assert "https:" not in text, path
    page = (FOLDER / "index.html").read_text()
    assert "style=" not in page
    assert " on" + "click" not in page
    assert page.count("<script") == page.count('<script type="module" src="/static/')


def test_only_known_kinds_of_files_are_served(tmp_path: Path) -> None:
    for name in ("index.html", "notes.txt", ".env", "sub.js"):
        (tmp_path / name).write_text("x")
    assert sorted(read_files(tmp_path)) == ["index.html", "sub.js"]


def test_a_missing_page_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is the checkout complete"):
        read_files(tmp_path)
