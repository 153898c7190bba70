// The page: the board of all instruments, one instrument in full, and what the address remembers of
// both. Says at once when nothing current is known any more.

import { addressOf, readAddress } from "./address.js";
import { startColours } from "./colours.js";
import { Feed, getJson } from "./feed.js";
import { clock, duration } from "./format.js";
import { startKeys } from "./keys.js";
import { describe, keyOf, nextOrder } from "./order.js";
import { STATUSES, showLegend } from "./statuses.js";
import { Board } from "./table.js";

const READINESS_TIMEOUT_MS = 2_000;
const READINESS_PAUSE_MS = 2_000;
const LOAD_AGAIN_MS = 1_000;

const $ = (id) => document.getElementById(id);
const board = new Board($("board"));
const headers = [...document.querySelectorAll("th[data-key]")];
let view = readAddress();
let statuses = "";
let readinessAskedAt = -Infinity;
let instrumentView = null; // most of the code is its charts: it is loaded after the board is there
let loading = null;
let offline = null; // { sinceMs } while nothing current is known
let scrolledTo = 0;

startColours($("colours"));
showLegend($("legend"));

new Feed({
  onAnswer({ data, meta }) {
    offline = null;
    document.body.classList.remove("is-offline");
    document.title = titleOf(view);
    $("offline").hidden = true;
    $("simulated").hidden = !meta.simulated;
    board.show(data);
    load();
    takeInstrument();
    statuses = summary(data);
    const lengthMs = data.find((state) => state.window_length_ms !== null)?.window_length_ms;
    if (lengthMs) write("length", duration(lengthMs));
    write("source", `${meta.worker} · ${clock(meta.as_of_ms)} UTC`);
    showCount();
    if (!data.length) explainEmpty();
  },
  onOffline(reason, sinceMs, isStarting) {
    document.body.classList.add("is-offline");
    document.title = `Stale · ${titleOf(view)}`;
    const seconds = Math.floor(sinceMs / 1000);
    const what = isStarting ? "the server is starting, nothing is current" : "no answer from the server";
    write("offline", `Stale: ${what} for ${seconds} s (${reason}). Trying again.`);
    $("offline").hidden = false;
    offline = { sinceMs };
    board.showOffline(sinceMs);
    takeInstrument();
    if (!board.states.size) return;
    statuses = `${board.states.size} stale`;
    showCount();
  },
}).start();

// Its row of the last answer, which while there is none any more says nothing of now.
function takeInstrument() {
  if (!board.states.size) return; // not known yet, be it there or not
  instrumentView?.take(board.states.get(view.instrument), offline !== null, offline?.sinceMs ?? 0);
}

// The code of one instrument's view. What was not to be had, because the worker was away, is asked
// for again until it is there.
async function load() {
  if (instrumentView !== null || loading !== null) return;
  loading = import("./instrument.js");
  try {
    const { InstrumentView } = await loading;
    instrumentView = new InstrumentView(change);
    showInstrument();
  } catch (error) {
    console.info(`the view of one instrument is not loaded: ${error.message}`);
    setTimeout(() => {
      loading = null;
      if (view.instrument) load();
    }, LOAD_AGAIN_MS);
  }
}

function titleOf({ instrument }) {
  return instrument ? `${instrument} · Steelyard` : "Steelyard";
}

function summary(states) {
  const counts = new Map();
  for (const { status } of states) counts.set(status, (counts.get(status) ?? 0) + 1);
  return STATUSES.filter((status) => counts.has(status))
    .map((status) => `${counts.get(status)} ${status}`).join(" · ");
}

function showCount() {
  const { size } = board.rows;
  const { shown } = board;
  write("summary", shown === size ? statuses : `${shown} of ${size} · ${statuses}`);
  if (size) write("empty", `No instrument has “${view.find}” in its name.`);
  $("empty").hidden = shown > 0;
}

async function explainEmpty() {
  if (performance.now() - readinessAskedAt < READINESS_PAUSE_MS) return;
  readinessAskedAt = performance.now();
  write("summary", "No instrument yet");
  const reason = await getJson("/readyz", READINESS_TIMEOUT_MS).then(() => "", (e) => e.message);
  if (!board.rows.size) write("empty", `Waiting for the first book. ${reason}`);
}

// Text that screen readers announce must not be written anew unless it changed.
function write(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

function show() {
  if ($("find").value !== view.find) $("find").value = view.find;
  board.arrange(view.order, view.find);
  board.choose(view.instrument);
  showCount();
  const [sort, sign] = describe(view.order);
  for (const header of headers) {
    const isKey = header.dataset.key === keyOf(view.order);
    if (isKey) header.setAttribute("aria-sort", sort);
    else header.removeAttribute("aria-sort");
    header.querySelector("button").dataset.sign = isKey ? sign : "";
  }
  showInstrument();
}

function showInstrument() {
  const isOne = Boolean(view.instrument);
  const wasOne = document.body.classList.contains("has-instrument");
  if (isOne && !wasOne) scrolledTo = scrollY;
  document.body.classList.toggle("has-instrument", isOne);
  $("instrument").hidden = !isOne;
  document.title = (offline ? "Stale · " : "") + titleOf(view);
  if (isOne !== wasOne) scrollTo(0, isOne ? 0 : scrolledTo);
  $("instrument").classList.toggle("is-loading", instrumentView === null);
  if (isOne && instrumentView === null) {
    write("name", view.instrument);
    load();
  }
  instrumentView?.open(view);
  takeInstrument();
}

// Another instrument is a step that the browser's "back" undoes; the rest is not.
function change(part) {
  const isStep = "instrument" in part && part.instrument !== view.instrument;
  view = { ...view, ...part };
  if (isStep) view.from = view.to = null;
  history[isStep ? "pushState" : "replaceState"](null, "", addressOf(view));
  show();
}

for (const header of headers) {
  const { key } = header.dataset;
  header.querySelector("button").addEventListener("click", () => {
    change({ order: nextOrder(view.order, key) });
  });
}
$("find").addEventListener("input", () => change({ find: $("find").value.trim() }));
$("board").addEventListener("click", (event) => {
  const row = event.target.closest("tbody tr")?.row;
  if (!row || event.ctrlKey || event.metaKey || event.shiftKey) return; // a new tab is the browser's
  event.preventDefault();
  change({ instrument: row.name });
});
$("back").addEventListener("click", (event) => {
  event.preventDefault();
  change({ instrument: "" });
});
for (const name of ["hashchange", "popstate"]) {
  window.addEventListener(name, () => {
    view = readAddress();
    show();
  });
}
startKeys({ board, change, view: () => view, chooseLength: (n) => instrumentView?.chooseLength(n) });
show();
