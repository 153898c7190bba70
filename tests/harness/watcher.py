"""Asks the workers all the while: keeps what they answer, and sees when all is live again."""

from __future__ import annotations

import json
import random
import threading
import time
import urllib.error
from collections.abc import Callable, Iterable
from typing import Any

from app.cli.local_worker import open_direct
from tests.checker.served import Sample, samples_of

ASK_INTERVAL_S = 0.25
ASK_TIMEOUT_S = 1.0
HEARD_WITHIN_MS = 1_000
DEPTH = 1_000
POLL_S = 0.1


class Watcher:
    """A thread that asks one worker after the other; `urls` says which there are now."""

    def __init__(self, urls: Callable[[], Iterable[str]], names: Iterable[str], seed: int) -> None:
        self.urls = urls
        self.names = sorted(names)
        self.samples: list[Sample] = []
        self.patience_s = ASK_TIMEOUT_S
        """How long an answer may take; what is slow is given more, to see what it serves."""
        self.faults: list[str] = []
        """Answers that are none: 5xx other than 503, or no JSON."""
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def _run(self) -> None:
        while not self._stop.wait(ASK_INTERVAL_S):
            urls = list(self.urls())
            if urls:
                url = self._random.choice(urls)
                self._keep(url, "/v1/imbalance")
                self._keep(url, f"/v1/books/{self._random.choice(self.names)}?depth={DEPTH}")

    def _keep(self, url: str, path: str) -> None:
        answer = self._ask(url + path)
        if answer is not None:
            self.samples += samples_of(url + path, answer)

    def _ask(self, url: str) -> dict[str, Any] | None:
        try:
            with open_direct(url, self.patience_s) as reply:
                answer: dict[str, Any] = json.load(reply)
                return answer
        except urllib.error.HTTPError as error:
            if error.code >= 500 and error.code != 503:
                self.faults.append(f"{url}: {error.code} {error.read()[:300]!r}")
        except OSError:
            pass  # killed, paused, or not there yet: that is the test
        except ValueError as error:
            self.faults.append(f"{url}: no JSON: {error}")
        return None

    def behind(self, since_ms: int) -> str:
        """Return what is not live as of after `since_ms`; "" if some worker says that all is."""
        last = "no worker answers"
        for url in self.urls():
            answer = self._ask(url + "/v1/imbalance")
            if answer is None:
                continue
            now_ms = time.time_ns() // 1_000_000
            rows = {row["instrument"]: row for row in answer["data"]}
            late = []
            for name in self.names:
                row = rows.get(name)
                if row is None:
                    late.append(f"{name} unknown")
                elif row["status"] != "live":
                    late.append(f"{name} {row['status']}")
                elif row["received_ms"] <= since_ms or row["published_ms"] <= since_ms:
                    late.append(f"{name} not heard since")
                elif now_ms - row["received_ms"] > HEARD_WITHIN_MS:
                    late.append(f"{name} heard {now_ms - row['received_ms']} ms ago")
            if not late:
                return ""
            last = f"{url}: {', '.join(late)}"
        return last

    def wait_live(self, since_ms: int, timeout_s: float) -> float:
        """Return the seconds from `since_ms` until all is live; fail when they are too many."""
        deadline = time.monotonic() + timeout_s
        late = "nothing was asked"
        while time.monotonic() < deadline:
            late = self.behind(since_ms)
            if not late:
                return time.time() - since_ms / 1_000
            time.sleep(POLL_S)
        raise AssertionError(f"not live within {timeout_s} s: {late}")
