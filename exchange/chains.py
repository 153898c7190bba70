"""The incremental book channels: one chain of ids per interval, all over one book.

A chain keeps no copy of the book. It keeps, for each level changed since its last notification,
the size that it told last; the difference to the book is the next notification, and the book with
these sizes put back is the snapshot for a late subscriber. A level that changed and changed back
is no news: no notification, the id stays.
"""

from exchange.engine import Book, Pending, Side
from exchange.instruments import Instrument


class Chain:
    """Keeps what everybody who follows `book.{instrument}.{interval}` was told last."""

    __slots__ = (
        "_asks",
        "_bids",
        "_book",
        "_head",
        "_instrument",
        "_tail",
        "channel",
        "last_id",
        "last_ms",
    )

    def __init__(self, instrument: Instrument, interval: str, book: Book) -> None:
        self.channel = f"book.{instrument.name}.{interval}"
        self.last_id = book.change_id
        self.last_ms = book.timestamp_ms
        self._instrument = instrument
        self._book = book
        self._bids: Pending = {}
        self._asks: Pending = {}
        book.listen(self._bids, self._asks)
        self._head = (
            '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"'
            + self.channel
            + '","data":{"timestamp":'
        )
        self._tail = f',"instrument_name":"{instrument.name}","bids":['

    def flush(self, wanted: bool) -> str | None:
        """Tell the net change since the last time; None when there is none, "" when not wanted."""
        if not self._bids and not self._asks:
            return None
        book = self._book
        previous_id = self.last_id
        if wanted:
            bids = _changes(self._instrument, book.bids, self._bids)
            asks = _changes(self._instrument, book.asks, self._asks)
            changed = bool(bids or asks)
        else:
            changed = _differs(book.bids, self._bids) or _differs(book.asks, self._asks)
        self._bids.clear()
        self._asks.clear()
        if not changed:
            return None
        self.last_id = book.change_id
        self.last_ms = book.timestamp_ms
        if not wanted:
            return ""
        return (
            f'{self._head}{self.last_ms},"type":"change","prev_change_id":{previous_id},'
            f'"change_id":{self.last_id}{self._tail}{bids}],"asks":[{asks}]}}}}}}'
        )

    @property
    def is_told(self) -> bool:
        """Return whether nothing has happened since the last notification."""
        return not self._bids and not self._asks

    def restart(self) -> None:
        """Forget what was told last: the next message that makes sense is a snapshot."""
        self._bids.clear()
        self._asks.clear()
        self.last_id = self._book.change_id

    def snapshot(self) -> str:
        """The whole book as of the chain's last notification, best first, every entry `new`."""
        bids = _as_told(self._instrument, self._book.bids, self._bids)
        asks = _as_told(self._instrument, self._book.asks, self._asks)
        return (
            f'{self._head}{self.last_ms},"type":"snapshot","change_id":{self.last_id}'
            f'{self._tail}{bids}],"asks":[{asks}]}}}}}}'
        )


def _changes(instrument: Instrument, side: Side, pending: Pending) -> str:
    if not pending:
        return ""
    sizes = side.sizes
    parts: list[str] = []
    for price, told in pending.items():
        lots = sizes.get(price, 0)
        if lots == told:
            continue
        if lots == 0:
            parts.append(f'["delete",{instrument.price(price)},0.0]')
        else:
            action = "change" if told else "new"
            parts.append(f'["{action}",{instrument.price(price)},{instrument.amount(lots)}]')
    return ",".join(parts)


def _differs(side: Side, pending: Pending) -> bool:
    sizes = side.sizes
    for price, told in pending.items():  # noqa: SIM110 - a generator costs more than the loop
        if sizes.get(price, 0) != told:
            return True
    return False


def _as_told(instrument: Instrument, side: Side, pending: Pending) -> str:
    sizes = {**side.sizes, **pending}
    return ",".join(
        f'["new",{instrument.price(price)},{instrument.amount(lots)}]'
        for price, lots in sorted(sizes.items(), reverse=side.direction == 1)
        if lots
    )
