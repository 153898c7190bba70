// What is looked at, as the part of the address after `#`: a link shows others the same.
//
//   sort=|imbalance_10|  find=btc  instrument=ETH-PERPETUAL  length=10s  from=…  to=…
//
// `from` and `to` are ms since the epoch: a past span. Without them the last windows are followed.
// What makes no sense is ignored: anybody can write an address.

import { DEFAULT_ORDER, isOrder } from "./order.js";

const NAME = /^[A-Z0-9][A-Z0-9d_-]{0,63}$/;
const LENGTH = /^([1-9]\d{0,8})(ms|s|m|h|d)$/;
const UNITS_MS = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000, ms: 1 };
const MAX_FIND = 40;

export function readAddress() {
  const words = new URLSearchParams(location.hash.slice(1));
  const take = (key, isGood, other) => (isGood(words.get(key) ?? "") ? words.get(key) : other);
  const view = {
    order: take("sort", isOrder, DEFAULT_ORDER),
    find: (words.get("find") ?? "").slice(0, MAX_FIND),
    instrument: take("instrument", (word) => NAME.test(word), ""),
    length: lengthOf(words.get("length")),
    from: timeOf(words.get("from")),
    to: timeOf(words.get("to")),
  };
  if (view.from === null || view.to === null || view.from >= view.to) view.from = view.to = null;
  return view;
}

// The address of a view; the least that says it.
export function addressOf(view) {
  const words = new URLSearchParams();
  if (view.instrument) {
    words.set("instrument", view.instrument);
    if (view.length) words.set("length", view.length);
    if (view.from !== null) {
      words.set("from", view.from);
      words.set("to", view.to);
    }
  }
  if (view.order !== DEFAULT_ORDER) words.set("sort", view.order);
  if (view.find) words.set("find", view.find);
  return words.size ? `#${words}` : location.pathname;
}

// A duration as the API writes it: 60000 is 1m.
export function lengthWord(milliseconds) {
  const [unit, size] = Object.entries(UNITS_MS).find(([, size]) => milliseconds % size === 0);
  return `${milliseconds / size}${unit}`;
}

// The same word for the same length: 60s is 1m.
function lengthOf(text) {
  const [, count, unit] = LENGTH.exec(text ?? "") ?? [];
  return count ? lengthWord(count * UNITS_MS[unit]) : "";
}

function timeOf(text) {
  return /^\d{1,15}$/.test(text ?? "") ? Number(text) : null;
}
