"""How the state of an instrument becomes a record of the table `books`, and back.

One record holds position, book and open windows, so that they can never disagree. Invariants are
checked when a record is written and when it is read.
"""

from __future__ import annotations

from typing import Final

import msgspec

from app.exact.record import BadRecord, pack, unpack
from app.processor import Processor, Rules

VERSION: Final = 2

# JSON, because prices and sizes may outgrow the 64 bits that other formats end at.
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


class BooksCodec:
    """Records of processors that follow the same rules."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        spans = [list(span) for span in rules.spans]
        self._rules = [spans, rules.grace_ms, rules.stale_after_ms]

    def load(self, key: bytes, record: bytes) -> Processor:
        """Return the processor of a record; raise BadRecord."""
        position, payload = unpack(record, VERSION)
        try:
            rules, state = _decoder.decode(payload)
            if rules != self._rules:
                raise BadRecord(f"computed by the rules {rules}, now they are {self._rules}")
            processor = Processor(key.decode(), self.rules)
            processor.restore(state)
        except BadRecord:
            raise
        except (msgspec.DecodeError, ValueError, TypeError, KeyError, IndexError) as error:
            raise BadRecord(f"not the state of an instrument: {error}") from error
        processor.position = position
        return processor

    def rebase(self, state: Processor, position: int) -> None:
        """Let a processor begin at a position of another feed."""
        state.position = position

    def dump(self, key: bytes, state: Processor, position: int) -> bytes:
        """Return the record of a processor as of a position; raise ValueError if it is broken."""
        state.instrument.check()
        return pack(VERSION, position, _encoder.encode([self._rules, state.to_record()]))
