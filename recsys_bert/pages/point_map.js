"use strict";
// A map of points on a canvas: pan, zoom, hover, choose, by mouse, finger and keys. Used by map.js and by the service's page.
const PALETTE = ["#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#76b7b2", "#edc948", "#ff9da7", "#9c755f", "#8cd17d"];
const CELLS = 256;

class PointMap {
  // on.pick(i), i = -1 for none; on.label(i): text beside the pointer, or nothing.
  constructor(canvas, tip, on) {
    this.canvas = canvas; this.tip = tip; this.on = on; this.context = canvas.getContext("2d");
    this.picked = -1; this.near = []; this.hits = null; this.shades = PALETTE; this.pending = false; this.image = null;
    this.set(new Float32Array(0));
    this.pointers = new Map(); this.moved = 0; this.spread = 0;
    canvas.addEventListener("pointerdown", (e) => this.down(e));
    canvas.addEventListener("pointermove", (e) => (this.pointers.has(e.pointerId) ? this.drag(e) : this.hover(e)));
    canvas.addEventListener("pointerup", (e) => this.release(e));
    canvas.addEventListener("pointercancel", (e) => this.pointers.delete(e.pointerId));
    canvas.addEventListener("pointerleave", () => { tip.style.display = "none"; });
    canvas.addEventListener("wheel", (e) => { e.preventDefault(); this.zoom(Math.exp(-e.deltaY / 400), e.offsetX, e.offsetY); }, { passive: false });
    new ResizeObserver(() => this.resized()).observe(canvas);
  }
  // xy: x and y of each point in the unit square. A grid of buckets finds the point under a finger without looking at all.
  set(xy) {
    const n = xy.length / 2, cell = (v) => Math.min(CELLS - 1, Math.max(0, Math.floor(v * CELLS)));
    const grid = new Int32Array(CELLS * CELLS + 1), members = new Int32Array(n);
    for (let i = 0; i < n; i++) grid[cell(xy[2 * i + 1]) * CELLS + cell(xy[2 * i]) + 1]++;
    for (let c = 0; c < CELLS * CELLS; c++) grid[c + 1] += grid[c];
    const cursor = grid.slice();
    for (let i = 0; i < n; i++) members[cursor[cell(xy[2 * i + 1]) * CELLS + cell(xy[2 * i])]++] = i;
    Object.assign(this, { xy, n, cell, grid, members, colours: new Uint8Array(n), hits: null, picked: -1, near: [] });
    this.fit();
  }
  paintBy(colours, shades) { this.colours = colours; this.shades = shades; this.draw(); }
  choose(i, near) { this.picked = i; this.near = near || []; this.draw(); }
  find(hits) { this.hits = hits; this.draw(); }
  sizes() { return [this.canvas.clientWidth, this.canvas.clientHeight]; }
  resized() { const before = this.size; this.size = this.sizes().join(); if (!before || before === "0,0" || this.whole) this.fit(); else this.draw(); }
  fit() {
    const [w, h] = this.sizes();
    this.scale = Math.max(1, Math.min(w, h) - 40); this.dx = (w - this.scale) / 2; this.dy = (h - this.scale) / 2;
    this.draw(); this.whole = true;
  }
  zoom(factor, px, py) {
    const [w, h] = this.sizes(); px ??= w / 2; py ??= h / 2;
    const next = Math.min(4e6, Math.max(60, this.scale * factor)); factor = next / this.scale;
    this.dx = px - (px - this.dx) * factor; this.dy = py - (py - this.dy) * factor; this.scale = next; this.whole = false; this.draw();
  }
  move(x, y) { this.dx += x; this.dy += y; this.whole = false; this.draw(); }
  centre(i) {
    const [w, h] = this.sizes(), [x, y] = this.position(i);
    if (x < 30 || y < 30 || x > w - 30 || y > h - 30) this.move(w / 2 - x, h / 2 - y);
  }
  position(i) { return [this.xy[2 * i] * this.scale + this.dx, this.xy[2 * i + 1] * this.scale + this.dy]; }
  // Arrow keys move, plus and minus zoom, 0 shows all; true if the key was one of these.
  key(key) {
    const moves = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    if (moves[key]) this.move(...moves[key]);
    else if (key === "+" || key === "=") this.zoom(1.4);
    else if (key === "-") this.zoom(1 / 1.4);
    else if (key === "0") this.fit();
    else return false;
    return true;
  }
  draw() { if (!this.pending) { this.pending = true; requestAnimationFrame(() => this.paint()); } }
  paint() {
    this.pending = false;
    const started = performance.now(), [w, h] = this.sizes(), ratio = window.devicePixelRatio || 1;
    if (!w || !h) return;
    const wide = Math.round(w * ratio), high = Math.round(h * ratio), context = this.context;
    if (this.canvas.width !== wide || this.canvas.height !== high) { this.canvas.width = wide; this.canvas.height = high; }
    const size = Math.max(1.5, Math.min(7, 30 * Math.sqrt(this.scale / 800) / Math.sqrt(Math.sqrt(this.n) + 1)));
    this.points(Math.max(1, Math.round(size * ratio)), this.scale * ratio, this.dx * ratio, this.dy * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const style = getComputedStyle(document.documentElement), ink = (name) => style.getPropertyValue(name);
    if (this.hits) for (const i of this.hits) this.dot(i, size + 2, this.shades[this.colours[i]]);
    if (this.picked >= 0) {
      context.strokeStyle = ink("--soft");
      for (const other of this.near) {
        context.beginPath(); context.moveTo(...this.position(this.picked)); context.lineTo(...this.position(other)); context.stroke();
        this.dot(other, size + 3, ink("--accent"));
      }
      this.dot(this.picked, size + 6, ink("--mark"));
    }
    document.documentElement.dataset.paint = (performance.now() - started).toFixed(1);
  }
  // All points as pixels of one image: a hundred thousand rectangles would take a tenth of a second.
  points(side, zoomed, left, top) {
    const { context, xy, n, colours } = this, w = this.canvas.width, h = this.canvas.height, half = side >> 1;
    if (!this.image || this.image.width !== w || this.image.height !== h) {
      this.image = context.createImageData(w, h); this.pixels = new Uint32Array(this.image.data.buffer);
    }
    const pixels = this.pixels, alpha = this.hits ? 40 : 215;
    pixels.fill(0);
    const inks = Uint32Array.from(this.shades, (shade) => {
      context.fillStyle = shade;  // read back as #rrggbb
      const rgb = parseInt(context.fillStyle.slice(1), 16);
      return (alpha << 24 | (rgb & 255) << 16 | rgb & 0xff00 | rgb >> 16) >>> 0;
    });
    const inset = Array.from({ length: side }, (_, row) => (side < 5 ? 0 : Math.round(side / 2 - Math.sqrt((side / 2) ** 2 - (row + 0.5 - side / 2) ** 2))));  // discs
    for (let i = 0; i < n; i++) {
      const x = (xy[2 * i] * zoomed + left | 0) - half, y = (xy[2 * i + 1] * zoomed + top | 0) - half;
      if (x < 0 || y < 0 || x + side > w || y + side > h) continue;
      const ink = inks[colours[i]];
      for (let line = 0, row = y * w + x; line < side; line++, row += w) for (let p = row + inset[line], end = row + side - inset[line]; p < end; p++) pixels[p] = ink;
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.putImageData(this.image, 0, 0);
  }
  dot(i, size, colour) {
    this.context.fillStyle = colour;
    this.context.beginPath(); this.context.arc(...this.position(i), size / 2 + 1, 0, 7); this.context.fill();
  }
  at(px, py) {
    const x = (px - this.dx) / this.scale, y = (py - this.dy) / this.scale, reach = 12 / this.scale, { cell, grid, members, xy } = this;
    let best = -1, least = reach * reach;
    for (let row = cell(y - reach); row <= cell(y + reach); row++)
      for (let column = cell(x - reach); column <= cell(x + reach); column++)
        for (let m = grid[row * CELLS + column]; m < grid[row * CELLS + column + 1]; m++) {
          const i = members[m], away = (xy[2 * i] - x) ** 2 + (xy[2 * i + 1] - y) ** 2;
          if (away < least) { least = away; best = i; }
        }
    return best;
  }
  down(e) { this.canvas.setPointerCapture(e.pointerId); this.pointers.set(e.pointerId, [e.offsetX, e.offsetY]); this.moved = 0; this.spread = 0; }
  drag(e) {
    const [x, y] = this.pointers.get(e.pointerId);
    this.pointers.set(e.pointerId, [e.offsetX, e.offsetY]);
    this.moved += Math.abs(e.offsetX - x) + Math.abs(e.offsetY - y);
    if (this.pointers.size === 1) this.move(e.offsetX - x, e.offsetY - y);
    if (this.pointers.size === 2) {
      const [[ax, ay], [bx, by]] = [...this.pointers.values()], now = Math.hypot(ax - bx, ay - by);
      if (this.spread) this.zoom(now / this.spread, (ax + bx) / 2, (ay + by) / 2);
      this.spread = now;
    }
  }
  hover(e) {
    const i = this.at(e.offsetX, e.offsetY), text = i < 0 ? "" : this.on.label(i);
    this.tip.style.display = text ? "block" : "none"; this.tip.textContent = text;
    const right = e.offsetX > this.canvas.clientWidth - 200;
    this.tip.style.left = right ? "auto" : `${e.offsetX + 12}px`;
    this.tip.style.right = right ? `${this.canvas.clientWidth - e.offsetX + 12}px` : "auto";
    this.tip.style.top = `${e.offsetY + 12}px`;
  }
  release(e) {
    if (this.pointers.size === 1 && this.moved < 6) { const i = this.at(e.offsetX, e.offsetY); if (i >= 0) this.on.pick(i); }
    this.pointers.delete(e.pointerId); this.spread = 0;
  }
}

// Colours of a column: {colours, shades, legend: [[shade, text]]}; kind "number" has numbers (null or NaN: none), else codes into values.
function columnColours(column, n) {
  const colours = new Uint8Array(n), legend = [];
  if (!column) return { colours, shades: PALETTE, legend };
  if (column.kind === "number") {
    const shades = Array.from({ length: 9 }, (_, s) => `hsl(${250 - s * 25} 70% ${45 + s * 2}%)`).concat(["#888888"]);
    const there = (v) => v !== null && !Number.isNaN(v), sorted = Array.from(column.numbers).filter(there).sort((a, b) => a - b);
    const bounds = Array.from({ length: 8 }, (_, s) => sorted[Math.floor((s + 1) / 9 * sorted.length)]);
    for (let i = 0; i < n; i++) {
      const v = column.numbers[i]; let s = 0;
      while (there(v) && s < 8 && v >= bounds[s]) s++;
      colours[i] = there(v) ? s : 9;
    }
    const short = (v) => String(Number(v.toPrecision(6)));
    if (sorted.length) for (let s = 0; s < 9; s++) if (s === 8 || !s || bounds[s] !== bounds[s - 1]) legend.push([shades[s], s < 8 ? `below ${short(bounds[s])}` : `up to ${short(sorted[sorted.length - 1])}`]);
    if (sorted.length < n) legend.push([shades[9], "missing"]);
    return { colours, shades, legend };
  }
  const shades = PALETTE.concat(["#888888"]), counts = new Map();
  for (const c of column.codes) counts.set(c, (counts.get(c) || 0) + 1);
  const top = [...counts.keys()].filter((c) => c >= 0).sort((a, b) => counts.get(b) - counts.get(a)).slice(0, 10);
  const order = new Map(top.map((c, s) => [c, s]));
  for (let i = 0; i < n; i++) colours[i] = order.has(column.codes[i]) ? order.get(column.codes[i]) : 10;
  top.forEach((c, s) => legend.push([shades[s], `${column.values[c]} (${counts.get(c).toLocaleString("en")})`]));
  const rest = n - top.reduce((sum, c) => sum + counts.get(c), 0);
  if (rest) legend.push([shades[10], `others and missing (${rest.toLocaleString("en")})`]);
  return { colours, shades, legend };
}
