"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
function unpack(text, kind) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new kind(bytes.buffer);
}
const xy = unpack(data.points, Float32Array), n = xy.length / 2;
const near = unpack(data.neighbours, Int32Array), k = n ? near.length / n : 0;
const scores = unpack(data.scores, Float32Array);
const canvas = byId("canvas"), context = canvas.getContext("2d"), stage = byId("stage"), tip = byId("tip");
const palette = ["#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#76b7b2", "#edc948", "#ff9da7", "#9c755f", "#8cd17d"];
let scale = 1, dx = 0, dy = 0, picked = -1, hits = null, colours = new Uint8Array(n), shades = palette, pending = false;

function label(i) { return data.titles[i] === null ? String(data.ids[i]) : data.titles[i]; }
function element(tag, text, parent, type) {
  const one = document.createElement(tag);
  if (text !== undefined) one.textContent = text;
  if (type) one.className = type;
  if (parent) parent.appendChild(one);
  return one;
}

// A grid of buckets finds the point under a finger without looking at all of them.
const cells = 256, grid = new Int32Array(cells * cells + 1), members = new Int32Array(n);
const cell = (v) => Math.min(cells - 1, Math.max(0, Math.floor(v * cells)));
for (let i = 0; i < n; i++) grid[cell(xy[2 * i + 1]) * cells + cell(xy[2 * i]) + 1]++;
for (let c = 0; c < cells * cells; c++) grid[c + 1] += grid[c];
const cursor = grid.slice();
for (let i = 0; i < n; i++) members[cursor[cell(xy[2 * i + 1]) * cells + cell(xy[2 * i])]++] = i;

function sizes() { return [stage.clientWidth, stage.clientHeight]; }
function fit() { const [w, h] = sizes(); scale = Math.max(1, Math.min(w, h) - 40); dx = (w - scale) / 2; dy = (h - scale) / 2; draw(); }
function draw() { if (!pending) { pending = true; requestAnimationFrame(paint); } }
function paint() {
  pending = false;
  const started = performance.now(), [w, h] = sizes(), ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
    canvas.width = Math.round(w * ratio); canvas.height = Math.round(h * ratio);
  }
  const size = Math.max(1.5, Math.min(7, 30 * Math.sqrt(scale / 800) / Math.sqrt(Math.sqrt(n) + 1)));
  points(Math.max(1, Math.round(size * ratio)), scale * ratio, dx * ratio, dy * ratio);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  const style = getComputedStyle(document.documentElement);
  if (hits) for (const i of hits) dot(i, size + 2, shades[colours[i]]);
  if (picked >= 0) {
    context.strokeStyle = style.getPropertyValue("--soft");
    for (let j = 0; j < k; j++) {
      const other = near[picked * k + j];
      if (other < 0) continue;
      context.beginPath();
      context.moveTo(xy[2 * picked] * scale + dx, xy[2 * picked + 1] * scale + dy);
      context.lineTo(xy[2 * other] * scale + dx, xy[2 * other + 1] * scale + dy);
      context.stroke();
      dot(other, size + 3, style.getPropertyValue("--accent"));
    }
    dot(picked, size + 6, style.getPropertyValue("--mark"));
  }
  document.documentElement.dataset.paint = (performance.now() - started).toFixed(1);
}
// All points as pixels of one image: a hundred thousand rectangles would take a tenth of a second.
let image = null, pixels = null;
function points(side, zoomed, left, top) {
  const w = canvas.width, h = canvas.height, half = side >> 1;
  if (!image || image.width !== w || image.height !== h) { image = context.createImageData(w, h); pixels = new Uint32Array(image.data.buffer); }
  pixels.fill(0);
  const alpha = hits ? 40 : 215;
  const inks = Uint32Array.from(shades, (shade) => {
    context.fillStyle = shade;  // read back as #rrggbb
    const rgb = parseInt(context.fillStyle.slice(1), 16);
    return (alpha << 24 | (rgb & 255) << 16 | rgb & 0xff00 | rgb >> 16) >>> 0;
  });
  for (let i = 0; i < n; i++) {
    const x = (xy[2 * i] * zoomed + left | 0) - half, y = (xy[2 * i + 1] * zoomed + top | 0) - half;
    if (x < 0 || y < 0 || x + side > w || y + side > h) continue;
    const ink = inks[colours[i]];
    for (let row = y * w + x, end = row + side * w; row < end; row += w) for (let p = row; p < row + side; p++) pixels[p] = ink;
  }
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.putImageData(image, 0, 0);
}
function dot(i, size, colour) {
  context.fillStyle = colour;
  context.beginPath();
  context.arc(xy[2 * i] * scale + dx, xy[2 * i + 1] * scale + dy, size / 2 + 1, 0, 7);
  context.fill();
}
function at(px, py) {
  const x = (px - dx) / scale, y = (py - dy) / scale, reach = 12 / scale;
  let best = -1, least = reach * reach;
  for (let row = cell(y - reach); row <= cell(y + reach); row++)
    for (let column = cell(x - reach); column <= cell(x + reach); column++)
      for (let m = grid[row * cells + column]; m < grid[row * cells + column + 1]; m++) {
        const i = members[m], away = (xy[2 * i] - x) ** 2 + (xy[2 * i + 1] - y) ** 2;
        if (away < least) { least = away; best = i; }
      }
  return best;
}
function zoom(factor, px, py) {
  const [w, h] = sizes(); px ??= w / 2; py ??= h / 2;
  const next = Math.min(4e6, Math.max(60, scale * factor)); factor = next / scale;
  dx = px - (px - dx) * factor; dy = py - (py - dy) * factor; scale = next; draw();
}
function centre(i) {
  const [w, h] = sizes(), x = xy[2 * i] * scale + dx, y = xy[2 * i + 1] * scale + dy;
  if (x < 30 || y < 30 || x > w - 30 || y > h - 30) { dx += w / 2 - x; dy += h / 2 - y; }
}
function pick(i) {
  picked = i;
  const panel = byId("panel"); panel.replaceChildren();
  if (i < 0) { element("p", `${n.toLocaleString("en")} items. Click one, or search.`, panel); draw(); return; }
  element("h2", label(i), panel);
  const list = element("dl", undefined, panel);
  element("dt", "id", list); element("dd", String(data.ids[i]), list);
  for (const [name, column] of Object.entries(data.columns)) {
    element("dt", name, list);
    element("dd", value(column, i), list);
  }
  element("h2", "Nearest by the model's vectors", panel);
  for (let j = 0; j < k; j++) {
    const other = near[i * k + j];
    if (other < 0) continue;
    const button = element("button", undefined, panel, "item");
    element("bdi", label(other), button);
    element("span", ` ${scores[i * k + j].toFixed(3)}`, button, "soft small");
    button.addEventListener("click", () => { pick(other); centre(other); });
  }
  draw();
}
function value(column, i) {
  if (column.kind === "number") { const v = column.numbers[i]; return v === null ? "–" : String(v); }
  const v = column.codes[i]; return v < 0 ? "–" : column.values[v];
}
function paintBy(name) {
  const column = data.columns[name], legend = byId("legend"); legend.replaceChildren();
  const row = (colour, text) => { const line = element("div", undefined, legend); element("span", "", line, "swatch").style.background = colour; element("span", text, line); };
  if (!column) { shades = palette; colours.fill(0); draw(); return; }
  if (column.kind === "number") {
    shades = Array.from({ length: 9 }, (_, s) => `hsl(${250 - s * 25} 70% ${45 + s * 2}%)`).concat(["#888888"]);
    const sorted = column.numbers.filter((v) => v !== null).sort((a, b) => a - b);
    const bounds = Array.from({ length: 8 }, (_, s) => sorted[Math.floor((s + 1) / 9 * sorted.length)]);
    for (let i = 0; i < n; i++) {
      const v = column.numbers[i]; let s = 0;
      while (v !== null && s < 8 && v >= bounds[s]) s++;
      colours[i] = v === null ? 9 : s;
    }
    if (sorted.length) for (let s = 0; s < 9; s++) row(shades[s], s < 8 ? `below ${bounds[s]}` : `up to ${sorted[sorted.length - 1]}`);
    row(shades[9], "missing");
  } else {
    shades = palette.concat(["#888888"]);
    const counts = new Map(); for (const c of column.codes) counts.set(c, (counts.get(c) || 0) + 1);
    const top = [...counts.keys()].filter((c) => c >= 0).sort((a, b) => counts.get(b) - counts.get(a)).slice(0, 10);
    const place = new Map(top.map((c, s) => [c, s]));
    for (let i = 0; i < n; i++) colours[i] = place.has(column.codes[i]) ? place.get(column.codes[i]) : 10;
    top.forEach((c, s) => row(shades[s], `${column.values[c]} (${counts.get(c).toLocaleString("en")})`));
    const rest = n - top.reduce((sum, c) => sum + counts.get(c), 0);
    if (rest) row(shades[10], `others and missing (${rest.toLocaleString("en")})`);
  }
  draw();
}
function search(text) {
  text = text.trim().toLocaleLowerCase();
  if (!text) { hits = null; pick(picked); return; }
  hits = [];
  for (let i = 0; i < n && hits.length < 2000; i++)
    if (label(i).toLocaleLowerCase().includes(text) || String(data.ids[i]).toLocaleLowerCase().includes(text)) hits.push(i);
  const panel = byId("panel"); panel.replaceChildren();
  element("p", `${hits.length.toLocaleString("en")}${hits.length === 2000 ? " or more" : ""} found`, panel);
  for (const i of hits.slice(0, 50)) element("button", label(i), panel, "item").addEventListener("click", () => { pick(i); centre(i); });
  draw();
}

const pointers = new Map(); let moved = 0, spread = 0;
canvas.addEventListener("pointerdown", (e) => { canvas.setPointerCapture(e.pointerId); pointers.set(e.pointerId, [e.offsetX, e.offsetY]); moved = 0; spread = 0; });
canvas.addEventListener("pointermove", (e) => {
  if (pointers.has(e.pointerId)) {
    const [x, y] = pointers.get(e.pointerId);
    pointers.set(e.pointerId, [e.offsetX, e.offsetY]);
    moved += Math.abs(e.offsetX - x) + Math.abs(e.offsetY - y);
    if (pointers.size === 1) { dx += e.offsetX - x; dy += e.offsetY - y; draw(); }
    if (pointers.size === 2) {
      const [[ax, ay], [bx, by]] = [...pointers.values()], now = Math.hypot(ax - bx, ay - by);
      if (spread) zoom(now / spread, (ax + bx) / 2, (ay + by) / 2);
      spread = now;
    }
    return;
  }
  const i = at(e.offsetX, e.offsetY);
  tip.style.display = i < 0 ? "none" : "block";
  if (i >= 0) { tip.textContent = label(i); tip.style.left = `${e.offsetX + 12}px`; tip.style.top = `${e.offsetY + 12}px`; }
});
function release(e) { if (pointers.size === 1 && moved < 6) { const i = at(e.offsetX, e.offsetY); if (i >= 0) pick(i); } pointers.delete(e.pointerId); spread = 0; }
canvas.addEventListener("pointerup", release);
canvas.addEventListener("pointercancel", (e) => pointers.delete(e.pointerId));
canvas.addEventListener("wheel", (e) => { e.preventDefault(); zoom(Math.exp(-e.deltaY / 400), e.offsetX, e.offsetY); }, { passive: false });
document.addEventListener("keydown", (e) => {
  const typing = e.target.matches("input, select");
  if (e.key === "Escape") { byId("search").value = ""; hits = null; pick(-1); canvas.focus(); return; }
  if (typing && e.key === "Enter" && hits && hits.length) { pick(hits[0]); centre(hits[0]); canvas.focus(); return; }
  if (typing || e.ctrlKey || e.metaKey || e.altKey) return;
  const moves = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
  if (e.key === "/") { byId("search").focus(); e.preventDefault(); }
  else if (moves[e.key]) { dx += moves[e.key][0]; dy += moves[e.key][1]; draw(); e.preventDefault(); }
  else if (e.key === "+" || e.key === "=") zoom(1.4);
  else if (e.key === "-") zoom(1 / 1.4);
  else if (e.key === "0") fit();
  else if (e.key === "n" && n) { const i = picked < 0 ? 0 : near[picked * k]; if (i >= 0) { pick(i); centre(i); } }
});
byId("search").addEventListener("input", (e) => search(e.target.value));
byId("in").addEventListener("click", () => zoom(1.6));
byId("out").addEventListener("click", () => zoom(1 / 1.6));
byId("all").addEventListener("click", fit);
byId("theme").addEventListener("click", () => {
  const root = document.documentElement, dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark"; draw();
});
const choice = byId("colour");
for (const name of ["", ...Object.keys(data.columns)]) { const option = element("option", name || "none", choice); option.value = name; }
choice.addEventListener("change", () => paintBy(choice.value));
choice.value = data.colour || ""; paintBy(choice.value);
byId("note").textContent = data.note;
window.addEventListener("resize", draw);
pick(-1); fit();
const [kind, wanted] = decodeURIComponent(location.hash.slice(1)).split(/=(.*)/s);  // a link to an item or a search
if (kind === "item") pick(data.ids.findIndex((one) => String(one) === wanted));
if (kind === "search") { byId("search").value = wanted; search(wanted); }
