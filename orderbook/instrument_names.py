"""Names of instruments: one rule for channels, settings, requests and answers."""

import re
from typing import Final

INSTRUMENT_NAME: Final = "[A-Z0-9][A-Z0-9d_-]{0,63}"
"""A regular expression. A `d` stands for the point in a strike: `XRP_USDC-25DEC26-0d5-C`."""
EXACTLY_A_NAME: Final = f"^{INSTRUMENT_NAME}$"
EXAMPLE: Final = "1 to 64 of A-Z 0-9 _ - in capitals, such as BTC-PERPETUAL"

_NAME: Final = re.compile(INSTRUMENT_NAME)


def is_instrument_name(name: str) -> bool:
    """Return whether a text can be an instrument's name, and so a part of a channel's."""
    return _NAME.fullmatch(name) is not None
