"""A later session of an instrument, of a worker that should not speak any more, is replaced again.

The feed believes the session that began last. So when a worker that was paused, or somebody's
program, begins one although another worker ingests the instrument, that one must begin anew.
"""

from __future__ import annotations

from app.ingest.framing import Record
from models.frame import FRAME_VERSION, Connected, Disconnected, Frame, encode_frame
from tests.system.venue.rig import BTC, rig

LIVELY = {"instruments": 2, "rate": 16.0}
ZOMBIE = "worker-0-17f-1"


async def test_a_superseded_session_begins_anew_and_the_book_is_live_again() -> None:
    async with rig(**LIVELY) as bench:
        await bench.ready(bench.is_live)
        processor = bench.processors[BTC]
        ours = processor.session
        channel = processor.instrument.channel
        zombie = Frame(FRAME_VERSION, BTC, channel, ZOMBIE, 1, [Connected(1, "worker-0", True)])
        (partition,) = {at for _, value, at in bench.records if BTC.encode() in value}
        record = Record(BTC.encode(), encode_frame(zombie), partition)
        await bench.publish(partition, [record])
        assert (processor.session, bench.status()) == (ZOMBIE, "resyncing")

        await bench.ready(bench.is_live)
        assert processor.session != ours
        assert processor.session.startswith(ours), "one connection, a new session of the instrument"
        assert bench.connections == 1
        (ended,) = bench.marks(Disconnected)
        assert ended.reason == "superseded"
        await bench.settles()

        # What the zombie still says is not heard, and disturbs nobody.
        session = processor.session
        late = Frame(FRAME_VERSION, BTC, channel, ZOMBIE, 2, [Connected(2, "worker-0", True)])
        await bench.publish(partition, [Record(BTC.encode(), encode_frame(late), partition)])
        await bench.ticks(2)
        assert (processor.session, bench.status()) == (session, "live")
