"""One name stands for an installation: its group, topics, changelogs and folders follow from it.

Two workers with one name are of one installation and share its work; two names have nothing in
common. The default's topics have no prefix.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.errors import UserError
from app.settings.names import env_name

DEFAULT_INSTALLATION: Final = "steelyard"
RETIRED: Final[Mapping[str, str]] = {"app_id": DEFAULT_INSTALLATION, "topic_prefix": ""}
"""Settings of earlier releases, with their defaults: group and topics could be named apart, so that
two installations wrote to one changelog, or two groups to one feed."""


class RetiredSetting(UserError):
    """A setting is given that is none any more, and whose effect would be missed."""


def group_of(installation: str) -> str:
    """Return the consumer group, which is Faust's app id."""
    return installation if installation == DEFAULT_INSTALLATION else f"steelyard-{installation}"


def prefix_of(installation: str) -> str:
    """Return what the names of the topics begin with."""
    return "" if installation == DEFAULT_INSTALLATION else f"{installation}-"


def refuse_retired(given: Mapping[str, str]) -> None:
    """Raise RetiredSetting, which says how to go on, if one is among what is given by name."""
    old = {env_name(name): default for name, default in RETIRED.items()}
    set_by_hand = [name for name in old if given.get(name)]
    if not set_by_hand:
        return
    app_id, prefix = (given.get(name) or default for name, default in old.items())
    installation = prefix.removesuffix("-") or DEFAULT_INSTALLATION
    what = " and ".join(f"{name}={given[name]}" for name in set_by_hand)
    text = (
        f"{what}: no setting any more. One name, {env_name('installation')}, stands for an "
        "installation; its consumer group, topics and changelogs follow from it."
    )
    wanted = f"{env_name('installation')}={installation}"
    if (group_of(installation), prefix_of(installation)) == (app_id, prefix):
        raise RetiredSetting(f"{text}\nSet {wanted} in place of it: everything stays where it is.")
    topics = f"{prefix_of(installation)}feed, {prefix_of(installation)}windows, …"
    raise RetiredSetting(
        f"{text}\nWith {wanted} the topics are {topics} and the group is "
        f"{group_of(installation)}, not {app_id}. What exists has to be moved: stop all its "
        'workers, then follow docs/operations.md, "An installation of an earlier release".'
    )
