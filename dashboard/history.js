// The closed windows of one instrument and length, as columns for the charts.
//
// Followed: the last MAX_WINDOWS, and new ones as they close. Or a past span, which is asked for page by
// page from its end on. What of it is not here is drawn as missing, and `left` says why.

import { lengthWord } from "./address.js";
import { getJson } from "./feed.js";
import { clock } from "./format.js";

export const MAX_WINDOWS = 300;
const MIN_SHOWN = 60; // a history that has just begun does not fill the chart with five windows
const PAGE_WINDOWS = 2_000;
const MAX_SPAN_WINDOWS = 10_000; // more than a screen has pixels
const TIMEOUT_MS = 4_000;
const RETRY_MS = 400; // a window reaches the history a little after its end is known
const MAX_RETRY_MS = 5_000;
const NOT_KEPT = "urn:steelyard:problem:not-kept";

export class History {
  constructor(name, lengthMs, span) {
    this.name = name;
    this.lengthMs = lengthMs;
    this.span = span; // [from, to] of a past span, or null
    this.windows = [];
    this.reason = "Asking for windows…"; // why there are no (new) windows
    this.isWhole = false; // whether all of a past span was answered that is going to be drawn
    this.cursor = null; // leads to the page before, of a past span
    this.keptFromMs = null;
    this.left = ""; // what of a past span is not drawn, and why
    this.isAsking = false;
    this.retryMs = RETRY_MS;
    this.askAt = 0;
  }

  get end() {
    return this.windows.at(-1)?.end_ms ?? 0;
  }

  // Whether windows should be there that are not here, when the instrument's clock is this.
  isBehind(clockMs) {
    if (this.isAsking || this.isWhole || performance.now() < this.askAt) return false;
    if (this.span) return true;
    return !this.windows.length || Math.floor(clockMs / this.lengthMs) * this.lengthMs > this.end;
  }

  // Ask for what is not here yet; true if something has changed.
  async update() {
    this.isAsking = true;
    const before = this.#told();
    try {
      const { data, meta } = await getJson(this.#url(), TIMEOUT_MS);
      if (this.span) {
        this.#takePage(data, meta);
      } else {
        const last = this.end;
        this.windows = [...this.windows, ...data.filter((window) => window.start_ms >= last)];
        this.windows = this.windows.slice(-MAX_WINDOWS);
      }
      this.reason = this.windows.length ? "" : this.#noWindows();
      this.retryMs = data.length ? RETRY_MS : Math.min(this.retryMs * 1.5, MAX_RETRY_MS);
    } catch (error) {
      if (this.span && error.kind === NOT_KEPT) this.#notKept(error);
      else this.reason = `No new windows: ${error.message}`;
      this.retryMs = Math.min(this.retryMs * 2, MAX_RETRY_MS);
    }
    this.askAt = performance.now() + (this.cursor === null ? this.retryMs : 0);
    this.isAsking = false;
    return before !== this.#told();
  }

  #told() {
    return [this.windows.length, this.end, this.reason, this.left].join();
  }

  #takePage(data, { next_cursor: cursor, kept_from_ms: keptFromMs, kept_whole: isKeptWhole }) {
    this.windows = [...data, ...this.windows];
    const isFull = this.windows.length >= MAX_SPAN_WINDOWS;
    this.isWhole = cursor === null || isFull;
    this.cursor = this.isWhole ? null : cursor;
    if (cursor !== null) {
      const most = MAX_SPAN_WINDOWS.toLocaleString("en");
      this.left = isFull
        ? `This span has more than ${most} windows of this length: only the last are drawn. Take longer windows.`
        : "The windows before are being loaded…";
    } else {
      this.left = isKeptWhole || keptFromMs === null ? ""
        : `Windows before ${clock(keptFromMs)} UTC are not kept.`;
    }
  }

  // Nothing of the span is kept, or nothing any more of what is still to be asked for.
  #notKept(error) {
    this.isWhole = true;
    this.cursor = null;
    this.left = this.windows.length ? "The windows before are no longer kept." : "";
    this.reason = this.windows.length ? ""
      : `Of this span nothing is kept: windows are kept from ${clock(error.problem.kept_from_ms)} UTC on.`;
  }

  #noWindows() {
    return this.span ? "No window in this span." : "No window has closed yet.";
  }

  #url() {
    const path = `/v1/windows/${this.name}`;
    if (this.cursor !== null) return `${path}?cursor=${this.cursor}&limit=${PAGE_WINDOWS}`;
    const url = `${path}?length=${lengthWord(this.lengthMs)}`;
    if (this.span) return `${url}&from=${this.span[0]}&to=${this.span[1]}&limit=${PAGE_WINDOWS}`;
    const span = `&limit=${MAX_WINDOWS}`;
    return this.windows.length ? `${url}&from=${this.end}${span}` : url + span;
  }

  // What the charts draw as of a clock: ends of windows, a column for each field, the spans whose
  // quality is not `complete`, the range of the time axis. `quality` is that of now.
  table(fields, clockMs, quality) {
    const rows = this.#withHoles();
    const columns = new Map([["end_ms", rows.map((row) => row.end_ms)]]);
    for (const field of fields) columns.set(field, rows.map((row) => row[field] ?? null));
    columns.set("status", rows.map((row) => row.status));
    columns.set("ofi_cumulative_usd", cumulative(columns.get("ofi_usd") ?? []));
    columns.set("basis_bp", rows.map(basisOf));
    const spans = spansOf(rows);
    const [first] = rows;
    if (this.left && first && first.start_ms > this.span[0]) {
      spans.unshift({ from: this.span[0], to: first.start_ms, status: "missing" });
    }
    const isFollowed = this.span === null;
    if (isFollowed && quality !== "live" && this.end && clockMs > this.end) {
      spans.push({ from: this.end, to: clockMs, status: quality });
    }
    return { columns, spans, range: this.#range(rows, clockMs) };
  }

  // Windows that are not there must be seen as such: lines must not bridge them.
  #withHoles() {
    const rows = [];
    for (const window of this.windows) {
      const last = rows.at(-1);
      const lost = last ? (window.start_ms - last.end_ms) / this.lengthMs : 0;
      const step = lost > MAX_WINDOWS ? lost : 1; // a long hole is one row: nothing in it is pointed at
      for (let n = 0; n < lost; n += step) {
        const start = last.end_ms + n * this.lengthMs;
        rows.push({ start_ms: start, end_ms: start + step * this.lengthMs, status: "missing" });
      }
      rows.push(window);
    }
    return this.span ? rows : rows.slice(-MAX_WINDOWS);
  }

  #range(rows, clockMs) {
    if (this.span) return this.span;
    const end = Math.max(rows.at(-1)?.end_ms ?? 0, clockMs);
    const shown = Math.max(Math.min(rows.length, MAX_WINDOWS), MIN_SHOWN);
    return [end - shown * this.lengthMs, end];
  }
}

function cumulative(values) {
  let sum = 0;
  return values.map((value) => (value === null ? null : (sum += value)));
}

function basisOf({ mark_price: mark, index_price: index }) {
  return mark == null || !index ? null : ((mark - index) / index) * 1e4;
}

// Neighbours of the same quality as one span.
function spansOf(rows) {
  const spans = [];
  for (const { start_ms: from, end_ms: to, status } of rows) {
    if (status === "complete") continue;
    const last = spans.at(-1);
    if (last && last.to === from && last.status === status) last.to = to;
    else spans.push({ from, to, status });
  }
  return spans;
}
