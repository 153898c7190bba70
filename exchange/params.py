"""The named parameters of a request, read by type; what is missing or wrong is -32602."""

from collections.abc import Sequence
from math import inf

from exchange.errors import invalid_param

_REQUIRED = object()


class Params:
    def __init__(self, values: dict[str, object]) -> None:
        self._values = values
        self._read: set[str] = set()

    def unread(self) -> list[str]:
        """The parameters that nobody asked for."""
        return sorted(self._values.keys() - self._read)

    def text(self, name: str, default: object = _REQUIRED) -> str:
        value = self._value(name, default)
        if not isinstance(value, str):
            raise invalid_param(name, "value must be a string")
        return value

    def optional_text(self, name: str) -> str | None:
        return None if self._value(name, None) is None else self.text(name)

    def integer(self, name: str, default: object = _REQUIRED) -> int:
        value = self._value(name, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise invalid_param(name, "value must be an integer")
        return value

    def number(self, name: str, default: object = _REQUIRED) -> float:
        """A finite number that is not negative."""
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < inf:
            raise invalid_param(name, "value must be a number, 0 or more")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        value = self._value(name, default)
        if not isinstance(value, bool):
            raise invalid_param(name, "value must be a boolean")
        return value

    def choice(self, name: str, choices: Sequence[str], default: object = _REQUIRED) -> str:
        value = self.text(name, default)
        if value not in choices:
            raise invalid_param(name, f"value must be one of {', '.join(choices)}")
        return value

    def texts(self, name: str) -> list[str]:
        values = self._value(name, _REQUIRED)
        if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
            raise invalid_param(name, "value must be a list of strings")
        return values

    def _value(self, name: str, default: object) -> object:
        self._read.add(name)
        value = self._values.get(name, default)
        if value is _REQUIRED:
            raise invalid_param(name, "value required")
        return value
