// What uPlot does not draw by itself: spans of doubtful quality, and liquidity as a heat strip.

import { colours } from "./colours.js";

const HATCH_PX = 6;
const LABEL_MIN_PX = 30;
const DOUBTFUL = new Set(["partial", "stale"]);
const BANDS_BP = [[0, 10], [10, 25], [25, 50]];
const MIN_STRENGTH = 0.04;

// Shade spans over the whole height. What is lost is hatched, so that it does not need a colour to
// be seen; what is only doubtful is not. A word says which it is, where there is room for it.
export function drawSpans(plot, spans) {
  const { ctx, bbox } = plot;
  const scale = devicePixelRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.font = `${10 * scale}px system-ui, sans-serif`;
  ctx.textBaseline = "top";
  ctx.textAlign = "left";
  for (const { from, to, status } of spans) {
    const x = plot.valToPos(from, "x", true);
    const width = Math.max(plot.valToPos(to, "x", true) - x, scale);
    const isLost = !DOUBTFUL.has(status);
    ctx.fillStyle = isLost ? colours.missing : colours.doubtful;
    ctx.fillRect(x, bbox.top, width, bbox.height);
    if (isLost) hatch(ctx, x, bbox.top, width, bbox.height, HATCH_PX * scale);
    if (width < LABEL_MIN_PX * scale) continue;
    ctx.fillStyle = colours.quiet;
    ctx.fillText(status, Math.max(x, bbox.left) + 4 * scale, bbox.top + 2 * scale);
  }
  ctx.restore();
}

function hatch(ctx, x, y, width, height, step) {
  ctx.save();
  ctx.beginPath();
  ctx.rect(x, y, width, height);
  ctx.clip();
  ctx.beginPath();
  // Lines start at multiples of the step, so that neighbouring spans continue each other.
  for (let at = Math.floor((x - height) / step) * step; at < x + width; at += step) {
    ctx.moveTo(at, y + height);
    ctx.lineTo(at + height, y);
  }
  ctx.strokeStyle = colours["missing-line"];
  ctx.lineWidth = devicePixelRatio;
  ctx.stroke();
  ctx.restore();
}

// USD per bp of each band, asks above the mid and bids below; by its root, because a book that is
// ten times as deep far out would else leave nothing of what is near.
export function drawHeat(plot, { columns }) {
  const cells = cellsOf(columns);
  if (!cells.length) return;
  const { ctx, bbox } = plot;
  const strongest = Math.sqrt(Math.max(...cells.map((cell) => cell.density), 1));
  const ends = columns.get("end_ms");
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (const { row, side, near, far, density } of cells) {
    const right = Math.round(plot.valToPos(ends[row], "x", true));
    const left = Math.round(plot.valToPos(row ? ends[row - 1] : ends[row], "x", true));
    const up = side === "ask" ? 1 : -1;
    const [a, b] = [near, far].map((bp) => plot.valToPos(up * bp, "left", true));
    ctx.globalAlpha = Math.max(Math.sqrt(density) / strongest, MIN_STRENGTH);
    ctx.fillStyle = colours[side];
    ctx.fillRect(left, Math.min(a, b), right - left, Math.abs(b - a));
  }
  ctx.globalAlpha = 1;
  ctx.fillStyle = colours.text;
  ctx.fillRect(bbox.left, plot.valToPos(0, "left", true) - 0.5, bbox.width, 1);
  ctx.restore();
}

function cellsOf(columns) {
  const cells = [];
  for (const side of ["bid", "ask"]) {
    const depths = BANDS_BP.map(([, far]) => columns.get(`${side}_depth_${far}bp_usd_mean`));
    BANDS_BP.forEach(([near, far], band) => {
      depths[band].forEach((depth, row) => {
        if (depth === null) return;
        const inner = band ? depths[band - 1][row] : 0;
        cells.push({ row, side, near, far, density: (depth - inner) / (far - near) });
      });
    });
  }
  return cells;
}
