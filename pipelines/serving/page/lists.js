// Lists of items with reasons, and the panel of one item.
import { post, service } from "./api.js";
import { count, doing, element, nameOf, say } from "./dom.js";

const SHARES = [["from_counts", "counts", "#f28e2b"], ["from_recency", "recency", "#b07aa1"], ["from_text", "text", "#59a14f"]];
const hex = (colour) => (bar) => { bar.style.background = colour; return bar; };

// rows: items; open(item): what the name does; mark(item): a note beside the name; isNew(item): coloured; parts: of the score, as a bar.
export function fillList(holder, rows, { open, about = null, mark = () => "", isNew = () => false, title = "", parts = true }) {
  holder.replaceChildren(...rows.map((item, at) => element("li", isNew(item) ? { class: "new" } : {},
    element("span", { class: "rank" }, String(at + 1)),
    element("div", {},
      element("button", { class: "name", type: "button", title, on: { click: () => open(item) } }, element("bdi", {}, nameOf(item))),
      mark(item) ? element("span", { class: "moved" }, mark(item)) : null,
      element("div", { class: "more small soft" }, ...detail(item, parts))),
    element("div", {}, item.score === undefined ? null : element("span", { class: "small soft" }, Number(item.score).toPrecision(4)),
      about ? element("button", { class: "about", type: "button", "aria-label": `About ${nameOf(item)}`, on: { click: () => about(item) } }, "i") : null))));
}

const shown = (value) => (Array.isArray(value) ? value.join(", ") : String(value));
function detail(item, withParts) {
  const parts = [];
  if (item.title !== undefined && item.title !== null) parts.push(element("span", { class: "tag" }, String(item.item_id)));
  for (const [name, value] of Object.entries(item.columns || {}).slice(0, 5)) if (shown(value) && shown(value).length < 60) parts.push(element("span", { class: "tag" }, `${name}: ${shown(value)}`));
  if (item.reason) parts.push(...why(item, withParts));
  return parts;
}

// The parts of a score as a bar, and the nearest item of the history.
function why(item, withParts) {
  const { reason } = item, parts = [];
  const shares = SHARES.filter(([key]) => reason[key] !== undefined && reason[key] !== null);
  if (withParts && shares.length) {
    const known = shares.map(([key, name, ink]) => [name, reason[key], ink]);
    known.unshift(["vectors", known.reduce((rest, [, value]) => rest - value, item.score), "#4e79a7"]);
    const total = known.reduce((sum, [, value]) => sum + Math.abs(value), 0) || 1;
    const text = known.map(([name, value]) => `${name} ${Math.round(100 * Math.abs(value) / total)} %`).join(", ");
    parts.push(element("span", { class: "why", role: "img", "aria-label": `Parts of the score: ${text}` },
      ...known.map(([, value, ink]) => { const bar = hex(ink)(element("span")); bar.style.width = `${100 * Math.abs(value) / total}%`; return bar; })),
    element("span", {}, ...known.flatMap(([name, value, ink]) => [element("span", { class: "share" }, hex(ink)(element("span", { class: "swatch" })), `${name} ${Math.round(100 * Math.abs(value) / total)} %`), " "])));
  }
  if (reason.nearest !== undefined) {
    parts.push(element("div", {}, `like ${reason.cosine.toFixed(2)}: `, element("bdi", {}, reason.nearest_title ?? String(reason.nearest))));
  }
  return parts;
}

export const selection = { only: {} };
export function filters() { return Object.keys(selection.only).length ? { only: selection.only } : {}; }

// An item with its columns and nearest items, in a panel; go: {user, map} open other views with it.
export async function showItem(panel, id, go, run = undefined) {
  await doing(panel, async () => {
    const { items } = await post("/items/get", { items: [id], run });
    if (!items.length) { say(`No item has the id ${id}.`, true); return; }
    const item = items[0];
    panel.replaceChildren(element("h2", {}, element("bdi", {}, nameOf(item))), facts(item));
    const actions = element("p", {});
    if (service.catalogue) actions.append(
      element("button", { type: "button", on: { click: () => go("map", { item: item.item_id }) } }, "On the map"), " ",
      element("button", { type: "button", on: { click: () => go("items", { delete: item.item_id }) } }, "Delete …"));
    panel.append(actions, element("h2", {}, "Nearest items"));
    const holder = element("ol", { class: "list" }); panel.append(holder);
    await nearest(holder, item.item_id, (other) => showItem(panel, other.item_id, go, run), run);
  });
}
export function facts(item) {
  const list = element("dl", {}, element("dt", {}, "id"), element("dd", {}, String(item.item_id)));
  for (const [name, value] of Object.entries(item.columns || {})) list.append(element("dt", {}, name), element("dd", {}, shown(value)));
  list.append(element("dt", {}, "events"), element("dd", {}, item.events === undefined ? "none in the log" : count(item.events)));
  return list;
}
async function nearest(holder, id, open, run) {
  try {
    const { lists } = await post("/similar", { items: [id], k: 8, run });
    fillList(holder, lists[0].items, { open });
    for (const note of lists[0].notes) holder.append(element("li", { class: "soft small" }, element("span"), note));
  } catch (error) { holder.append(element("li", { class: "soft small" }, element("span"), error.message)); }
}
