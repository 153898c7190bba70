"""What docs/performance.md says around its figures."""

from __future__ import annotations

from typing import Final

from app.worker import SESSION_TIMEOUT_S
from bench.fields import ROUNDS
from bench.growth import CHANGES_EACH
from bench.replay import GENERATED, PERCENT

HEAD: Final = """\
# Performance

Written by `python -m bench.render` from what `make bench` measured; not edited by hand. Figures of
one machine are worth little elsewhere; ratios, measured one after the other on the same machine,
are worth more. To repeat them, on a machine that does nothing else:

```sh
make bench                             # all but memory, half an hour; figures to var/bench/*.json
make bench ARGS="memory --minutes 60"  # memory over time: only when it is named
make bench ARGS="replay peers"         # parts: domain growth fields replay peers live restart
make bench ARGS="--quick"              # whether it works; its figures are not rendered
.venv/bin/python -m bench.render       # this page and its plot, of each part as last measured
BENCH_RECORDING=my.jsonl.gz make bench # another recording than the one beside the project
```
"""
REPLAY: Final = f"""\
Everybody reads the same notifications from the same broker and publishes the windows of one second:
observations, imbalance of 1, 5 and 10 levels, order flow imbalance of the best level. The column
"windows" says whether they agree with those of `compute`. The peers do no more than that. Steelyard
computes all its fields, and windows of 1 s, 10 s and 1 min, with checkpoints and commits all the
while. The commit that includes the very last record comes when the states that were told little
since their last record have reached the age of 20 s (decision 6): it has a column of its own. What
is not in a commit is in the feed, and is computed again after a crash. It reads frames, as its
ingest writes them; the peers read a record a notification, which is how each of them is used.

Rates are from the first windows published to the last, so that starts do not count: "timed, s" says
how long that was. Logs are as long as makes it about 20 s for a peer, about 25 where its state is
kept every 5 or 10 s, and about 15 for Steelyard. The fastest have less: of the generated log there
are {GENERATED:,} notifications at most, and the recording is not longer than it is. Steelyard's
workers are given the log when they have shared out its partitions, and their time runs while it is
still being written. Where it says {PERCENT:g} % of a core, a control group of Linux gives each
worker no more, and the generated log is shorter: two of them, their broker and the reader fit into
two cores. Processor time is that of the whole process, its start included, which weighs most on who
is given least. Kafka Streams has one stream thread, and those of the JVM beside it, which compiles
while it runs: that counts."""
PEERS: Final = """\
What each of them keeps, and what a crash leaves of it:

| who | where the book is | how often it is kept | after a crash |
| --- | --- | --- | --- |
| Steelyard | one record with position and open windows, in RocksDB and changelog | when the book \
was told eight times what its record takes, or after 20 s at most; the commit, once a second, \
passes nothing that is in no record | the same windows, byte for byte; up to 20 s of the feed are \
computed again, and windows of it published again |
| naive Faust, durable | table: RocksDB and changelog, the whole book for each notification | \
each notification; offsets apart | notifications may be counted twice or be lost |
| Quix Streams, durable | state: RocksDB and changelog, the whole book | checkpoint, every 5 s | \
at least once: notifications since the checkpoint may be counted twice |
| Bytewax, durable | its memory, and a snapshot in SQLite on this disk | every 10 s | goes on from \
the snapshot and publishes again; without the disk, from nothing |
| Kafka Streams, durable, exactly once | store with cache: RocksDB and changelog, with offsets and \
output in one transaction | once a second | state and output as if nothing had happened |
| Kafka Streams, durable | the same without transactions (`at_least_once`) | once a second | \
notifications since the commit may be counted twice |
| all in memory only | the process; only the window is kept | – | the book is lost: wrong until \
each instrument has a new snapshot |"""
LIVE: Final = """\
The simulated exchange, one worker, 131 instruments. Rates are of books; trades and tickers come
besides, which "messages" includes. A window can close when the first notification
past its end and the grace of 250 ms comes: "socket → window" is from the receipt of that
notification to the record in a consumer's hands, "socket → push" to the event of `/v1/stream`.
"beyond the end" is the record's time minus the window's end: the grace and the wait for that
notification are in it. The lag is what the worker has not processed when the measurement ends.
Percentages are of one core; exchange, broker and consumers share the machine with the worker."""
RESTART: Final = f"""\
The exchange goes on all the while; the time is from the start of the new process until every
instrument is served as live. After a kill, Kafka waits {SESSION_TIMEOUT_S:g} s for the dead worker
before it gives its partitions away. Bytes are those on the broker's disk, compressed."""
MEMORY: Final = """\
One worker of the simulated exchange, of which nothing else reads; what it holds (resident) is read
once a second, from when all instruments are live. "MB more an hour" is the slope of a line through
the second half, by least squares: caches, the history and RocksDB's buffers fill in the first."""
GROWTH: Final = f"""\
Domain only, processor time of one core, notifications of 1 to 3 levels, snapshots left out; at
least {CHANGES_EACH} changes of each instrument. The best of three rounds: whatever else runs on the
machine only ever adds.

The work is no more however many instruments there are: by valgrind's callgrind a change takes
71,300 instructions with 1 instrument, 67,400 with 100 and 64,900 with 500 (Python 3.11, the hot
path compiled). What grows is the wait for memory: books that are touched in turn do not stay in the
processor's caches. Garbage collection has no part in it: without it (`gc.disable()`) it is the
same."""
DOMAIN: Final = """\
Processor time of one core, the best of three rounds, per notification of a book. Each line does
what the ones before it do, so that "of it new" is the cost of what it adds. Spread, levels and
bands are followed as they change, never measured anew for each notification. The last line is
`compute` of lines that are in memory: it is also given what else was recorded, finds the channel of
each message, and makes a frame of each; then the windows are encoded. A worker is given frames of
more messages, and reads and publishes besides."""
FIELDS: Final = f"""\
The domain with each group of fields, less the domain without it: of one instrument, the excerpt in
tests/data, decoded beforehand, with windows of 1 s, 10 s and 1 min. Groups were left out one at a
time, so they do not add up. Processor time as pure Python, because nothing can be left out of
compiled code, the best of {ROUNDS} rounds: the shares say more than the microseconds. What is in a
group is in [measures.md](measures.md#cost)."""
BOUNDS: Final = f"""\
**Replay, one worker** is bound by one thread, which uses nearly all of its core: about three
quarters of it for the domain, its decoding included (d476995, 2026-11-23). What was done, what each
step gave, and what was tried and not taken is in decisions [8](decisions/0008-compiled.md) and
[9](decisions/0009-records-and-batches.md).

**Two workers** share two cores with the broker, the reader of the measurement and, at first, the
writer of the log, who takes 3 s of a core for either log: half of the time that the recording has.
Workers of {PERCENT:g} % of a core all fit beside them: what two of these do more than one
("Against the targets") is what the design gives.

**Quix Streams in its durable state** is what the target of 5 is about: the same promise, or nearly.
In memory only, neither it nor Kafka Streams keeps the book, which Steelyard does all the while.

**Live** a window is pushed when the worker has closed it, one request to Kafka after its
notification came: its frame's. In the topic it is one request later. The windows of all instruments
close within 100 ms of each second: worker, exchange, broker and readers want the cores at the same
time then. Commits stay out of it (decision [15](decisions/0015-commits-between-windows.md)): one
that met it made a whole second late. What each step gave is in decision
[14](decisions/0014-own-windows.md). What was tried and gave nothing is in decisions
[12](decisions/0012-loopback.md) and [13](decisions/0013-turns.md): a second client, uvloop, one
append at a time, more rounds of the loop.

**Memory** grows while RocksDB's write buffers fill, of 1 MB each, for two databases a partition,
and the chunks of the history that are open. After that it is level (decision
[6](decisions/0006-checkpoints.md))."""
