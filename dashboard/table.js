// The rows of the board. A cell is written only where its text changed and only while its row is in
// sight: there may be 131 rows, twice a second.

import { heat } from "./figures.js";
import * as format from "./format.js";
import { Sparkline, SLOTS } from "./sparkline.js";
import { getJson } from "./feed.js";
import { sorted } from "./order.js";
import { meaningOf } from "./statuses.js";

const IMBALANCES = [
  "imbalance_1", "imbalance_5", "imbalance_10", "imbalance_10bp", "imbalance_25bp", "imbalance_50bp",
];
const ALWAYS_SHOWN = "imbalance_10";
const REORDER_MS = 2_000; // rows that jump twice a second can't be read
const HISTORY_TIMEOUT_MS = 4_000;
const SIGHT_MARGIN = "300px";
const SUFFIX = "-PERPETUAL";

export class Board {
  constructor(table) {
    this.body = table.tBodies[0];
    this.rows = new Map();
    this.states = new Map();
    this.order = "";
    this.find = "";
    this.orderedAt = 0;
    this.wanting = []; // rows in sight whose past windows were not asked for yet
    this.isFetching = false;
    this.isList = false; // then the lines are not shown
    this.chosen = "";
    this.observer = new IntersectionObserver((entries) => {
      for (const entry of entries) this.#inSight(entry.target.row, entry.isIntersecting);
    }, { rootMargin: SIGHT_MARGIN });
    // The exact number behind a shortened one.
    this.body.addEventListener("pointerover", ({ target }) => {
      const cell = target.closest("td[data-key]");
      const state = cell && this.states.get(cell.parentElement.row.name);
      if (!state) return;
      const { key } = cell.dataset;
      const { row } = cell.parentElement;
      cell.title = key === "status" ? meaningOf(row.status) : String(state[key] ?? "not known");
    });
  }

  // Show the states of an answer.
  show(states) {
    this.states = new Map(states.map((state) => [state.instrument, state]));
    for (const [name, row] of this.rows) {
      if (!this.states.has(name)) this.#drop(name, row);
    }
    for (const state of states) {
      let row = this.rows.get(state.instrument);
      if (row === undefined) {
        row = new Row(state.instrument);
        this.rows.set(state.instrument, row);
        this.observer.observe(row.element);
        this.orderedAt = 0;
        if (row.name === this.chosen) row.link.setAttribute("aria-current", "true");
      }
      row.take(state, state.status, state.age_ms);
    }
    const isDue = performance.now() - this.orderedAt > REORDER_MS && !this.body.matches(":hover");
    if (!this.orderedAt || isDue) this.#arrange();
  }

  // Show that nothing is current: every row is stale, and older by so much.
  showOffline(sinceMs) {
    for (const [name, row] of this.rows) {
      const state = this.states.get(name);
      row.take(state, "stale", state.age_ms === null ? null : state.age_ms + sinceMs);
    }
  }

  // Set the order and what is looked for, at once.
  arrange(order, find) {
    this.order = order;
    this.find = find.toUpperCase();
    this.#arrange();
  }

  // Show one instrument as the chosen one, and the board as a list beside it; none: the whole board.
  choose(name) {
    this.isList = Boolean(name);
    for (const row of this.rows.values()) {
      if (row.name === name) row.link.setAttribute("aria-current", "true");
      else row.link.removeAttribute("aria-current");
    }
    this.chosen = name;
    if (!this.isList) this.#fetchHistories();
  }

  get shown() {
    return this.names.length;
  }

  // The names of the rows in sight, from the top.
  get names() {
    return [...this.body.rows].filter((element) => !element.hidden).map((element) => element.row.name);
  }

  #arrange() {
    let place = this.body.firstChild;
    for (const { instrument } of sorted(this.states.values(), this.order)) {
      const { element } = this.rows.get(instrument);
      element.hidden = !instrument.includes(this.find);
      if (element === place) place = place.nextSibling;
      else this.body.insertBefore(element, place);
    }
    this.orderedAt = performance.now();
  }

  #drop(name, row) {
    this.observer.unobserve(row.element);
    row.remove();
    this.rows.delete(name);
  }

  #inSight(row, visible) {
    row.see(visible);
    if (!visible || row.hasHistory) return;
    row.hasHistory = true;
    this.wanting.push(row);
    this.#fetchHistories();
  }

  // One at a time: a page that opens must not be a burst for the worker.
  async #fetchHistories() {
    if (this.isFetching) return;
    this.isFetching = true;
    for (let row; !this.isList && (row = this.wanting.shift()) !== undefined;) {
      const lengthMs = this.states.get(row.name)?.window_length_ms;
      if (!lengthMs) continue;
      const url = `/v1/windows/${row.name}?length=${lengthMs}ms&limit=${SLOTS}`;
      try {
        const { data } = await getJson(url, HISTORY_TIMEOUT_MS);
        row.sparkline.add(data.map((w) => [w.end_ms, w.ofi_usd]), lengthMs);
      } catch (error) {
        // The line fills by itself from here on.
        console.info(`no past windows of ${row.name}: ${error.message}`);
      }
    }
    this.isFetching = false;
  }
}

class Row {
  constructor(name) {
    this.name = name;
    this.element = document.createElement("tr");
    this.element.row = this;
    this.element.dataset.instrument = name;
    this.written = new Map();
    this.cells = new Map();
    this.decimals = 0;
    this.hasHistory = false;
    this.isVisible = true; // until the observer says otherwise
    this.latest = null;
    this.sparkline = new Sparkline();

    const header = document.createElement("th");
    header.scope = "row";
    header.className = "text";
    const hasSuffix = name.endsWith(SUFFIX);
    this.link = make("a", "", hasSuffix ? name.slice(0, -SUFFIX.length) : name);
    this.link.href = `#instrument=${name}`;
    if (hasSuffix) this.link.append(make("span", "suffix", SUFFIX));
    header.append(this.link);
    this.pill = make("span", "pill");
    this.element.append(header);
    this.#cell("status", "text").append(this.pill);
    this.#cell("mid");
    this.#cell("spread_bp", "wide spread");
    for (const key of IMBALANCES) this.#cell(key, key === ALWAYS_SHOWN ? "heat" : "heat wide");
    this.#cell("ofi_usd");
    const line = make("td", "wide text");
    line.append(this.sparkline.canvas);
    this.element.append(line);
    this.#cell("trade_flow_usd", "wide");
    this.#cell("age_ms", "wide");
  }

  take(state, status, ageMs) {
    this.latest = [state, status, ageMs];
    if (state.window_end_ms !== null) {
      this.sparkline.add([[state.window_end_ms, state.ofi_usd]], state.window_length_ms);
    }
    if (this.isVisible) this.#show(state, status, ageMs);
  }

  get status() {
    return this.latest[1];
  }

  see(visible) {
    this.isVisible = visible;
    this.sparkline.show(visible);
    if (visible) this.#show(...this.latest);
  }

  #show(state, status, ageMs) {
    if (this.#isNew("status", status)) {
      this.pill.textContent = status;
      this.pill.dataset.status = status;
      this.element.dataset.status = status;
    }
    if (this.#isNew("change_id", state.change_id)) this.element.dataset.changeId = state.change_id;
    if (state.mid !== null) this.decimals = Math.max(this.decimals, format.decimalsOf(state.mid));
    this.#write("mid", format.fixed(state.mid, this.decimals));
    this.#write("spread_bp", format.fixed(state.spread_bp, 2));
    for (const key of IMBALANCES) {
      this.#write(key, format.signed(state[key], 3));
      heat(this.cells.get(key), state[key]);
    }
    this.#writeFlow("ofi_usd", state.ofi_usd);
    this.#writeFlow("trade_flow_usd", state.trade_flow_usd);
    this.#write("age_ms", format.age(ageMs));
  }

  remove() {
    this.sparkline.remove();
    this.element.remove();
  }

  #cell(key, className = "") {
    const cell = make("td", className);
    cell.dataset.key = key;
    this.cells.set(key, cell);
    this.element.append(cell);
    return cell;
  }

  #isNew(key, value) {
    if (this.written.get(key) === value) return false;
    this.written.set(key, value);
    return true;
  }

  #write(key, text) {
    if (!this.#isNew(key, text)) return;
    this.cells.get(key).textContent = text;
  }

  #writeFlow(key, value) {
    this.#write(key, format.usd(value));
    const side = value === null || value === 0 ? "" : value > 0 ? "bid" : "ask";
    if (this.#isNew(`${key} side`, side)) {
      this.cells.get(key).dataset.side = side;
    }
  }
}

function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}
