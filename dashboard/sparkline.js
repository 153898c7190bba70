// The last windows of one instrument as bars around zero. A window without a value is shaded, one
// that was never seen stays empty.

import { colours, onRepaint } from "./colours.js";

export const SLOTS = 60;
const BAR_PX = 2;
const HEIGHT_PX = 20;
const WIDTH_PX = SLOTS * BAR_PX;

const all = new Set();
const dirty = new Set();

export class Sparkline {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("aria-hidden", "true");
    this.values = new Map(); // end of the window → value
    this.end = 0;
    this.lengthMs = 0;
    this.visible = false;
    all.add(this);
  }

  // Take windows, as [end, value]; draw if one of them is new.
  add(windows, lengthMs) {
    let isNew = false;
    for (const [end, value] of windows) {
      if (this.values.has(end)) continue;
      this.values.set(end, value);
      this.end = Math.max(this.end, end);
      isNew = true;
    }
    if (!isNew) return;
    this.lengthMs = lengthMs;
    for (const end of this.values.keys()) {
      if (end <= this.end - SLOTS * lengthMs) this.values.delete(end);
    }
    this.redraw();
  }

  show(visible) {
    this.visible = visible;
    if (visible) this.redraw();
  }

  redraw() {
    if (!this.visible || !this.lengthMs) return;
    if (!dirty.size) requestAnimationFrame(drawDirty);
    dirty.add(this);
  }

  remove() {
    all.delete(this);
    dirty.delete(this);
  }

  draw() {
    const scale = window.devicePixelRatio;
    const { canvas } = this;
    const [width, height] = [Math.round(WIDTH_PX * scale), Math.round(HEIGHT_PX * scale)];
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, WIDTH_PX, HEIGHT_PX);
    const middle = HEIGHT_PX / 2;
    const largest = Math.max(...[...this.values.values()].map(Math.abs), 1);
    for (const [end, value] of this.values) {
      const x = (SLOTS - 1 - (this.end - end) / this.lengthMs) * BAR_PX;
      const height = value === null ? HEIGHT_PX : (Math.abs(value) / largest) * (middle - 0.5);
      pen.fillStyle = value === null ? colours.missing : value > 0 ? colours.bid : colours.ask;
      pen.fillRect(x, value > 0 ? middle - height : value === null ? 0 : middle, BAR_PX, height);
    }
    pen.fillStyle = colours["line-strong"];
    pen.fillRect(0, middle - 0.25, WIDTH_PX, 0.5);
  }
}

function drawDirty() {
  for (const line of dirty) line.draw();
  dirty.clear();
}

onRepaint(() => {
  for (const line of all) line.redraw();
});
