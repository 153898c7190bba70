"""Keeps Python's garbage collector from stopping the loop for a tenth of a second.

Nearly everything here ends by counting references; about thirty objects a second are cycles, of
Faust's and the client's. By itself Python looks at all that lives (130,000 objects, most of them
modules and functions) every ten seconds or so of a live worker, which takes 60 to 100 ms, and six
times a second at what is young, 3 ms each: 3 % of the worker's time, and most of its longest
turns. Here what has survived one look is set aside, and the young are left alone unless they are
many. So a look each minute takes 5 to 15 ms.
"""

from __future__ import annotations

import asyncio
import gc
from typing import Final

YOUNG_OBJECTS: Final = 20_000
"""More made than dropped since the last look, and Python looks itself; by default it is 700."""
LOOK_EVERY_S: Final = 60.0
LOOKS_PER_WHOLE: Final = 60
"""Every hour what was set aside is looked at, too: some of it has become garbage, in cycles."""


class GcTuning:
    """The rule by which this process collects."""

    def __init__(self) -> None:
        self._looks = 0

    async def watch(self) -> None:
        """Look, again and again; give Python its own rule back at the end."""
        before = gc.get_threshold()
        gc.set_threshold(YOUNG_OBJECTS, *before[1:])
        try:
            while True:
                self.look()
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            gc.set_threshold(*before)
            gc.unfreeze()

    def look(self) -> int:
        """Collect what has become garbage, set the rest aside; return how much was collected."""
        if self._looks % LOOKS_PER_WHOLE == 0:
            gc.unfreeze()
        self._looks += 1
        collected = gc.collect()
        gc.freeze()
        return collected
