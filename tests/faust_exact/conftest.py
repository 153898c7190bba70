"""An installation whose topics are there."""

from __future__ import annotations

import pytest

from app.settings import Settings
from app.topics.admin import ensure_topics


@pytest.fixture
async def topics(installation: Settings) -> Settings:
    """The installation with its topics."""
    await ensure_topics(installation)
    return installation
