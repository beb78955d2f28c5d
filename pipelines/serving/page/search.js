// Items by words, by meaning, or from the store, under filters by column.
import { post, service } from "./api.js";
import { byId, count, element, fillSelect, fillSuggestions, onSubmit, say } from "./dom.js";
import { fillList, filters, selection, showItem } from "./lists.js";

const WAYS = [["words", "ids, titles, words"], ["meaning", "likeness of texts"], ["store", "words in the store"]];

export function makeSearch(go) {
  const { columns, items, words, store } = service.catalogue;
  fillSelect("search-by", WAYS.filter(([way]) => way === "words" || (way === "meaning" && words) || (way === "store" && store)));
  const usable = columns.filter((column) => column.values.length && column.n_values <= items / 2);
  fillSelect("filter-column", usable.map((column) => [column.name, column.name]));
  byId("filter-form").hidden = !usable.length;
  const suggest = () => {
    const column = usable.find((one) => one.name === byId("filter-column").value);
    fillSuggestions("filter-values", column ? column.values.map((one) => [one.value, `${one.value} (${count(one.items)})`]) : []);
  };
  byId("filter-column").addEventListener("change", () => { byId("filter-value").value = ""; suggest(); }); suggest();
  onSubmit("filter-form", async () => {
    const value = byId("filter-value").value.trim(), name = byId("filter-column").value;
    if (!value) { say("Choose a value of the column.", true); return; }
    selection.only[name] = [...new Set([...(selection.only[name] || []), value])];
    byId("filter-value").value = ""; chips(); await search(go);
  });
  onSubmit("search-form", () => { go("search", { q: byId("search-words").value, by: byId("search-by").value }); });
}

function chips() {
  byId("filters").replaceChildren(...Object.entries(selection.only).flatMap(([name, values]) => values.map((value) => element("button",
    { type: "button", "aria-label": `Remove the filter ${name}: ${value}`, on: { click: () => remove(name, value) } }, `${name}: ${value} ×`))));
}
function remove(name, value) {
  selection.only[name] = selection.only[name].filter((one) => one !== value);
  if (!selection.only[name].length) delete selection.only[name];
  chips(); byId("search-form").requestSubmit();
}

// A filter of the store: a list of values a column.
function storeFilter() {
  const kinds = new Map(service.catalogue.columns.map((column) => [column.name, column.kind]));
  const quoted = (name, value) => (kinds.get(name) === "number" ? value : JSON.stringify(value));
  const parts = Object.entries(selection.only).map(([name, values]) => `${name} in (${values.map((value) => quoted(name, value)).join(", ")})`);
  return parts.length ? { filter: parts.join(" and ") } : {};
}

export async function openSearch(go, { q = "", by = "words", item }) {
  byId("search-words").value = q;
  if ([...byId("search-by").options].some((option) => option.value === by)) byId("search-by").value = by;
  await search(go);
  if (item) await showItem(byId("item-panel"), item, go);
}

async function search(go) {
  const query = byId("search-words").value.trim(), by = byId("search-by").value, k = 30;
  let items, title;
  if (by === "words" || !query) {
    const answer = await post("/items/find", { query, k, ...filters() });
    items = answer.items; title = query ? `${count(answer.total)} items` : `${count(answer.total)} items, the commonest first`;
  } else if (by === "meaning") {
    items = (await post("/recommend", { query, k, ...filters() })).lists[0].items; title = "Items whose text is like it";
  } else {
    const answer = await post("/search", { query, k, ...storeFilter() });
    items = answer.items.map((one) => ({ ...one, title: one.columns.title ?? one.text })); title = `${items.length} items of the store`;
  }
  byId("search-title").textContent = items.length ? title : "No item fits.";
  const open = (item) => { showItem(byId("item-panel"), item.item_id, go).then(() => { if (matchMedia("(max-width: 48rem)").matches) byId("item-panel").scrollIntoView({ block: "start" }); byId("item-panel").focus({ preventScroll: true }); }); };
  fillList(byId("search-list"), items, { open });
}
