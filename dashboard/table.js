// The rows of the board. A cell is written only where its text changed and only while its row is in
// sight: there may be 131 rows, twice a second.

import * as format from "./format.js";
import { Sparkline, SLOTS } from "./sparkline.js";
import { getJson } from "./feed.js";
import { sorted } from "./order.js";

const IMBALANCES = ["imbalance_1", "imbalance_5", "imbalance_10"];
const BAR_STEPS = 50; // a bar moves in steps of about half a pixel
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
    this.observer = new IntersectionObserver((entries) => {
      for (const entry of entries) this.#inSight(entry.target.row, entry.isIntersecting);
    }, { rootMargin: SIGHT_MARGIN });
    // The exact number behind a shortened one.
    this.body.addEventListener("pointerover", ({ target }) => {
      const cell = target.closest("td[data-key]");
      if (cell) cell.title = String(this.states.get(cell.parentElement.row.name)[cell.dataset.key] ?? "not known");
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
      }
      row.take(state, state.status, state.age_ms);
    }
    if (!this.orderedAt || (performance.now() - this.orderedAt > REORDER_MS && !this.body.matches(":hover"))) {
      this.#arrange();
    }
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

  get shown() {
    return [...this.rows.values()].filter((row) => !row.element.hidden).length;
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
    if (!this.isFetching) this.#fetchHistories();
  }

  // One at a time: a page that opens must not be a burst for the worker.
  async #fetchHistories() {
    this.isFetching = true;
    for (let row; (row = this.wanting.shift()) !== undefined;) {
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
    this.decimals = 0;
    this.hasHistory = false;
    this.isVisible = true; // until the observer says otherwise
    this.latest = null;
    this.sparkline = new Sparkline();

    const header = document.createElement("th");
    header.scope = "row";
    header.className = "text";
    const hasSuffix = name.endsWith(SUFFIX);
    header.append(hasSuffix ? name.slice(0, -SUFFIX.length) : name);
    if (hasSuffix) header.append(make("span", "suffix", SUFFIX));
    this.pill = make("span", "pill");
    this.element.append(header);
    this.#cell("status", "text").append(this.pill);
    this.#cell("mid");
    this.#cell("spread_bp", "wide spread");
    this.bars = new Map();
    for (const key of IMBALANCES) {
      const cell = this.#cell(key, key === "imbalance_10" ? "with-bar" : "with-bar wide");
      const track = make("span", "track");
      const bar = make("span", "bar");
      track.append(bar);
      cell.append(make("span", "number"), track);
      this.bars.set(key, bar);
    }
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

  see(visible) {
    this.isVisible = visible;
    this.sparkline.show(visible);
    if (visible) this.#show(...this.latest);
  }

  #show(state, status, ageMs) {
    if (this.#isNew("status", status)) {
      this.pill.textContent = status;
      this.element.dataset.status = status;
    }
    if (this.#isNew("change_id", state.change_id)) this.element.dataset.changeId = state.change_id;
    if (state.mid !== null) this.decimals = Math.max(this.decimals, format.decimalsOf(state.mid));
    this.#write("mid", format.fixed(state.mid, this.decimals));
    this.#write("spread_bp", format.fixed(state.spread_bp, 2));
    for (const key of IMBALANCES) this.#writeImbalance(key, state[key]);
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
    const cell = this.element.querySelector(`[data-key=${key}]`);
    (cell.querySelector(".number") ?? cell).textContent = text;
  }

  #writeFlow(key, value) {
    this.#write(key, format.usd(value));
    const side = value === null || value === 0 ? "" : value > 0 ? "bid" : "ask";
    if (this.#isNew(`${key} side`, side)) {
      this.element.querySelector(`[data-key=${key}]`).dataset.side = side;
    }
  }

  #writeImbalance(key, value) {
    this.#write(key, format.signed(value, 3));
    const step = Math.round((value ?? 0) * BAR_STEPS) / BAR_STEPS;
    if (!this.#isNew(`${key} bar`, step)) return;
    const bar = this.bars.get(key);
    bar.style.transform = `scaleX(${step})`;
    bar.dataset.side = step < 0 ? "ask" : "bid";
  }
}

function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}
