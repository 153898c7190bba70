"""`Sampler`: asks for something once a second, in a thread, beside whatever is measured."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Generic, Self, TypeVar

EVERY_S: Final = 1.0

Sample = TypeVar("Sample")


class Sampler(Generic[Sample]):
    """Asks while it is entered, first at once; `samples` has the answers, in order."""

    def __init__(self, ask: Callable[[], Sample]) -> None:
        self.samples: list[Sample] = []
        self._ask = ask
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self.samples.append(self._ask())
            if self._stopped.wait(EVERY_S):
                return
