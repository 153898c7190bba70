"""The secret of the venue's key, in a setting or in a file of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import SecretStr

MAX_SECRET_FILE_BYTES: Final = 4_096


def one_secret(given: SecretStr | None, file: Path | None) -> str | None:
    """Return the secret of the venue's key, which stands in one of two settings, or in none."""
    if given is not None and file is not None:
        raise ValueError(
            "set one of STEELYARD_CLIENT_SECRET and STEELYARD_CLIENT_SECRET_FILE, not both"
        )
    if given is not None:
        return given.get_secret_value().strip()
    return None if file is None else read_secret(file)


def read_secret(path: Path) -> str:
    """Return what a file holds; raise ValueError, which says nothing of it, if it cannot be."""
    where = f"STEELYARD_CLIENT_SECRET_FILE={path}"
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SECRET_FILE_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{where} cannot be read: {error.strerror}") from None
    try:
        secret = content.decode().strip()
    except UnicodeDecodeError:
        raise ValueError(f"{where} is not text") from None
    if not secret or len(content) > MAX_SECRET_FILE_BYTES or "\n" in secret:
        raise ValueError(f"{where} must hold the secret on one line, and nothing else")
    return secret
