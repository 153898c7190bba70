// One chart: a title with its explanation, the numbers at the cursor (or the last ones) as text, and
// the plot, with every span shaded whose quality is not whole.

import uPlot from "./vendor/uplot/uPlot.esm.js";
import { colours } from "./colours.js";
import * as format from "./format.js";
import { drawHeat, drawSpans } from "./draw.js";

const HEIGHT_PX = 128;
const AXIS_PX = 56;
const TIME_AXIS_PX = 22;
const RIGHT_PX = 20; // half of the last time's text
const FONT = "11px system-ui, sans-serif";
const GROUP = "charts"; // cursors of a group move together
const MIN_DRAG_PX = 6; // less is a click that slipped
const TIME_SPACE_PX = 64;
const TIME_STEPS_MS = [
  ...[1, 2, 5, 10, 15, 30].map((seconds) => seconds * 1_000),
  ...[1, 2, 5, 10, 15, 30].map((minutes) => minutes * 60_000),
  ...[1, 2, 4, 6, 12, 24, 48].map((hours) => hours * 3_600_000),
];

const AS = {
  ratio: (value) => format.signed(value, 3),
  usd: format.dollars,
  "signed usd": format.usd,
  bp: (value) => format.signed(value, 2),
  percent: format.percent,
};

export class Chart {
  // onSpan(from, to) when a span was dragged, onReset() at a double click.
  constructor(panel, { onSpan, onReset }) {
    this.panel = panel;
    this.table = null;
    this.decimals = 0;
    this.plot = null;
    this.element = make("figure", "panel");
    this.element.id = `panel-${panel.id}`;
    const details = make("details", "what");
    const summary = make("summary");
    summary.append(make("h3", "", panel.title));
    details.append(summary, make("p", "", panel.help));
    this.readouts = panel.series.map((one) => {
      const readout = make("span", "readout");
      if (one.colour) readout.dataset.colour = one.colour;
      const number = make("b");
      number.dataset.field = one.key;
      readout.append(make("span", "", one.label), number);
      return [one, number];
    });
    const line = make("div", "readouts");
    line.append(...this.readouts.map(([, number]) => number.parentElement));
    this.note = make("p", "note");
    this.place = make("div", "plot");
    this.element.append(details, line, this.place, this.note);
    this.onSpan = onSpan;
    this.onReset = onReset;
  }

  // Draw a table of history.js.
  show(table, decimals) {
    this.table = table;
    this.decimals = decimals;
    const { columns, range } = table;
    const data = [columns.get("end_ms"), ...this.#drawn().map((one) => valuesOf(one, columns))];
    if (this.plot === null) {
      this.plot = new uPlot(this.#options(), data, this.place);
      this.plot.over.addEventListener("dblclick", this.onReset);
    } else {
      this.plot.setData(data, false);
    }
    this.plot.setScale("x", { min: range[0], max: range[1] });
    this.#read(this.plot.cursor.idx);
    const isEmpty = this.panel.series.every(({ key }) => columns.get(key).every((v) => v === null));
    const text = isEmpty && columns.get("end_ms").length ? "Nothing of this is known here." : "";
    if (this.note.textContent !== text) this.note.textContent = text;
  }

  resize() {
    const width = this.place.clientWidth;
    if (!this.plot || !width || width === this.plot.width) return;
    this.plot.setSize({ width, height: HEIGHT_PX });
  }

  repaint() {
    this.plot?.redraw(false, true);
  }

  // Move the cursor to a window, without a mouse.
  pointAt(index) {
    const { plot } = this;
    if (!plot) return;
    const left = plot.valToPos(plot.data[0][index], "x");
    plot.setCursor({ left, top: plot.over.clientHeight / 2 }, true);
    this.#read(index);
  }

  // The numbers at the cursor, for those who hear them.
  spoken() {
    return this.readouts.map(([one, number]) => `${one.label} ${number.textContent}`).join(", ");
  }

  // Series that are drawn: bars are two, because a bar has the colour of its sign.
  #drawn() {
    return this.panel.series.filter((one) => !one.isHidden).flatMap((one) => {
      if (one.kind !== "bars" || one.colour) return [one];
      return [{ ...one, colour: "bid", sign: 1 }, { ...one, colour: "ask", sign: -1 }];
    });
  }

  #read(index) {
    const { columns } = this.table;
    const row = index ?? columns.get("end_ms").length - 1;
    for (const [one, number] of this.readouts) {
      const text = this.#text(one.as, columns.get(one.key)[row] ?? null);
      if (number.textContent !== text) number.textContent = text;
    }
  }

  #text(as, value) {
    return as === "price" ? format.fixed(value, this.decimals) : AS[as](value);
  }

  #options() {
    const { panel } = this;
    const drawn = this.#drawn();
    const onRight = drawn.find((one) => one.scale === "right");
    const axis = (more) => ({
      stroke: () => colours.quiet, font: FONT, ticks: { show: false }, border: { show: false },
      grid: { stroke: () => colours.line, width: 1 }, ...more,
    });
    const values = (as) => (_, splits) => splits.map((value) => this.#axisText(as, value));
    const left = panel.kind === "heat" ? "bp scale" : drawn[0].as;
    const axes = [
      axis({ size: TIME_AXIS_PX, space: TIME_SPACE_PX, incrs: TIME_STEPS_MS, values: timesOf }),
      axis({ scale: "left", size: AXIS_PX, gap: 4, space: 24, values: values(left) }),
    ];
    if (onRight) {
      axes.push(axis({
        scale: "right", side: 1, size: AXIS_PX, gap: 4, space: 24, grid: { show: false },
        values: values(onRight.as),
      }));
    }
    return {
      width: this.place.clientWidth || 400,
      height: HEIGHT_PX,
      ms: 1,
      tzDate: (ms) => uPlot.tzDate(new Date(ms), "Etc/UTC"),
      legend: { show: false },
      padding: [6, onRight ? 0 : RIGHT_PX, 0, 0],
      cursor: {
        sync: { key: GROUP },
        points: { show: panel.kind !== "heat", size: 5 },
        y: false,
        drag: { x: true, y: false, setScale: false, dist: MIN_DRAG_PX },
      },
      scales: {
        x: { time: true, auto: false },
        left: { auto: true, range: this.#rangeOf(drawn) },
        right: { auto: true, range: (_, min, max) => spread(min, max) },
      },
      axes,
      series: [{}, ...drawn.map((one) => seriesOf(one, panel.kind))],
      hooks: {
        drawClear: [
          (u) => drawSpans(u, this.table.spans),
          ...(panel.kind === "heat" ? [(u) => drawHeat(u, this.table)] : []),
        ],
        setCursor: [(u) => this.table && this.#read(u.cursor.idx)],
        setSelect: [(u) => this.#select(u)],
      },
    };
  }

  #axisText(as, value) {
    return as === "bp scale" ? format.signed(value, 0)
      : as === "ratio" ? format.signed(value, 1)
      : as === "percent" ? `${format.signed(value * 100, 3)}%`
      : as === "price" ? String(Number(value.toPrecision(9)))
      : this.#text(as, value);
  }

  #rangeOf(drawn) {
    const { range, kind } = this.panel;
    if (kind === "heat") return () => [-50, 50];
    if (range) return () => range;
    const hasZero = drawn.some((one) => one.kind === "bars");
    if (!hasZero) return (_, min, max) => spread(min, max);
    return (_, min, max) => spread(Math.min(min ?? 0, 0), Math.max(max ?? 0, 0));
  }

  #select(plot) {
    const { left, width } = plot.select;
    if (width < MIN_DRAG_PX) return;
    const [from, to] = [left, left + width].map((px) => Math.round(plot.posToVal(px, "x")));
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    if (from < to) this.onSpan(from, to);
  }
}

function valuesOf(one, columns) {
  const values = columns.get(one.key);
  if (one.kind !== "bars") return values;
  if (one.isDown) return values.map((value) => (value ? -value : null));
  const isDrawn = (value) => value && (!one.sign || Math.sign(value) === one.sign);
  return values.map((value) => (isDrawn(value) ? value : null));
}

function seriesOf(one, kind) {
  const scale = one.scale ?? "left";
  // The heat draws itself; its series only give the numbers at the cursor.
  if (kind === "heat") {
    return { scale: "usd", stroke: "transparent", paths: () => null, points: { show: false } };
  }
  const colour = () => colours[one.colour];
  if (one.kind === "bars") {
    return {
      scale, fill: colour, stroke: colour, width: 0, points: { show: false },
      paths: uPlot.paths.bars({ size: [0.8, 24], align: -1 }),
    };
  }
  return { scale, stroke: colour, width: one.width ?? 1, points: { show: false }, spanGaps: false };
}

// Seconds only where they differ, and the day where one begins; UTC.
function timesOf(_, splits, axis, space, stepMs) {
  return splits.map((ms) => {
    const text = new Date(ms).toISOString();
    if (ms % 86_400_000 === 0) return text.slice(5, 10);
    return text.slice(11, stepMs < 60_000 ? 19 : 16);
  });
}

// A tenth of air above and below; a line that stands still gets a scale, too.
function spread(min, max) {
  if (min === null || max === null || min === undefined) return [0, 1];
  const air = (max - min) * 0.1 || Math.abs(max) * 1e-4 || 1;
  return [min === 0 ? 0 : min - air, max === 0 ? 0 : max + air];
}

function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}
