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
const canvas = byId("canvas"), view = new PointMap(canvas, byId("tip"), { label, pick });
let hits = null;

function label(i) { return data.titles[i] === null ? String(data.ids[i]) : data.titles[i]; }
function element(tag, text, parent, type) {
  const one = document.createElement(tag);
  if (text !== undefined) one.textContent = text;
  if (type) one.className = type;
  if (parent) parent.appendChild(one);
  return one;
}
function neighbours(i) { return i < 0 ? [] : Array.from(near.subarray(i * k, (i + 1) * k)).filter((other) => other >= 0); }
function pick(i) {
  view.choose(i, neighbours(i));
  const panel = byId("panel"); panel.replaceChildren();
  if (i < 0) { element("p", `${n.toLocaleString("en")} items. Click one, or search.`, panel); return; }
  element("h2", label(i), panel);
  const list = element("dl", undefined, panel);
  element("dt", "id", list); element("dd", String(data.ids[i]), list);
  for (const [name, column] of Object.entries(data.columns)) {
    element("dt", name, list);
    element("dd", value(column, i), list);
  }
  element("h2", "Nearest by the model's vectors", panel);
  neighbours(i).forEach((other, j) => {
    const button = element("button", undefined, panel, "item");
    element("bdi", label(other), button);
    element("span", ` ${scores[i * k + j].toFixed(3)}`, button, "soft small");
    button.addEventListener("click", () => { pick(other); view.centre(other); });
  });
}
function value(column, i) {
  if (column.kind === "number") { const v = column.numbers[i]; return v === null ? "–" : String(v); }
  const v = column.codes[i]; return v < 0 ? "–" : column.values[v];
}
function paintBy(name) {
  const { colours, shades, legend } = columnColours(data.columns[name], n), holder = byId("legend"); holder.replaceChildren();
  for (const [shade, text] of legend) {
    const line = element("div", undefined, holder);
    element("span", "", line, "swatch").style.background = shade; element("span", text, line);
  }
  view.paintBy(colours, shades);
}
function search(text) {
  text = text.trim().toLocaleLowerCase(); hits = null;
  if (!text) { view.find(null); pick(view.picked); return; }
  hits = [];
  for (let i = 0; i < n && hits.length < 2000; i++)
    if (label(i).toLocaleLowerCase().includes(text) || String(data.ids[i]).toLocaleLowerCase().includes(text)) hits.push(i);
  const panel = byId("panel"); panel.replaceChildren();
  element("p", `${hits.length.toLocaleString("en")}${hits.length === 2000 ? " or more" : ""} found`, panel);
  for (const i of hits.slice(0, 50)) element("button", label(i), panel, "item").addEventListener("click", () => { pick(i); view.centre(i); });
  view.find(hits);
}

document.addEventListener("keydown", (e) => {
  const typing = e.target.matches("input, select");
  if (e.key === "Escape") { byId("search").value = ""; search(""); pick(-1); canvas.focus(); return; }
  if (typing && e.key === "Enter" && hits && hits.length) { pick(hits[0]); view.centre(hits[0]); canvas.focus(); return; }
  if (typing || e.ctrlKey || e.metaKey || e.altKey) return;
  if (e.key === "/") { byId("search").focus(); e.preventDefault(); }
  else if (view.key(e.key)) e.preventDefault();
  else if (e.key === "n" && n) { const i = view.picked < 0 ? 0 : near[view.picked * k]; if (i >= 0) { pick(i); view.centre(i); } }
});
byId("search").addEventListener("input", (e) => search(e.target.value));
byId("in").addEventListener("click", () => view.zoom(1.6));
byId("out").addEventListener("click", () => view.zoom(1 / 1.6));
byId("all").addEventListener("click", () => view.fit());
byId("theme").addEventListener("click", () => {
  const root = document.documentElement, dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark"; view.draw();
});
const choice = byId("colour");
for (const name of ["", ...Object.keys(data.columns)]) { const option = element("option", name || "none", choice); option.value = name; }
choice.addEventListener("change", () => paintBy(choice.value));
byId("note").textContent = data.note;
view.set(xy);
choice.value = data.colour || ""; paintBy(choice.value);
pick(-1);
const [kind, wanted] = decodeURIComponent(location.hash.slice(1)).split(/=(.*)/s);  // a link to an item or a search
if (kind === "item") pick(data.ids.findIndex((one) => String(one) === wanted));
if (kind === "search") { byId("search").value = wanted; search(wanted); }
