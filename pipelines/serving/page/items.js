// Put an item in by its text, see where it stands, delete it.
import { idOf, post, service } from "./api.js";
import { byId, clean, element, onSubmit, say } from "./dom.js";
import { fillList } from "./lists.js";

export function makeItems(go) {
  const { catalogue } = service;
  byId("put-note").textContent = `${catalogue.words && catalogue.text_column ? `The text goes to the column ${clean(catalogue.text_column)}.` : "This service has no text vectors (--item-vectors), so new items cannot be put in."}`
    + (catalogue.durable ? " Items survive a restart." : " Items are lost when the service ends (--state keeps them).");
  byId("put-columns").replaceChildren(...catalogue.columns.filter((column) => column.name !== catalogue.text_column && column.kind !== "other").map((column) =>
    element("label", {}, `${column.name}${column.kind === "tags" ? ", by commas" : ""}`, element("input", { "data-column": column.name, "data-kind": column.kind, autocomplete: "off", inputmode: column.kind === "number" ? "decimal" : "text" }))));
  onSubmit("put-form", () => put(go));
  onSubmit("delete-form", remove);
}

async function put(go) {
  const columns = {}, text = byId("put-text").value.trim(), id = idOf(byId("put-id").value);
  for (const input of byId("put-columns").querySelectorAll("input")) {
    const value = input.value.trim(); if (!value) continue;
    const { column, kind } = input.dataset;
    columns[column] = kind === "number" ? Number(value) : kind === "tags" ? value.split(",").map((one) => one.trim()) : value;
    if (kind === "number" && !Number.isFinite(columns[column])) throw new Error(`${column} is a number; ${value} is none.`);
  }
  const answer = await post("/items", { items: [{ item_id: id, text, columns }] });
  if (!answer.put.length) { say(Object.values(answer.counts).map((one) => Object.keys(one).join(", ")).join("; ") || "The item was not put in.", true); return; }
  say(`${id} is in.`);
  byId("delete-id").value = id;
  await stands(go, id);
}
// The items that are nearest to a new one.
async function stands(go, id) {
  const { lists } = await post("/similar", { items: [id], k: 8 });
  byId("put-title").textContent = `Nearest to ${clean(id)} now`;
  fillList(byId("put-list"), lists[0].items, { open: (item) => go("search", { item: item.item_id }) });
}
async function remove() {
  const id = idOf(byId("delete-id").value), answer = await post("/items/delete", { items: [id] });
  say(answer.deleted.length ? `${id} is in no list any more.` : `No item has the id ${id}.`, !answer.deleted.length);
  byId("put-title").textContent = ""; byId("put-list").replaceChildren();
}

export async function openItems(_, { delete: id }) { if (id !== undefined) { byId("delete-id").value = id; byId("delete-id").focus(); } }
