// Which charts there are: what they show, from which fields of a window, and what it means in words
// for somebody who sees it for the first time.

export const PANELS = [
  {
    id: "price",
    title: "Mid and weighted mid",
    help: "The mid is half-way between the best bid and the best ask. The weighted mid leans towards "
      + "the side with less size: it is where the next trade is more likely to move the price.",
    series: [
      // The mid lies on top, because it is the thinner one.
      { key: "weighted_mid_close", label: "weighted", colour: "ten", as: "price", width: 3 },
      { key: "mid_close", label: "mid", colour: "text", as: "price" },
    ],
  },
  {
    id: "liquidity",
    title: "Liquidity around the mid",
    help: "How much rests near the price: asks above, bids below the mid, within 10, 25 and 50 bp "
      + "(1 bp is 0.01 %). The stronger the colour, the more USD per bp.",
    kind: "heat",
    unit: "bp",
    series: [
      { key: "ask_depth_50bp_usd_mean", label: "asks to 50 bp", colour: "ask", as: "usd" },
      { key: "bid_depth_50bp_usd_mean", label: "bids to 50 bp", colour: "bid", as: "usd" },
    ],
    fields: [
      "ask_depth_10bp_usd_mean", "ask_depth_25bp_usd_mean",
      "bid_depth_10bp_usd_mean", "bid_depth_25bp_usd_mean",
    ],
  },
  {
    id: "levels",
    title: "Imbalance of the best levels",
    help: "Of the size that rests on the best 1, 5 or 10 price levels: (bids − asks) ÷ (bids + asks). "
      + "+1 means only buyers wait there, −1 only sellers, 0 as many of both.",
    range: [-1, 1],
    series: [
      { key: "imbalance_1_mean", label: "1", colour: "one", as: "ratio" },
      { key: "imbalance_5_mean", label: "5", colour: "five", as: "ratio" },
      { key: "imbalance_10_mean", label: "10", colour: "ten", as: "ratio", width: 2 },
    ],
  },
  {
    id: "bands",
    title: "Imbalance within bp of the mid",
    help: "The same ratio, of all that rests within 10, 25 or 50 bp of the mid. Levels can be a tick "
      + "apart or many; a distance compares instruments and times better.",
    range: [-1, 1],
    series: [
      { key: "imbalance_10bp_mean", label: "10 bp", colour: "one", as: "ratio" },
      { key: "imbalance_25bp_mean", label: "25 bp", colour: "five", as: "ratio" },
      { key: "imbalance_50bp_mean", label: "50 bp", colour: "ten", as: "ratio", width: 2 },
    ],
  },
  {
    id: "ofi",
    title: "Order-flow imbalance",
    help: "What orders did to the best prices in each window, in USD: bids added and asks taken away "
      + "count up, bids taken away and asks added count down.",
    series: [{ key: "ofi_usd", label: "OFI", as: "signed usd", kind: "bars" }],
  },
  {
    id: "cumulative",
    title: "Cumulative OFI against the mid",
    help: "Order-flow imbalance added up from the left edge. Price tends to follow it: where the two "
      + "part, price moved without pressure at the best prices, or pressure was absorbed.",
    series: [
      {
        key: "ofi_cumulative_usd", label: "cumulative OFI", colour: "ten", as: "signed usd", width: 1.5,
      },
      { key: "mid_close", label: "mid", colour: "text", as: "price", scale: "right" },
    ],
  },
  {
    id: "trades",
    title: "Trade flow",
    help: "What was really traded, in USD, by who was in a hurry: buyers who took asks up, sellers who "
      + "hit bids down. Orders that only wait are not in it, nor block trades and legs of combos. Empty "
      + "where trades are not known.",
    series: [
      { key: "buy_usd", label: "bought", colour: "bid", as: "usd", kind: "bars" },
      { key: "sell_usd", label: "sold", colour: "ask", as: "usd", kind: "bars", isDown: true },
      { key: "trade_flow_usd", label: "net", colour: "text", as: "signed usd", isHidden: true },
    ],
  },
  {
    id: "funding",
    title: "Funding and basis",
    help: "Basis: how far the perpetual's mark price is above (+) or below the index of spot prices. "
      + "Funding: what longs pay shorts for 8 hours; it pulls the two together.",
    series: [
      { key: "basis_bp", label: "basis bp", colour: "ten", as: "bp" },
      { key: "funding_8h", label: "funding 8 h", colour: "second", as: "percent", scale: "right" },
    ],
    fields: ["mark_price", "index_price"],
  },
];

// Every field of a window that is drawn.
export const FIELDS = [
  ...new Set(PANELS.flatMap(({ series, fields = [] }) => [...series.map((one) => one.key), ...fields])),
];
