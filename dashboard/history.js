// The closed windows of one instrument and length, as columns for the charts.
//
// Followed: the last MAX_WINDOWS, and new ones as they close. Or a past span, which is asked for once.

import { lengthWord } from "./address.js";
import { getJson } from "./feed.js";

export const MAX_WINDOWS = 300;
const MIN_SHOWN = 60; // a history that has just begun does not fill the chart with five windows
const MAX_SPAN_WINDOWS = 2_000;
const TIMEOUT_MS = 4_000;
const RETRY_MS = 400; // a window reaches the history a little after its end is known
const MAX_RETRY_MS = 5_000;

export class History {
  constructor(name, lengthMs, span) {
    this.name = name;
    this.lengthMs = lengthMs;
    this.span = span; // [from, to] of a past span, or null
    this.windows = [];
    this.reason = "Asking for windows…"; // why there are no (new) windows
    this.isWhole = false; // whether a past span was answered
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
    return !this.windows.length || Math.floor(clockMs / this.lengthMs) * this.lengthMs > this.end;
  }

  // Ask for what is not here yet; true if something has changed.
  async update() {
    this.isAsking = true;
    const before = [this.windows.length, this.end, this.reason].join();
    try {
      const { data } = await getJson(this.#url(), TIMEOUT_MS);
      const last = this.end;
      this.windows = [...this.windows, ...data.filter((window) => window.start_ms >= last)];
      if (this.span) this.isWhole = true;
      else this.windows = this.windows.slice(-MAX_WINDOWS);
      this.reason = this.windows.length ? "" : this.#noWindows();
      this.retryMs = data.length ? RETRY_MS : Math.min(this.retryMs * 1.5, MAX_RETRY_MS);
    } catch (error) {
      this.reason = `No new windows: ${error.message}`;
      this.retryMs = Math.min(this.retryMs * 2, MAX_RETRY_MS);
    }
    this.askAt = performance.now() + this.retryMs;
    this.isAsking = false;
    return before !== [this.windows.length, this.end, this.reason].join();
  }

  #noWindows() {
    return this.span ? "No window in this span." : "No window has closed yet.";
  }

  #url() {
    const url = `/v1/windows/${this.name}?length=${lengthWord(this.lengthMs)}`;
    if (this.span) return `${url}&from=${this.span[0]}&to=${this.span[1]}&limit=${MAX_SPAN_WINDOWS}`;
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
      for (let n = 0; n < Math.min(lost, MAX_SPAN_WINDOWS); n += 1) {
        const start = last.end_ms + n * this.lengthMs;
        rows.push({ start_ms: start, end_ms: start + this.lengthMs, status: "missing" });
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
