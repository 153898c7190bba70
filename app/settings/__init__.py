"""Settings: read once from the environment and `.env` into one frozen object."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from app.monitoring.early_log import say
from app.settings.fields import Settings
from app.settings.installation import RETIRED, refuse_retired
from app.settings.names import env_name, unknown, values_given
from app.settings.validation import PRODUCTION_URL, TESTNET_URL

__all__ = ["PRODUCTION_URL", "TESTNET_URL", "Settings", "settings", "warn_of_unknown_names"]


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return the settings of this process; raise pydantic.ValidationError if one is wrong.

    Raises UserError if a setting is given that an earlier release had.
    """
    refuse_retired(_given())
    return Settings()


def warn_of_unknown_names() -> None:
    """Say on stderr which names are no setting.

    To be called once by a process, before it reads its settings: if one is wrong, that may be why.
    """
    given = _given()
    known = [*map(env_name, Settings.model_fields), *map(env_name, RETIRED)]
    for sentence in unknown(given, known):
        say("warning", sentence, given.get(env_name("log_format")))


def _given() -> dict[str, str]:
    env_file = Settings.model_config.get("env_file")
    return values_given(Path(env_file) if isinstance(env_file, str | Path) else None)
