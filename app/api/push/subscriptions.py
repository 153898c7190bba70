"""What a client asks to be pushed, checked: instruments, states, window lengths."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from app.api.problems import bad_parameter, shown
from app.api.push.conflation import STATES, Interest, interest
from app.api.query import check_name, known_states, span_of, state_of
from app.durations import format_span
from app.state.read_model import Serving
from models.live import LiveState

MAX_NAMES: Final = 500
FLAGS: Final = {"true": True, "false": False}


def interest_of(
    serving: Serving, names: Iterable[str] | None, lengths: Iterable[str], *, states: bool
) -> Interest:
    """Return the interest in these instruments (None: all); raise a Problem if there is none."""
    known = known_states(serving)  # who follows a worker that is starting would see nothing
    channels = channels_of(serving, lengths)
    if states:
        channels.append(STATES)
    if not channels:
        raise bad_parameter("lengths", "neither states nor windows of any length are asked for")
    return interest(channels, None if names is None else checked_names(known, names))


def checked_names(known: Mapping[str, LiveState], names: Iterable[str]) -> list[str]:
    """Return instruments that exist; raise a Problem at the first that does not."""
    chosen = list(dict.fromkeys(names))
    if not 0 < len(chosen) <= MAX_NAMES:
        raise bad_parameter("instruments", f"{len(chosen)} names; 1 to {MAX_NAMES} can be given")
    for name in chosen:
        check_name(name)
        state_of(known, name)
    return chosen


def channels_of(serving: Serving, lengths: Iterable[str]) -> list[str]:
    """Return the channels of window lengths; raise a Problem if one is not computed here."""
    spans = (span_of(serving, "lengths", length) for length in lengths)
    return list(dict.fromkeys(map(format_span, spans)))


def flag(name: str, text: str) -> bool:
    """Return a truth value; raise a Problem if the text is none."""
    if text not in FLAGS:
        raise bad_parameter(name, f"{shown(text)} is neither true nor false")
    return FLAGS[text]


def listed(text: str) -> list[str]:
    """Return the parts of a comma-separated list."""
    return text.split(",")
