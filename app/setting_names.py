"""What a setting is called where a person sets it, and what to say of a name that is none.

A name that is no setting is said on stderr: a mistyped one would change nothing, in silence.

It is no error, because not every such name is a mistake: Kubernetes gives the containers beside a
service called `steelyard` variables such as STEELYARD_SERVICE_HOST.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

PREFIX: Final = "STEELYARD_"
CLOSE: Final = 0.85
"""How alike two names must be, of 1, for one to be meant by the other."""


def env_name(field: str) -> str:
    """Return the environment variable of a settings field."""
    return PREFIX + field.upper()


def values_given(env_file: Path | None) -> dict[str, str]:
    """Return what has our prefix in the environment and in the file, if there is one, by name."""
    in_file = dotenv_values(env_file) if env_file is not None and env_file.is_file() else {}
    given = {name.upper(): value or "" for name, value in (in_file | dict(os.environ)).items()}
    return {name: value for name, value in given.items() if name.startswith(PREFIX)}


def unknown(given: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each name that is not known."""
    known = sorted(known)
    for name in sorted(given):
        if name in known:
            continue
        meant = get_close_matches(name, known, n=1, cutoff=CLOSE)
        hint = f"did you mean {meant[0]}?" if meant else "`.env.example` lists them all"
        yield f"{name} is no setting, and is ignored; {hint}"
