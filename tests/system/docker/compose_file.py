"""Reads docker/compose.yaml without a YAML library: the subset of YAML that the file uses.

Block maps and lists, flow lists and maps of plain or quoted words, `>-` text, anchors, aliases and
merges. Whatever else is in the file raises, so that it can't be read as something that it is not.
Every value is a string; `interpolated` does what compose does with `${NAME:-default}`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
COMPOSE = ROOT / "docker" / "compose.yaml"

KEY = re.compile(r"(?P<key><<|[A-Za-z0-9_-]+):(?: (?P<value>.*))?$")
PLAIN = re.compile(r"[^\s\[\]{},\"'#&*|>%@`!].*?(?=\s+#|\s*$)")
PLAIN_IN_FLOW = re.compile(r"[^\s\[\]{},\"'#&*|>%@`!][^\[\]{},\"#]*")
COMMENT = re.compile(r"(?:^|\s)#.*$")
REFERENCE = re.compile(r"\$\$|\$\{(\w+)(?:(:?-)([^}]*))?\}")


class Unsupported(ValueError):
    """A line is no YAML, or none of the subset."""


def load(text: str) -> dict[str, Any]:
    """Return the document; raise Unsupported at what is not understood."""
    document = _Reader(text).block(0)
    if not isinstance(document, dict):
        raise Unsupported("the document is no map")
    return document


def interpolated(value: Any, environment: Mapping[str, str]) -> Any:
    """Return a value with its `${NAME}` references replaced."""
    if isinstance(value, dict):
        return {key: interpolated(item, environment) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolated(item, environment) for item in value]

    def replaced(match: re.Match[str]) -> str:
        name, kind, default = match.groups()
        if name is None:
            return "$"
        given = environment.get(name)
        if given is None or (kind == ":-" and not given):
            return default or ""
        return given

    return REFERENCE.sub(replaced, value)


class _Reader:
    def __init__(self, text: str) -> None:
        self.lines = [
            (number, line)
            for number, line in enumerate(text.splitlines(), 1)
            if line.strip() and not line.lstrip().startswith("#")
        ]
        self.at = 0
        self.anchors: dict[str, Any] = {}

    def block(self, indent: int) -> Any:
        """Read the map or the list that begins here with this indent."""
        _, line = self.lines[self.at]
        return self._list(indent) if line.lstrip().startswith("- ") else self._map(indent)

    def _map(self, indent: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while (text := self._line(indent)) is not None:
            match = KEY.match(text)
            if match is None:
                raise self._error("no `key: value`")
            key = match["key"]
            if key in found:
                raise self._error(f"{key} is there twice")
            value = self._value(match["value"] or "", indent)
            if key == "<<":
                found = value | found
            else:
                found[key] = value
        return found

    def _list(self, indent: int) -> list[Any]:
        found = []
        while (text := self._line(indent)) is not None:
            if not text.startswith("- "):
                raise self._error("no `- item`")
            found.append(self._value(text[2:], indent))
        return found

    def _line(self, indent: int) -> str | None:
        """Return the current line if it belongs to a block of this indent."""
        if self.at == len(self.lines):
            return None
        _, line = self.lines[self.at]
        has = len(line) - len(line.lstrip(" "))
        if has > indent:
            raise self._error(f"indent of {has}, expected {indent}")
        return line.strip() if has == indent else None

    def _value(self, text: str, indent: int) -> Any:
        anchor = ""
        if text.startswith("&"):
            anchor, _, text = text[1:].partition(" ")
        if text == ">-":
            value: Any = self._folded(indent)
        elif text:
            value = self._inline(text)
            self.at += 1
        else:
            self.at += 1
            value = self.block(self._deeper(indent)) if self._is_deeper(indent) else ""
        if anchor:
            self.anchors[anchor] = value
        return value

    def _is_deeper(self, indent: int) -> bool:
        return self.at < len(self.lines) and self._deeper(indent) > indent

    def _deeper(self, indent: int) -> int:
        _, line = self.lines[self.at]
        return len(line) - len(line.lstrip(" "))

    def _folded(self, indent: int) -> str:
        self.at += 1
        parts = []
        while self._is_deeper(indent):
            parts.append(self.lines[self.at][1].strip())
            self.at += 1
        return " ".join(parts)

    def _inline(self, text: str) -> Any:
        if text.startswith("*"):
            return self.anchors[text[1:]]
        plain = PLAIN.match(text)
        if plain is not None:
            value, rest = plain[0], text[plain.end() :]
        else:
            value, rest = self._flow(text)
        if COMMENT.sub("", rest).strip():
            raise self._error(f"{rest!r} after a value")
        return value

    def _flow(self, text: str) -> tuple[Any, str]:
        """Read one value as it may stand in a list or a map; answer it and what follows."""
        if text.startswith('"'):
            value, end = json.JSONDecoder().raw_decode(text)
            return value, text[end:]
        if text.startswith("["):
            items, rest = [], text[1:].lstrip()
            while not rest.startswith("]"):
                item, rest = self._flow(rest)
                items.append(item)
                rest = rest.lstrip().removeprefix(",").lstrip()
            return items, rest[1:]
        if text.startswith("{"):
            pairs, rest = {}, text[1:].lstrip()
            while not rest.startswith("}"):
                key, colon, rest = rest.partition(": ")
                if not colon:
                    raise self._error("no `key: value` within braces")
                pairs[key], rest = self._flow(rest)
                rest = rest.lstrip().removeprefix(",").lstrip()
            return pairs, rest[1:]
        plain = PLAIN_IN_FLOW.match(text)
        if plain is None:
            raise self._error(f"{text!r} is no value")
        return plain[0].strip(), text[plain.end() :]

    def _error(self, what: str) -> Unsupported:
        number, line = self.lines[min(self.at, len(self.lines) - 1)]
        return Unsupported(f"line {number}, {line.strip()!r}: {what}")
