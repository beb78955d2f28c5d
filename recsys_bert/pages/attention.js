"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const palette = ["#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#76b7b2", "#c9a227", "#ff9da7", "#9c755f", "#8cd17d"];
const colour = (i) => palette[i % palette.length];
let current = data.cases[0], layer = 0, token = -1, heads = new Set();

function element(tag, text, parent, type) {
  const one = document.createElement(tag);
  if (text !== undefined) one.textContent = text;
  if (type) one.className = type;
  if (parent) parent.appendChild(one);
  return one;
}
function unpack(one) { one.bytes ??= Uint8Array.from(atob(one.weights), (c) => c.charCodeAt(0)); return one.bytes; }
function weight(one, head, row, column) {
  const n = current.tokens.length;
  return unpack(one)[(head * n + row) * n + column] / 255 * one.most[head];
}
function show(section, visible) { byId(section).hidden = !visible; }

function open(number) {
  current = data.cases[number]; token = -1;
  const there = current.attention.findIndex((one) => one !== null);
  show("attention", there >= 0); show("model", there >= 0);
  show("fusion", current.fusion !== null); show("nearest", Boolean(current.nearest));
  if (there >= 0) {
    if (!current.attention[layer]) layer = there;
    const choice = byId("layer"); choice.replaceChildren();
    current.attention.forEach((one, i) => { if (one) element("option", String(i + 1), choice).value = i; });
    for (const side of ["left", "right"]) {
      byId(side).replaceChildren();
      current.tokens.forEach((text, i) => {
        const one = element(side === "left" ? "button" : "span", text, byId(side), "token");
        one.title = text;
        if (side === "left") { one.type = "button"; one.addEventListener("click", () => { token = token === i ? -1 : i; draw(); }); }
      });
    }
    heads = new Set(Array.from({ length: current.attention[layer].heads }, (_, h) => h));
    grid(); setLayer(layer);
  }
  if (current.fusion) fusion();
  if (current.nearest) nearest();
}
function setLayer(next) {
  if (!current.attention[next]) return;
  layer = next; byId("layer").value = layer; byId("heads").replaceChildren();
  for (let h = 0; h < current.attention[layer].heads; h++) {
    const button = element("button", String(h + 1), byId("heads"));
    button.type = "button"; button.setAttribute("aria-label", `Head ${h + 1}`);
    button.style.borderBottom = `4px solid ${colour(h)}`;
    button.addEventListener("click", () => { if (heads.has(h)) heads.delete(h); else heads.add(h); draw(); });
  }
  draw();
}
function draw() {
  const one = current.attention[layer], n = current.tokens.length, view = byId("view"), canvas = byId("lines");
  [...byId("heads").children].forEach((button, h) => button.setAttribute("aria-pressed", heads.has(h)));
  [...byId("left").children].forEach((button, i) => { button.style.borderColor = i === token ? "var(--mark)" : "transparent"; });
  const sums = new Float64Array(n), ratio = window.devicePixelRatio || 1, w = view.clientWidth, h = view.clientHeight;
  canvas.width = w * ratio; canvas.height = h * ratio;
  const context = canvas.getContext("2d"), box = view.getBoundingClientRect();
  context.scale(ratio, ratio);
  const start = byId("left").getBoundingClientRect().right - box.left + 2, end = byId("right").getBoundingClientRect().left - box.left - 2;
  const tall = byId("left").children[0].getBoundingClientRect().height;
  for (const head of heads) {
    context.strokeStyle = colour(head);
    for (let row = 0; row < n; row++) {
      if (token >= 0 && row !== token) continue;
      for (let column = 0; column < n; column++) {
        const value = weight(one, head, row, column);
        sums[column] += value / heads.size;
        if (value < 0.02) continue;
        context.globalAlpha = Math.min(1, value); context.lineWidth = 0.6 + 2.4 * value;
        context.beginPath(); context.moveTo(start, (row + 0.5) * tall); context.lineTo(end, (column + 0.5) * tall); context.stroke();
      }
    }
  }
  [...byId("right").children].forEach((span, i) => { span.style.background = token >= 0 ? `color-mix(in srgb, var(--accent) ${Math.round(sums[i] * 80)}%, transparent)` : "none"; });
  let text = `Layer ${layer + 1}, ${heads.size} of ${one.heads} heads.`;
  if (token >= 0 && heads.size) {
    const best = [...sums.keys()].sort((a, b) => sums[b] - sums[a]).slice(0, 5);
    text += ` “${current.tokens[token]}” attends to ` + best.map((i) => `“${current.tokens[i]}” ${sums[i].toFixed(2)}`).join(", ") + ".";
  }
  byId("reading").textContent = text;
  [...byId("grid").children].forEach((button) => { const on = +button.dataset.layer === layer && heads.has(+button.dataset.head); button.style.borderColor = on ? "var(--accent)" : "transparent"; });
}
function grid() {
  const holder = byId("grid"), n = current.tokens.length, most = Math.max(...current.attention.map((one) => (one ? one.heads : 0)));
  holder.replaceChildren(); holder.style.gridTemplateColumns = `repeat(${most}, minmax(2.6rem, 6rem))`;
  current.attention.forEach((one, l) => {
    for (let h = 0; one && h < one.heads; h++) {
      const button = element("button", undefined, holder), canvas = element("canvas", undefined, button);
      button.type = "button"; button.dataset.layer = l; button.dataset.head = h; button.style.gridRow = l + 1; button.style.gridColumn = h + 1;
      button.setAttribute("aria-label", `Layer ${l + 1}, head ${h + 1}`); button.title = button.getAttribute("aria-label");
      canvas.width = n; canvas.height = n;
      const context = canvas.getContext("2d"), image = context.createImageData(n, n), bytes = unpack(one), ink = colour(h);
      const [r, g, b] = [1, 3, 5].map((at) => parseInt(ink.slice(at, at + 2), 16));
      for (let i = 0; i < n * n; i++) image.data.set([r, g, b, Math.round(255 * Math.sqrt(bytes[h * n * n + i] / 255))], 4 * i);
      context.putImageData(image, 0, 0);
      button.addEventListener("click", () => { heads = new Set([h]); setLayer(l); });
    }
  });
}
function fusion() {
  const holder = byId("shares"), legend = byId("states"); holder.replaceChildren(); legend.replaceChildren();
  current.fusion.forEach((weights, i) => {
    const row = element("div", undefined, holder, "row"); element("span", current.tokens[i], row).title = current.tokens[i];
    const bar = element("div", undefined, row, "bar"), total = weights.reduce((sum, v) => sum + Math.abs(v), 0) || 1;
    weights.forEach((v, s) => { const part = element("span", "", bar); part.style.width = `${100 * Math.abs(v) / total}%`; part.style.background = colour(s); if (v < 0) part.style.opacity = 0.45; part.title = `${data.layers[s]}: ${v}`; });
    bar.setAttribute("role", "img"); bar.setAttribute("aria-label", weights.map((v, s) => `${data.layers[s]} ${v}`).join(", "));
  });
  data.layers.forEach((name, s) => { const line = element("span", undefined, legend); element("span", "", line, "swatch").style.background = colour(s); line.append(`${name}  `); });
}
function nearest() {
  const table = byId("lists"); table.replaceChildren();
  byId("nearest-title").textContent = data.nearest_title; byId("nearest-note").textContent = data.nearest_note;
  const head = element("tr", undefined, element("thead", undefined, table)), body = element("tbody", undefined, table);
  data.layers.forEach((name) => { element("th", name, head).scope = "col"; });
  const most = Math.max(...current.nearest.map((list) => list.length));
  for (let i = 0; i < most; i++) {
    const row = element("tr", undefined, body);
    for (const list of current.nearest) { const cell = element("td", undefined, row); if (list[i]) { element("bdi", list[i][0], cell); element("span", ` ${list[i][1].toFixed(2)}`, cell, "soft small"); } }
  }
}
function probes() {
  show("probe", Boolean(data.probe)); if (!data.probe) return;
  const p = data.probe, percent = (v) => `${(100 * v).toFixed(1)} %`;
  const rest = p.left_out ? ` ${p.left_out.toLocaleString("en")} positions of rarer classes are left out.` : "";
  byId("probe-note").textContent = `A logistic regression per layer reads: ${p.label}. ${p.classes} classes, ${p.rows.toLocaleString("en")} positions, half for testing.` + rest;
  const row = (name, v, ink) => { const line = element("div", undefined, byId("probes"), "row"); element("span", name, line); const bar = element("div", undefined, line, "bar"); if (v === null) { bar.textContent = "too few"; return; } const part = element("span", ` ${percent(v)}`, bar); part.style.cssText = `width:${100 * v}%;background:${ink};color:#fff;padding-left:.3rem;white-space:nowrap;font-size:.8rem`; };
  p.accuracy.forEach((v, s) => row(data.layers[s], v, colour(s)));
  row("commonest class", p.majority, "#777"); row("shuffled labels", p.shuffled, "#777");
}

const choice = byId("case");
data.cases.forEach((one, i) => { element("option", one.title, choice).value = i; });
choice.addEventListener("change", () => open(+choice.value));
byId("layer").addEventListener("change", (e) => setLayer(+e.target.value));
byId("every").addEventListener("click", () => { heads = heads.size ? new Set() : new Set(Array.from({ length: current.attention[layer].heads }, (_, h) => h)); draw(); });
byId("theme").addEventListener("click", () => {
  const root = document.documentElement, dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
document.addEventListener("keydown", (e) => {
  if (e.target.matches("select, input") || e.ctrlKey || e.metaKey || e.altKey) return;
  if (e.key === "ArrowLeft") setLayer(layer - 1);
  else if (e.key === "ArrowRight") setLayer(layer + 1);
  else if (e.key === "Escape") { token = -1; draw(); }
});
window.addEventListener("resize", () => { if (!byId("attention").hidden) draw(); });
byId("missing").textContent = data.missing.map((text) => `${text}.`).join(" ");
open(0); probes();
