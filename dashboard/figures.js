// The numbers of one instrument now, as tiles; and its quality, which is never out of sight.

import * as format from "./format.js";
import { meaningOf } from "./statuses.js";

const HEAT = [
  "imbalance_1", "imbalance_5", "imbalance_10", "imbalance_10bp", "imbalance_25bp", "imbalance_50bp",
];

const TILES = [
  ["mid", "Mid", (state, decimals) => format.fixed(state.mid, decimals)],
  ["weighted_mid", "Weighted mid", (state, decimals) => format.fixed(state.weighted_mid, decimals)],
  ["spread_bp", "Spread bp", (state) => format.fixed(state.spread_bp, 2)],
  ["mark_price", "Mark", (state, decimals) => format.fixed(state.mark_price, decimals)],
  ["index_price", "Index", (state, decimals) => format.fixed(state.index_price, decimals)],
  ["basis", "Basis", (state, decimals) => format.signed(basisOf(state), decimals)],
  ["funding_8h", "Funding 8 h", (state) => format.percent(state.funding_8h)],
  ["imbalance_1", "Imbalance 1 level", (state) => format.signed(state.imbalance_1, 3)],
  ["imbalance_5", "5 levels", (state) => format.signed(state.imbalance_5, 3)],
  ["imbalance_10", "10 levels", (state) => format.signed(state.imbalance_10, 3)],
  ["imbalance_10bp", "10 bp", (state) => format.signed(state.imbalance_10bp, 3)],
  ["imbalance_25bp", "25 bp", (state) => format.signed(state.imbalance_25bp, 3)],
  ["imbalance_50bp", "50 bp", (state) => format.signed(state.imbalance_50bp, 3)],
  ["open_interest_usd", "Open interest", (state) => format.dollars(state.open_interest_usd)],
];

export class Figures {
  constructor(list) {
    this.list = list;
    this.pill = document.getElementById("pill");
    this.quality = document.getElementById("quality");
    this.decimals = 0;
    this.name = "";
    this.tiles = new Map();
    for (const [key, label] of TILES) {
      const tile = document.createElement("div");
      const value = document.createElement("dd");
      value.dataset.key = key;
      tile.append(document.createElement("dt"), value);
      tile.firstChild.textContent = label;
      list.append(tile);
      this.tiles.set(key, value);
    }
  }

  // Say that there is no such instrument, which is not one that is waited for.
  showUnknown() {
    this.pill.textContent = this.pill.dataset.status = "unknown";
    this.pill.title = this.quality.textContent = "not among the instruments that are followed";
  }

  // Show a state as of so many ms ago.
  show(state, status, sinceMs) {
    if (this.name !== state.instrument) {
      this.name = state.instrument;
      this.decimals = 0;
    }
    // Without a book the venue's own figures have to say how finely its prices are written.
    const prices = state.mid === null ? [state.mark_price, state.index_price]
      : [state.mid, state.best_bid, state.best_ask];
    for (const price of prices) {
      if (price !== null) this.decimals = Math.max(this.decimals, format.decimalsOf(price));
    }
    for (const [key, , text] of TILES) {
      const tile = this.tiles.get(key);
      write(tile, text(state, this.decimals));
      tile.title = String((key === "basis" ? basisOf(state) : state[key]) ?? "not known");
      if (HEAT.includes(key)) heat(tile, state[key]);
    }
    this.list.dataset.changeId = state.change_id ?? "";
    this.list.dataset.status = status;
    this.pill.dataset.status = status;
    this.pill.title = meaningOf(status);
    write(this.pill, status);
    const age = format.age(state.age_ms === null ? null : state.age_ms + sinceMs);
    write(this.quality, `age ${age} · ${state.gaps} ${state.gaps === 1 ? "gap" : "gaps"} · `
      + `${state.channel.split(".").at(-1)} · ${state.worker}, partition ${state.partition}`);
  }
}

// How far the mark price is above the index.
function basisOf(state) {
  const { mark_price: mark, index_price: index } = state;
  return mark === null || index === null ? null : mark - index;
}

const STEPS = 20; // of the strength of a colour: finer ones can't be told apart

// Colour a cell by a ratio: its side's colour, the stronger the larger it is.
export function heat(element, ratio) {
  const step = Math.round(Math.abs(ratio ?? 0) * STEPS);
  const mark = `${step && ratio < 0 ? -step : step}`;
  if (element.dataset.heat === mark) return;
  element.dataset.heat = mark;
  element.dataset.side = step === 0 ? "" : ratio < 0 ? "ask" : "bid";
  element.style.setProperty("--heat", `${(step / STEPS) * 100}%`);
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
