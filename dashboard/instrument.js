// One instrument: its numbers now, its windows as charts, its book as a ladder, and how far all of
// that can be trusted.

import { lengthWord } from "./address.js";
import { Chart } from "./chart.js";
import { onRepaint } from "./colours.js";
import { getJson } from "./feed.js";
import { Figures } from "./figures.js";
import { clock, decimalsOf, duration } from "./format.js";
import { History } from "./history.js";
import { DEPTH, Ladder } from "./ladder.js";
import { FIELDS, PANELS } from "./panels.js";

const BOOK_POLL_MS = 1_000;
const BOOK_TIMEOUT_MS = 2_000;
const LIST_TIMEOUT_MS = 2_000;
const LIST_PAUSE_MS = 5_000;

const $ = (id) => document.getElementById(id);

export class InstrumentView {
  // onChange(part) when the user wants another window length or span.
  constructor(onChange) {
    this.onChange = onChange;
    this.view = { instrument: "" };
    this.state = null;
    this.status = "waiting";
    this.clockMs = 0;
    this.history = null;
    this.units = new Map(); // instrument → unit of its sizes
    this.lengthsMs = [];
    this.listAskedAt = -Infinity;
    this.bookTimer = 0;
    this.figures = new Figures($("figures"));
    this.ladder = new Ladder($("ladder"), $("ladder-note"));
    this.charts = PANELS.map((panel) => new Chart(panel, {
      onSpan: (from, to) => onChange({ from, to }),
      onReset: () => onChange({ from: null, to: null }),
    }));
    $("panels").append(...this.charts.map((chart) => chart.element));
    $("panels").addEventListener("keydown", (event) => this.#moveCursor(event));
    new ResizeObserver(() => this.charts.forEach((chart) => chart.resize())).observe($("panels"));
    onRepaint(() => this.charts.forEach((chart) => chart.repaint()));
    $("follow").addEventListener("click", () => onChange({ from: null, to: null }));
  }

  // Look at what the address says.
  open(view) {
    const old = this.view;
    this.view = { ...view };
    const isOther = old.instrument !== view.instrument;
    if (!view.instrument) {
      clearTimeout(this.bookTimer);
      return;
    }
    if (isOther) {
      this.state = null;
      $("name").textContent = view.instrument;
      this.ladder.clear();
      this.ladder.setUnit(this.units.get(view.instrument));
      clearTimeout(this.bookTimer);
      this.history = null;
    } else if (this.state && ["length", "from", "to"].some((key) => old[key] !== view[key])) {
      this.#restart();
    }
  }

  // Take the instrument's row of an answer; undefined if there is none of that name.
  take(state, isOffline, sinceMs) {
    if (!this.view.instrument) return;
    $("unknown").hidden = state !== undefined;
    $("instrument").classList.toggle("is-unknown", state === undefined);
    if (state === undefined) {
      const text = `There is no ${this.view.instrument} here: nobody follows it. Choose another one, or `
        + "subscribe to it (python -m app subscribe); it is shown as soon as it comes.";
      if ($("unknown").textContent !== text) $("unknown").textContent = text;
      this.figures.showUnknown();
      this.state = null;
      this.history = null;
      clearTimeout(this.bookTimer);
      return;
    }
    const isFirst = this.state === null;
    const wasStatus = this.status;
    this.state = state;
    this.status = isOffline ? "stale" : state.status;
    this.clockMs = (state.clock_ms ?? 0) + (isOffline ? sinceMs : 0);
    this.figures.show(state, this.status, isOffline ? sinceMs : 0);
    if (isFirst) this.#askBook();
    if (!this.lengthsMs.length || !this.units.has(this.view.instrument)) this.#askList();
    if (this.history === null) this.#restart();
    else if (!isOffline && this.history.isBehind(this.clockMs)) this.#update();
    // A doubt that grows is drawn as it grows.
    if (isFirst || wasStatus !== this.status || this.status !== "live") this.#draw();
  }

  #lengthMs() {
    const chosen = this.lengthsMs.find((length) => lengthWord(length) === this.view.length);
    return chosen ?? this.lengthsMs[0] ?? this.state?.window_length_ms;
  }

  #restart() {
    const { instrument, from, to } = this.view;
    const span = from === null ? null : [from, to];
    const lengthMs = this.#lengthMs();
    this.history = lengthMs ? new History(instrument, lengthMs, span) : null;
    $("follow").hidden = span === null;
    $("span").textContent = span ? `${day(from)} ${clock(from)} – ${clock(to)} UTC, not now.` : "";
    this.#showLengths(lengthMs);
    if (this.history) this.#update();
  }

  async #update() {
    const { history } = this;
    const isNew = await history.update(); // of a long span one page
    if (isNew && history === this.history) this.#draw();
  }

  #draw() {
    const { history } = this;
    if (!history || !this.state) return;
    const table = history.table(FIELDS, this.clockMs, this.status);
    // A mid may lie between two ticks: the finest one says how all are written.
    const mids = table.columns.get("mid_close").filter((mid) => mid !== null);
    const decimals = Math.max(this.figures.decimals, ...mids.map((mid) => decimalsOf(mid)));
    for (const chart of this.charts) chart.show(table, decimals);
    const count = history.windows.length;
    const text = [`${count} windows of ${duration(history.lengthMs)}.`, history.reason, history.left]
      .filter((part, n) => part && (n || !history.reason)).join(" ");
    if ($("windows-note").textContent !== text) $("windows-note").textContent = text;
    $("panels").dataset.begin = history.windows[0]?.start_ms ?? "";
    $("panels").dataset.end = history.end;
    $("panels").dataset.windows = count;
  }

  #showLengths(chosenMs) {
    const place = $("lengths");
    if (place.dataset.lengths !== this.lengthsMs.join()) {
      place.dataset.lengths = this.lengthsMs.join();
      place.replaceChildren(...this.lengthsMs.map((lengthMs) => {
        const label = document.createElement("label");
        const input = document.createElement("input");
        input.type = "radio";
        input.name = "length";
        input.value = lengthWord(lengthMs);
        input.addEventListener("change", () => this.onChange({ length: input.value }));
        label.append(input, document.createElement("span"));
        label.lastChild.textContent = duration(lengthMs);
        return label;
      }));
    }
    for (const input of place.querySelectorAll("input")) {
      input.checked = input.value === lengthWord(chosenMs);
    }
  }

  // The n-th window length, by a key.
  chooseLength(n) {
    if (this.lengthsMs[n]) this.onChange({ length: lengthWord(this.lengthsMs[n]) });
  }

  async #askList() {
    if (performance.now() - this.listAskedAt < LIST_PAUSE_MS) return;
    this.listAskedAt = performance.now();
    try {
      const { data, meta } = await getJson("/v1/instruments", LIST_TIMEOUT_MS);
      this.units = new Map(data.map((row) => [row.instrument, row.size_unit]));
      this.lengthsMs = [...meta.lengths_ms].sort((a, b) => a - b);
      this.ladder.setUnit(this.units.get(this.view.instrument));
      if (this.history?.lengthMs !== this.#lengthMs()) this.#restart();
      else this.#showLengths(this.history.lengthMs);
    } catch (error) {
      $("windows-note").textContent = `The list of instruments is not known: ${error.message}`;
    }
  }

  // One request at a time; the next one a while after the last one was answered.
  async #askBook() {
    clearTimeout(this.bookTimer);
    const { instrument } = this.view;
    if (!instrument || this.state === null) return;
    try {
      if (!document.hidden) {
        const answer = await getJson(`/v1/books/${instrument}?depth=${DEPTH}`, BOOK_TIMEOUT_MS);
        if (instrument === this.view.instrument) this.ladder.take(answer);
      }
    } catch (error) {
      if (instrument === this.view.instrument) this.ladder.fail(error.message);
    }
    // Another instrument has a chain of requests of its own; one that is gone has none.
    if (instrument !== this.view.instrument || this.state === null) return;
    clearTimeout(this.bookTimer);
    this.bookTimer = setTimeout(() => this.#askBook(), BOOK_POLL_MS);
  }

  #moveCursor(event) {
    const ends = this.charts[0].plot?.data[0];
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || !ends?.length || event.target !== $("panels")) return;
    event.preventDefault();
    const now = this.charts[0].plot.cursor.idx ?? ends.length - (step < 0 ? 0 : 1);
    const index = Math.min(Math.max(now + step, 0), ends.length - 1);
    for (const chart of this.charts) chart.pointAt(index);
    $("cursor").textContent = this.charts.map((chart) => chart.spoken()).join("; ");
  }
}

function day(milliseconds) {
  return new Date(milliseconds).toISOString().slice(0, 10);
}
