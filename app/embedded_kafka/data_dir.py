"""`make_data_dir`: the folder that everything is written in, or what to do where it can't be."""

from __future__ import annotations

import tempfile
from pathlib import Path

from app.errors import UserError


class DataDirUnusable(UserError):
    """The data directory cannot be made, or nothing can be written in it."""


def make_data_dir(folder: Path) -> None:
    """Make the folder if it is missing, and see that it can be written in."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        raise DataDirUnusable(
            f"Nothing can be written in {folder.absolute()}: {error.strerror}.\n"
            "Choose another folder with STEELYARD_DATA_DIR."
        ) from error
