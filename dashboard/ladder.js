// The depth ladder: the best levels of a book, asks above bids, and beside each price how its size
// was during the last looks at it, as a strip of heat.

import { colours, onRepaint } from "./colours.js";
import * as format from "./format.js";

const LEVELS = 12;
const LOOKS = 60;
const STRIP_PX = 90;
const MIN_STRENGTH = 0.05;

export const DEPTH = LEVELS;

export class Ladder {
  constructor(table, note) {
    this.table = table;
    this.note = note;
    this.canvas = table.parentElement.querySelector("canvas");
    this.looks = []; // Map of price → size at each look; null when the book was not live
    this.rows = { asks: [], bids: [] };
    const [asks, middle, bids] = table.tBodies;
    this.middle = middle.querySelector("td");
    for (let n = 0; n < LEVELS; n += 1) {
      this.rows.asks.push(addRow(asks, 0)); // the best one lowest
      this.rows.bids.push(addRow(bids, -1));
    }
    this.decimals = 0;
    this.stop = onRepaint(() => this.#draw());
  }

  // Begin with another instrument.
  clear() {
    this.looks = [];
    this.decimals = 0;
    this.table.dataset.changeId = "";
    this.#show(null, "");
  }

  // Say what sizes are in: USD, or the coin of a linear instrument.
  setUnit(unit) {
    this.table.querySelector("[data-unit]").textContent = unit ? `Size, ${unit}` : "Size";
  }

  // Take the answer of /v1/books.
  take({ data, meta }) {
    const isLive = meta.status === "live";
    const isThere = data.bids !== null && data.asks !== null;
    this.looks.push(isLive && isThere ? new Map([...data.bids, ...data.asks]) : null);
    this.looks = this.looks.slice(-LOOKS);
    this.table.dataset.status = meta.status;
    this.table.dataset.changeId = meta.change_id ?? "";
    const reason = !isThere ? `No book: ${meta.status}.`
      : isLive ? "" : `Not live (${meta.status}): these are the last known levels.`;
    this.#show(isThere ? data : null, reason);
  }

  // Say that no book was to be had; what is shown is not current any more.
  fail(reason) {
    this.looks.push(null);
    this.looks = this.looks.slice(-LOOKS);
    this.table.dataset.status = "stale";
    this.#show(undefined, `No new book: ${reason}`);
  }

  #show(book, reason) {
    if (this.note.textContent !== reason) this.note.textContent = reason;
    if (book !== undefined) {
      const prices = book ? [...book.bids, ...book.asks].map(([price]) => price) : [];
      this.decimals = Math.max(this.decimals, ...prices.map(format.decimalsOf));
      const sizes = book ? [...book.bids, ...book.asks].map(([, size]) => size) : [];
      const largest = Math.max(...sizes, 0);
      for (const side of ["asks", "bids"]) {
        this.#showSide(this.rows[side], book?.[side] ?? [], largest);
      }
      const [bid, ask] = [book?.bids[0]?.[0], book?.asks[0]?.[0]];
      const spread = bid && ask ? `spread ${format.fixed(ask - bid, this.decimals)}` : "–";
      if (this.middle.textContent !== spread) this.middle.textContent = spread;
    }
    this.#draw();
  }

  #showSide(rows, levels, largest) {
    let total = 0;
    rows.forEach((row, n) => {
      const level = levels[n];
      total += level ? level[1] : 0;
      row.price = level?.[0];
      const texts = level
        ? [format.fixed(level[0], this.decimals), format.size(level[1]), format.size(total)]
        : ["", "", ""];
      row.cells.forEach((cell, place) => {
        if (cell.textContent !== texts[place]) cell.textContent = texts[place];
      });
      row.bar.style.transform = `scaleX(${level ? level[1] / largest : 0})`;
    });
  }

  #draw() {
    const { canvas } = this;
    const height = canvas.parentElement.clientHeight;
    if (!height || !colours.bid) return; // not shown
    const scale = devicePixelRatio;
    const top = canvas.getBoundingClientRect().top;
    canvas.width = Math.round(STRIP_PX * scale);
    canvas.height = Math.round(height * scale);
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const known = this.looks.filter((look) => look !== null);
    const largest = Math.max(...known.flatMap((look) => [...look.values()]), 1e-12);
    const width = STRIP_PX / LOOKS;
    this.looks.forEach((look, n) => {
      if (look !== null) return;
      pen.fillStyle = colours.missing;
      pen.fillRect((LOOKS - this.looks.length + n) * width, 0, width, height);
    });
    for (const side of ["asks", "bids"]) {
      pen.fillStyle = colours[side === "asks" ? "ask" : "bid"];
      for (const row of this.rows[side]) {
        if (row.price === undefined) continue;
        const box = row.element.getBoundingClientRect();
        this.looks.forEach((look, n) => {
          const size = look?.get(row.price);
          if (size === undefined) return;
          pen.globalAlpha = Math.max(Math.sqrt(size / largest), MIN_STRENGTH);
          const x = (LOOKS - this.looks.length + n) * width;
          pen.fillRect(x, box.top - top, width, box.height - 1);
        });
      }
    }
    pen.globalAlpha = 1;
  }
}

function addRow(body, place) {
  const element = body.insertRow(place);
  const cells = [0, 1, 2].map(() => element.insertCell());
  const bar = document.createElement("span");
  bar.className = "depth-bar";
  const texts = cells.map((cell) => cell.appendChild(document.createElement("span")));
  cells[1].append(bar);
  return { element, bar, cells: texts, price: undefined };
}
