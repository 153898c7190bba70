// The order of the rows as a word of the address: `mid` ascending, `-mid` descending, and
// `|ofi_usd|` by size whatever the sign.

import { STATUSES } from "./statuses.js";

const SIGNED = new Set([
  "imbalance_1", "imbalance_5", "imbalance_10", "imbalance_10bp", "imbalance_25bp", "imbalance_50bp",
  "ofi_usd", "trade_flow_usd",
]);
const WORDS = new Set(["instrument", "status"]);
const NUMBERS = new Set(["mid", "spread_bp", "age_ms", ...SIGNED]);

export const DEFAULT_ORDER = "instrument";

export function keyOf(order) {
  return order.replace(/^-|\|/g, "");
}

export function isOrder(order) {
  const key = keyOf(order);
  if (order === `|${key}|`) return SIGNED.has(key);
  return (order === key || order === `-${key}`) && (WORDS.has(key) || NUMBERS.has(key));
}

// What a column's button does next: words A–Z, Z–A; numbers by size, greatest, least first.
export function nextOrder(order, key) {
  const cycle = WORDS.has(key)
    ? [key, `-${key}`]
    : SIGNED.has(key) ? [`|${key}|`, `-${key}`, key] : [`-${key}`, key];
  return cycle[(cycle.indexOf(order) + 1) % cycle.length];
}

// The value of aria-sort, and the sign beside the column's name.
export function describe(order) {
  if (order.startsWith("|")) return ["other", "|↓|"];
  return order.startsWith("-") ? ["descending", "↓"] : ["ascending", "↑"];
}

// States in order: the unknown last, equals by name.
export function sorted(states, order) {
  const key = keyOf(order);
  const direction = order === key ? 1 : -1;
  const valueOf = order.startsWith("|") ? (state) => state[key] && Math.abs(state[key])
    : key === "status" ? (state) => STATUSES.indexOf(state.status)
    : (state) => state[key];
  const byName = (a, b) => (a.instrument < b.instrument ? -1 : a.instrument > b.instrument ? 1 : 0);
  return [...states].sort((a, b) => {
    const [x, y] = [valueOf(a), valueOf(b)];
    if (x === y) return byName(a, b);
    if (x === null || y === null) return x === null ? 1 : -1;
    return x < y ? -direction : direction;
  });
}
