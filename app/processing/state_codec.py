"""Encodes the state of an instrument as a record of the table `books`, and decodes it.

One record holds position, book and open windows, so that they can never disagree. Invariants are
checked when a record is written and when it is read; so is that the record's position is not below
the processor's own, which stands in the payload too.
"""

from __future__ import annotations

from typing import Final

import msgspec

from app.processing.processor import Processor, Rules
from faust_exact.state_record import BadRecord, check_read, check_written, pack, unpack

VERSION: Final = 3

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
            rules, content, inexact_until, state = _decoder.decode(payload)
            check_read(position, content)
            if rules != self._rules:
                raise BadRecord(f"computed by the rules {rules}, now they are {self._rules}")
            processor = Processor(key.decode(), self.rules)
            processor.restore(state)
        except BadRecord:
            raise
        except (msgspec.DecodeError, ValueError, TypeError, KeyError, IndexError) as error:
            raise BadRecord(f"not the state of an instrument: {error}") from error
        processor.position = position
        processor.inexact_until = inexact_until
        return processor

    def dump(self, key: bytes, state: Processor, position: int) -> bytes:
        """Return the record of a processor as of a position; raise ValueError if it is broken."""
        check_written(position, state.position)
        state.instrument.check()
        payload = [self._rules, state.position, state.inexact_until, state.to_record()]
        return pack(VERSION, position, _encoder.encode(payload))
