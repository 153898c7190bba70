"""The table of a window record's fields: what each means, once, for documents and answers.

A field is added here and in `record`, where it is computed; docs/measures.md is made of this.
"""

from __future__ import annotations

from typing import Final

from orderbook.windows.field_types import (
    Amount,
    Count,
    Field,
    Group,
    Milliseconds,
    Name,
    Positive,
    Ratio,
    Share,
    Venue,
    WindowStatus,
)

CKS: Final = "Cont, Kukanov & Stoikov 2014"
LPS: Final = "Lipton, Pesavento & Sotiropoulos 2013"
XGH: Final = "Xu, Gould & Howison 2018"
CCZ: Final = "Cont, Cucuringu & Zhang 2023"


KEY: Final = Group(
    "Key",
    (
        Field("instrument", Name, "name", "what it is about", "", "venue"),
        Field(
            "channel",
            str,
            "name",
            "the book channel that it was computed from",
            "comparable with windows of another channel",
            "venue",
        ),
        Field(
            "venue",
            Venue | None,
            "name",
            "`deribit`, `deribit-test` or `simulated`, as the venue said of itself in the session; "
            "null if nothing says so, as in recordings of others",
        ),
        Field(
            "version",
            Count,
            "number",
            "of these definitions: 2 (see Versions); older records have none",
        ),
        Field("length_ms", Milliseconds, "ms", "`end_ms − start_ms`"),
        Field(
            "hop_ms",
            Milliseconds | None,
            "ms",
            "one such window begins every hop",
            "in tumbling windows",
            "",
            True,
        ),
        Field(
            "start_ms",
            Milliseconds,
            "ms, UTC epoch",
            "a multiple of the hop, or of the length without one",
        ),
        Field("end_ms", Milliseconds, "ms, UTC epoch", "the first instant that is not in it"),
    ),
)
COUNTS: Final = Group(
    "Counts",
    (
        Field("observations", Count, "count", "book notifications applied", "level changes"),
        Field("snapshots", Count, "count", "those of them that were snapshots"),
        Field(
            "trades",
            Count | None,
            "count",
            "trades with `start ≤ timestamp < end`, without the next two; null if not followed, "
            "which is if `trades_coverage` is 0",
        ),
        Field(
            "block_trades",
            Count | None,
            "count",
            "those with a `block_trade_id` or `block_rfq_id`; null likewise",
            "order flow",
        ),
        Field(
            "combo_trades",
            Count | None,
            "count",
            "other legs of combos (`combo_id`, `combo_trade_id`); null likewise",
            "order flow: matched in another book, at a price made from marks",
        ),
        Field(
            "liquidations",
            Count | None,
            "count",
            "those of `trades` with a `liquidation` (M, T or MT); null likewise",
        ),
    ),
)
PRICES: Final = Group(
    "Prices",
    (
        Field(
            "mid_open",
            Positive | None,
            "USD",
            "mid just before `start`; null if the book was not live and two-sided then",
            "the first mid inside",
        ),
        Field(
            "mid_high",
            Positive | None,
            "USD",
            "greatest of the carried-in mid and those after observations",
        ),
        Field("mid_low", Positive | None, "USD", "least of these"),
        Field(
            "mid_close",
            Positive | None,
            "USD",
            "mid just before `end`; null as above",
            "a trade's price",
        ),
        Field(
            "weighted_mid_close",
            Positive | None,
            "USD",
            "`(Pa·qb + Pb·qa)/(qb + qa)` just before `end`",
            "Stoikov's micro-price, which is estimated",
        ),
        Field("spread_bp_mean", Amount | None, "bp", "time mean of `10⁴·s/m` over the valid time"),
    ),
)
STATE: Final = Group(
    "State",
    (
        Field(
            "imbalance_N_last",
            Ratio | None,
            "ratio −1…1",
            "`(B−A)/(B+A)` just before `end`; B, A: summed sizes of the best N levels as quoted",
            "a forecast",
            LPS,
        ),
        Field(
            "imbalance_N_mean",
            Ratio | None,
            "ratio",
            "its time mean over the valid time",
            "the event mean",
        ),
        Field(
            "imbalance_N_event_mean",
            Ratio | None,
            "ratio",
            "its mean over the book notifications after which it exists, whatever they changed; "
            "one of `100ms` holds all that happened in 100 ms",
            "the time mean: they differ, even in sign; a mean over order events, except on `raw`",
        ),
        Field(
            "imbalance_Xbp_last",
            Ratio | None,
            "ratio −1…1",
            "the same of the levels with `p > m(1−x)`, `p < m(1+x)`; null while none is that close",
        ),
        Field(
            "imbalance_Xbp_mean", Ratio | None, "ratio", "its mean over the time in which it exists"
        ),
        Field(
            "SIDE_depth_N_usd_mean",
            Amount | None,
            "USD",
            "time mean over the valid time of one side's size in its best N levels",
        ),
        Field(
            "SIDE_depth_Xbp_usd_mean",
            Amount | None,
            "USD",
            "the same within x of the mid; 0 counts while no level is that close",
        ),
    ),
)
FLOW: Final = Group(
    "Order flow",
    (
        Field("ofi_usd", float | None, "USD", "the first of `ofi_levels_usd`", "trade flow", CKS),
        Field(
            "ofi_levels_usd",
            list[float] | None,
            "ten of USD",
            "for each level 1–10 the sum of CKS's `e` over the observations with a predecessor",
            "comparable between `raw` and `100ms`",
            XGH,
        ),
        Field(
            "ofi_normalised",
            list[float] | None,
            "ten ratios",
            "`OFI^l / Q`, `Q = (1/10)·Σ_l (qb_l + qa_l)/2` in USD, its time mean over the valid "
            "time: a twentieth of both `SIDE_depth_10_usd_mean`",
            "within −1…1",
            CCZ,
        ),
        Field(
            "ofi_integrated",
            float | None,
            "ratio",
            "`Σ_l w_l·ofi^l`, w as follows",
            "fitted on anything in the window",
            CCZ,
        ),
        Field(
            "ofi_weights",
            list[float] | None,
            "ten ratios 0…1",
            "the w used, whose sum is 1; 0 where no level was populated; see Weights",
            "",
            CCZ,
        ),
        Field(
            "ofi_weights_windows",
            Count | None,
            "count",
            "windows that w was fitted on; 0: equal weights, nothing is fitted yet",
        ),
        Field(
            "ofi_weights_explained",
            Share | None,
            "ratio 0…1",
            "share of the variance that the fitted w explains, each level's being 1; null if equal",
        ),
    ),
)
TRADES: Final = Group(
    "Trades",
    (
        Field(
            "buy_usd",
            Amount | None,
            "USD",
            "sum over `trades` whose taker bought",
            "with block trades",
        ),
        Field(
            "sell_usd",
            Amount | None,
            "USD",
            "sum over `trades` whose taker sold",
            "with block trades",
        ),
        Field("trade_flow_usd", float | None, "USD", "`buy − sell`", "order flow"),
        Field(
            "trade_flow_ratio",
            Ratio | None,
            "ratio −1…1",
            "`(buy − sell)/(buy + sell)`; null without trades",
        ),
        Field(
            "liquidation_buy_usd",
            Amount | None,
            "USD",
            "sum over `liquidations` in which the liquidated order bought, which closed a short "
            "position: the taker's (T, MT) if the taker bought, the maker's (M, MT) if it sold",
            "apart from buy and sell; the taker's direction",
        ),
        Field(
            "liquidation_sell_usd",
            Amount | None,
            "USD",
            "likewise where it sold: a long position was closed; of MT both",
            "apart from buy and sell",
        ),
        Field("block_usd", Amount | None, "USD", "sum over `block_trades`, which are in neither"),
        Field("combo_usd", Amount | None, "USD", "sum over `combo_trades`, which are in neither"),
    ),
)
CONTEXT: Final = Group(
    "Context",
    (
        Field(
            "mark_price",
            float | None,
            "USD",
            "of the ticker with the greatest `timestamp < end` known at publication, of the "
            "session of `end`; null without, or if it is more than 60 s older than `end`",
            "an average",
            "venue",
        ),
        Field("index_price", float | None, "USD", "of that ticker", "", "venue"),
        Field("funding_8h", float | None, "ratio", "of that ticker", "a rate per year", "venue"),
        Field(
            "open_interest_usd",
            Amount | None,
            "USD",
            "of that ticker; times its own `mark_price` if linear, null without one",
            "",
            "venue",
        ),
        Field(
            "ticker_ms",
            Milliseconds | None,
            "ms, UTC epoch",
            "its `timestamp`: how old these four are",
            "",
            "venue",
        ),
    ),
)
QUALITY: Final = Group(
    "Quality",
    (
        Field("status", WindowStatus, "word", "the worst of what touched the window, see Status"),
        Field("coverage", Share, "ratio 0…1", "valid time / length"),
        Field(
            "trades_coverage",
            Share,
            "ratio 0…1",
            "time in which the trades channel was followed / length; if 0, what is traded is null",
        ),
        Field(
            "gaps", Count, "count", "gaps of the book at the clock's time, once until a snapshot"
        ),
        Field("reconnects", Count, "count", "ends and beginnings of sessions, likewise"),
        Field(
            "trade_gaps",
            Count,
            "count",
            "holes in `trade_seq`, over all sessions, at the clock's time when they showed",
            "part of `status`, which is the book's",
        ),
        Field("missed_trades", Count, "count", "numbers that are missing in these holes"),
        Field(
            "trades_missed_since_ms",
            Milliseconds | None,
            "ms, UTC epoch",
            "time since which trades are missing, if a hole showed while the window was open and "
            "they may be its own; null otherwise",
            "in windows that were published before the hole showed, though those since lack some",
        ),
        Field(
            "late_trades",
            Count,
            "count",
            "see Windows",
            "in `trades`, if it was late for the window",
        ),
    ),
)
GROUPS: Final = (KEY, COUNTS, PRICES, STATE, FLOW, TRADES, CONTEXT, QUALITY)
