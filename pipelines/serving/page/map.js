// The map of a run's items: positions and colours come packed; titles are read when they are looked at.
import { post, runsWith, service } from "./api.js";
import { byId, bytesOf, clean, count, doing, element, fillSelect, nameOf, say, settled } from "./dom.js";
import { facts, fillList } from "./lists.js";
/* global PointMap, columnColours */

const METHODS = { tsne: "t-SNE", umap: "UMAP", pca: "PCA" };
let view, ids = [], index = new Map(), version = "", method = "", run = "", near = [], hits = [], names = new Map(), go;

export function makeMap(open) {
  go = open;
  const runs = runsWith("/map");
  fillSelect("map-run", runs.map((name) => [name, name]));
  const colours = service.catalogue.columns.filter((column) => column.kind !== "other" && (column.kind === "number" || column.n_values <= 5000)).map((column) => [column.name, column.name]);
  fillSelect("map-colour", [["", "none"], ["count", "events"], ...colours]);
  const first = service.catalogue.columns.find((column) => column.kind === "text" && column.n_values > 1 && column.n_values <= 60);
  if (first) byId("map-colour").value = first.name;
  view = new PointMap(byId("canvas"), byId("tip"), { label, pick });
  byId("map-run").addEventListener("change", () => doing(byId("stage"), () => load(byId("map-run").value)));
  byId("map-colour").addEventListener("change", () => doing(byId("stage"), paint));
  byId("map-search").addEventListener("input", settled((event) => search(event.target.value)));
  byId("map-form").addEventListener("submit", async (event) => {
    event.preventDefault(); await search(byId("map-search").value);
    if (hits.length) { choose(hits[0].item_id); byId("canvas").focus(); }
  });
  byId("zoom-in").addEventListener("click", () => view.zoom(1.6));
  byId("zoom-out").addEventListener("click", () => view.zoom(1 / 1.6));
  byId("zoom-all").addEventListener("click", () => view.fit());
  byId("canvas").addEventListener("keydown", keys);
  byId("theme").addEventListener("click", () => view.draw());
  pick(-1);
}

export async function openMap(_, { run: wanted, item, colour, q }) {
  if (colour !== undefined && [...byId("map-colour").options].some((option) => option.value === colour)) byId("map-colour").value = colour;
  if (wanted && runsWith("/map").includes(wanted)) byId("map-run").value = wanted;
  await load(byId("map-run").value);
  if (item !== undefined) choose(item);
  if (q) { byId("map-search").value = q; await search(q); }
}

// A rough layout is shown until the final one is there.
async function load(name) {
  for (let waited = 0; ; waited++) {
    const answer = await post("/map", { run: name });
    if (byId("map-run").value !== name) return;
    byId("map-state").textContent = answer.state === "computing" ? `The items are being laid out … ${waited} s` : "";
    if (answer.state === "computing") view.set(new Float32Array(0)); else await draw(name, answer);
    if (answer.state === "ready") return;
    if (answer.state === "rough") { later(name, 1); return; }
    await new Promise((done) => setTimeout(done, 1000));
  }
}
let timer = 0;
function later(name, waited) { clearTimeout(timer); timer = setTimeout(() => finish(name, waited), 1000); }
async function finish(name, waited) {
  if (byId("map-run").value !== name || run !== name) return;
  if (byId("panel-map").hidden) { later(name, waited); return; }
  await doing(byId("map-note"), async () => {
    const answer = await post("/map", { run: name });
    if (byId("map-run").value !== name) return;
    if (answer.state === "ready") { await draw(name, answer); return; }
    byId("map-note").textContent = `${METHODS.pca}; a better layout is being made … ${waited} s`;
    later(name, waited + 1);
  });
}

async function draw(name, answer) {
  if (answer.version === version && answer.method === method && run === name) return;
  const kept = run === name && view.picked >= 0 ? ids[view.picked] : undefined;
  run = name; ({ version, method } = answer); ids = answer.ids; index = new Map(ids.map((id, i) => [String(id), i])); names = new Map();
  view.set(new Float32Array(bytesOf(answer.points)));
  byId("map-note").textContent = `${METHODS[method]}${answer.laid_out < ids.length ? ` of ${count(answer.laid_out)} items; the others lie at their nearest of these` : ""}.`;
  await paint();
  if (byId("map-search").value.trim()) await search(byId("map-search").value);
  if (kept === undefined) { if (!byId("map-search").value.trim()) pick(-1); } else if (index.has(String(kept))) choose(kept);
}

async function paint() {
  const column = byId("map-colour").value, legend = byId("legend");
  let painted = columnColours(null, ids.length);
  if (column) {
    const answer = await post("/map/colours", { run, column });
    if (answer.version !== version) { version = ""; await load(run); return; }
    const data = bytesOf(answer.data);
    painted = columnColours(answer.kind === "number" ? { kind: "number", numbers: new Float32Array(data) } : { kind: "text", codes: new Int32Array(data), values: answer.values }, ids.length);
  }
  legend.replaceChildren(...painted.legend.map(([shade, text]) => {
    const swatch = element("span", { class: "swatch" }); swatch.style.background = shade;
    return element("div", {}, swatch, text);
  }));
  view.paintBy(painted.colours, painted.shades);
}

// Titles near the pointer, read once each.
const read = settled(async (id) => {
  if (names.has(id)) return;
  const { items } = await post("/items/get", { items: [id], run }).catch(() => ({ items: [] }));
  if (items.length) { names.set(id, clean(nameOf(items[0]))); if (byId("tip").dataset.id === String(id)) byId("tip").textContent = names.get(id); }
}, 60);
function label(i) {
  const id = ids[i]; byId("tip").dataset.id = String(id); read(id);
  return names.get(id) ?? String(id);
}

function choose(id) {
  const i = index.get(String(id));
  if (i === undefined) { say(`The map has no item ${clean(id)}.`, true); return; }
  pick(i); view.centre(i);
}
async function pick(i) {
  near = []; view.choose(i, near);
  const panel = byId("map-panel");
  if (i < 0) { panel.replaceChildren(element("p", {}, ids.length ? `${count(ids.length)} items. Choose one, or search.` : "")); return; }
  await doing(panel, async () => {
    const id = ids[i], [{ items }, { lists }] = await Promise.all([post("/items/get", { items: [id], run }), post("/similar", { items: [id], k: 10, run })]);
    if (view.picked !== i) return;
    near = lists[0].items.map((item) => index.get(String(item.item_id))).filter((one) => one !== undefined);
    view.choose(i, near);
    const list = element("ol", { class: "list" });
    fillList(list, lists[0].items, { open: (item) => choose(item.item_id) });
    panel.replaceChildren(element("h2", {}, element("bdi", {}, nameOf(items[0]))), facts(items[0]),
      element("p", {}, element("button", { type: "button", on: { click: () => go("search", { item: id }) } }, "Open in search")), element("h2", {}, "Nearest by the model's vectors"), list);
  });
}

async function search(text) {
  hits = [];
  if (!text.trim()) { view.find(null); pick(view.picked); return; }
  const { items, total } = await post("/items/find", { query: text, k: 1000, run }).catch((error) => { say(error.message, true); return { items: [], total: 0 }; });
  hits = items.filter((item) => index.has(String(item.item_id)));
  view.find(hits.map((item) => index.get(String(item.item_id))));
  const list = element("ol", { class: "list" });
  fillList(list, hits.slice(0, 50), { open: (item) => choose(item.item_id) });
  byId("map-panel").replaceChildren(element("p", {}, `${count(total)} items fit.`), list);
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") { byId("map-search").value = ""; view.find(null); pick(-1); } else if (event.key === "n" && near.length) { const next = near[0]; pick(next); view.centre(next); } else if (event.key === "n" && ids.length) pick(0); else if (!view.key(event.key)) return;
  event.preventDefault();
}
