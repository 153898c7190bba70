// The states of all instruments, as they change: pushed by the server, or asked for again and again
// where it can't push. Says when nothing current is known any more.

const STREAM = "/v1/stream";
const POLLED = "/v1/imbalance";
const POLL_MS = 500;
const TIMEOUT_MS = 2_000;
const OFFLINE_AFTER_MS = 2_000; // a stream says something at least once a second
const WATCH_MS = 250;
const MAX_BACKOFF_MS = 4_000;
const STREAM_AGAIN_MS = 10_000;
const STARTING = "urn:steelyard:problem:not-ready";

export class Feed {
  // onAnswer({data, meta}) as of /v1/imbalance, whenever something has come; onOffline(reason, since,
  // isStarting) four times a second while nothing current is known, with the ms since the last answer.
  constructor({ onAnswer, onOffline }) {
    this.onAnswer = onAnswer;
    this.onOffline = onOffline;
    this.heardAt = performance.now();
    this.reason = "no answer yet";
    this.failures = 0;
    this.isStarting = false; // as it says itself
    this.timer = 0;
    this.isAsking = false;
    this.source = null;
    this.sourceAt = -Infinity; // when the stream was last begun
    this.rows = new Map();
  }

  start() {
    this.#listen();
    setInterval(() => this.#watch(), WATCH_MS);
    // A hidden tab's timers are slowed down: what it shows may be old.
    document.addEventListener("visibilitychange", () => document.hidden || this.#wake());
    window.addEventListener("online", () => this.#wake());
  }

  #wake() {
    if (this.source === null) this.#poll();
  }

  #listen() {
    this.sourceAt = performance.now();
    const source = new EventSource(STREAM);
    this.source = source;
    for (const type of ["states", "heartbeat"]) {
      source.addEventListener(type, ({ data }) => this.#take(JSON.parse(data)));
    }
    // `end` is the server's last word; the browser would come back by itself only after `error`.
    source.addEventListener("end", () => this.#fallBack());
    source.addEventListener("error", () => {
      this.reason = "it can't be reached";
      this.isStarting = false;
      this.#fallBack();
    });
  }

  // Polls tell why there is no answer, which a stream does not; it is tried again later.
  #fallBack() {
    this.source?.close();
    this.source = null;
    this.#poll();
  }

  #take(event) {
    clearTimeout(this.timer);
    if (event.whole) this.rows.clear();
    for (const row of event.states ?? []) this.rows.set(row.instrument, row);
    for (const name of event.gone ?? []) this.rows.delete(name);
    const data = [...this.rows.values()];
    for (const row of data) {
      // An age is that of the moment of sending, and grows while nothing new is sent.
      if (row.heard_ms !== null) row.age_ms = Math.max(event.as_of_ms - row.heard_ms, 0);
    }
    const simulated = data.some((row) => row.simulated);
    this.#heard({ data, meta: { as_of_ms: event.as_of_ms, worker: event.worker, simulated } });
  }

  #heard(answer) {
    this.failures = 0;
    this.heardAt = performance.now();
    this.onAnswer(answer);
  }

  async #poll() {
    clearTimeout(this.timer);
    if (this.isAsking || this.source !== null) return;
    this.isAsking = true;
    const began = performance.now();
    let retryAfterMs = 0;
    try {
      const answer = await getJson(POLLED, TIMEOUT_MS);
      this.rows = new Map(answer.data.map((row) => [row.instrument, row]));
      this.#heard(answer);
    } catch (error) {
      this.failures += 1;
      this.reason = reasonOf(error);
      this.isStarting = error.kind === STARTING;
      if (this.isStarting) retryAfterMs = error.retryAfterMs;
    } finally {
      this.isAsking = false;
    }
    if (!this.failures && performance.now() - this.sourceAt > STREAM_AGAIN_MS) return this.#listen();
    const backoff = Math.min(POLL_MS * 2 ** Math.max(this.failures - 1, 0), MAX_BACKOFF_MS);
    const pause = retryAfterMs || backoff;
    this.timer = setTimeout(() => this.#poll(), Math.max(pause - (performance.now() - began), 50));
  }

  #watch() {
    const since = performance.now() - this.heardAt;
    if (since < OFFLINE_AFTER_MS) return;
    // An open stream that says nothing any more hangs.
    if (this.source !== null) this.#fallBack();
    const reason = this.failures ? this.reason : "it takes too long to answer";
    this.onOffline(reason, since, this.isStarting && this.failures > 0);
  }
}

// The JSON of an answer; an error with the problem's own words if it is none.
export async function getJson(url, timeoutMs) {
  const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs), cache: "no-store" });
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  const error = new Error(problem.detail ?? `it answered ${response.status}`);
  error.kind = problem.type;
  error.problem = problem;
  error.retryAfterMs = 1_000 * Number(response.headers.get("Retry-After"));
  throw error;
}

function reasonOf(error) {
  if (error.name === "TimeoutError") return "it takes too long to answer";
  return error instanceof TypeError ? "it can't be reached" : error.message;
}
