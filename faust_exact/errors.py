"""An error that a person can mend: the message says what, where and what to do about it."""

from __future__ import annotations


class UserError(Exception):
    """Is shown without a traceback; the process ends with `exit_code`."""

    exit_code: int = 2
