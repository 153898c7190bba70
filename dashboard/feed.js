// Asks for the state of all instruments, again and again: one request at a time, less often after
// failures. Says when nothing current is known any more.

const POLL_MS = 500;
const TIMEOUT_MS = 2_000;
const OFFLINE_AFTER_MS = 2_000;
const WATCH_MS = 250;
const MAX_BACKOFF_MS = 4_000;

export class Feed {
  // onAnswer(answer) after each success; onOffline(reason, since) four times a second while nothing
  // current is known, with the ms since the last answer.
  constructor(url, { onAnswer, onOffline }) {
    this.url = url;
    this.onAnswer = onAnswer;
    this.onOffline = onOffline;
    this.heardAt = performance.now();
    this.reason = "no answer yet";
    this.failures = 0;
    this.timer = 0;
    this.asking = false;
  }

  start() {
    this.#poll();
    setInterval(() => this.#watch(), WATCH_MS);
    // A hidden tab's timers are slowed down: what it shows may be old.
    document.addEventListener("visibilitychange", () => document.hidden || this.#poll());
    window.addEventListener("online", () => this.#poll());
  }

  async #poll() {
    clearTimeout(this.timer);
    if (this.asking) return;
    this.asking = true;
    const began = performance.now();
    try {
      const answer = await getJson(this.url, TIMEOUT_MS);
      this.failures = 0;
      this.heardAt = performance.now();
      this.onAnswer(answer);
    } catch (error) {
      this.failures += 1;
      this.reason = reasonOf(error);
    } finally {
      this.asking = false;
    }
    const pause = Math.min(POLL_MS * 2 ** Math.max(this.failures - 1, 0), MAX_BACKOFF_MS);
    this.timer = setTimeout(() => this.#poll(), Math.max(pause - (performance.now() - began), 50));
  }

  #watch() {
    const since = performance.now() - this.heardAt;
    if (since < OFFLINE_AFTER_MS) return;
    this.onOffline(this.failures ? this.reason : "it takes too long to answer", since);
  }
}

// The JSON of an answer; an error with the problem's own words if it is none.
export async function getJson(url, timeoutMs) {
  const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs), cache: "no-store" });
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  throw new Error(problem.detail ?? `it answered ${response.status}`);
}

function reasonOf(error) {
  if (error.name === "TimeoutError") return "it takes too long to answer";
  return error instanceof TypeError ? "it can't be reached" : error.message;
}
