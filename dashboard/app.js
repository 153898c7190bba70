// The page: the board of all instruments, its order and search, which the address remembers, and
// what is known about the quality of it all.

import { Feed, getJson } from "./feed.js";
import { clock, duration } from "./format.js";
import { DEFAULT_ORDER, STATUSES, describe, isOrder, keyOf, nextOrder } from "./order.js";
import { Board } from "./table.js";

const READINESS_TIMEOUT_MS = 2_000;
const READINESS_PAUSE_MS = 2_000;

const $ = (id) => document.getElementById(id);
const board = new Board($("board"));
const headers = [...document.querySelectorAll("th[data-key]")];
const view = { order: DEFAULT_ORDER, find: "" };
let statuses = "";
let readinessAskedAt = -Infinity;

new Feed("/v1/imbalance", {
  onAnswer({ data, meta }) {
    document.body.classList.remove("is-offline");
    document.title = "Steelyard";
    $("offline").hidden = true;
    $("simulated").hidden = !meta.simulated;
    board.show(data);
    statuses = summary(data);
    const lengthMs = data.find((state) => state.window_length_ms !== null)?.window_length_ms;
    if (lengthMs) write("length", duration(lengthMs));
    write("source", `${meta.worker} · ${clock(meta.as_of_ms)} UTC`);
    showCount();
    if (!data.length) explainEmpty();
  },
  onOffline(reason, sinceMs) {
    document.body.classList.add("is-offline");
    document.title = "Stale · Steelyard";
    const seconds = Math.floor(sinceMs / 1000);
    write("offline", `Stale: no answer from the server for ${seconds} s (${reason}). Trying again.`);
    $("offline").hidden = false;
    board.showOffline(sinceMs);
  },
}).start();

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

function arrange() {
  board.arrange(view.order, view.find);
  showCount();
  const [sort, sign] = describe(view.order);
  for (const header of headers) {
    const isKey = header.dataset.key === keyOf(view.order);
    if (isKey) header.setAttribute("aria-sort", sort);
    else header.removeAttribute("aria-sort");
    header.querySelector("button").dataset.sign = isKey ? sign : "";
  }
}

function readAddress() {
  const address = new URLSearchParams(location.hash.slice(1));
  const order = address.get("sort") ?? DEFAULT_ORDER;
  view.order = isOrder(order) ? order : DEFAULT_ORDER;
  view.find = address.get("find") ?? "";
  if ($("find").value !== view.find) $("find").value = view.find;
  arrange();
}

function change(part) {
  Object.assign(view, part);
  const address = new URLSearchParams();
  if (view.order !== DEFAULT_ORDER) address.set("sort", view.order);
  if (view.find) address.set("find", view.find);
  history.replaceState(null, "", address.size ? `#${address}` : location.pathname);
  arrange();
}

for (const header of headers) {
  const { key } = header.dataset;
  header.querySelector("button").addEventListener("click", () => {
    change({ order: nextOrder(view.order, key) });
  });
}
$("find").addEventListener("input", () => change({ find: $("find").value.trim() }));
$("find").addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  $("find").value = "";
  change({ find: "" });
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target === $("find")) return;
  event.preventDefault();
  $("find").focus();
});
window.addEventListener("hashchange", readAddress);
readAddress();
