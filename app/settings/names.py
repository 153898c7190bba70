"""Environment variable names of settings, and warnings about unknown ones.

A name that is no setting is said on stderr: a mistyped one would change nothing, in silence.

It is no error, because not every such name is a mistake: Kubernetes gives the containers beside a
service called `steelyard` variables such as STEELYARD_SERVICE_HOST. Beside `steelyard-web` it even
gives one that has a setting's name: STEELYARD_WEB_PORT=tcp://10.0.0.5:6066.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

PREFIX: Final = "STEELYARD_"
SERVICE_LINK_HINT: Final = (
    "it is a service link of Kubernetes, not a setting; `enableServiceLinks: false` in the pod's "
    "spec keeps them out"
)
_SERVICE_LINK: Final = re.compile(r"(?:tcp|udp|sctp)://", re.IGNORECASE)
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


def is_service_link(value: object) -> bool:
    """Return whether a value is one that Kubernetes gives, which no setting has."""
    return isinstance(value, str) and _SERVICE_LINK.match(value) is not None


def unknown(given: Mapping[str, str], known: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each name that is not known, or whose value no setting has."""
    known = sorted(known)
    for name in sorted(given):
        if is_service_link(given[name]):
            yield f"{name}={given[name]} is ignored: {SERVICE_LINK_HINT}"
            continue
        if name in known:
            continue
        meant = get_close_matches(name, known, n=1, cutoff=CLOSE)
        hint = f"did you mean {meant[0]}?" if meant else "`.env.example` lists them all"
        yield f"{name} is no setting, and is ignored; {hint}"
