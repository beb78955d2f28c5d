// A user's history and lists, of one run or two side by side; a click is an event, and the lists are made again.
import { idOf, post, runsWith, service } from "./api.js";
import { byId, clean, count, doing, element, fillSelect, fillSuggestions, nameOf, onSubmit, say, settled } from "./dom.js";
import { fillList, filters } from "./lists.js";

let before = new Map();  // run → ids of the last list, of the user below
let user = null;

export function makeUser(go) {
  const names = runsWith("/recommend");
  fillSelect("user-run", names.map((name) => [name, name]));
  fillSelect("user-beside", [["", "no other"], ...names.map((name) => [name, name])]);
  const suggest = settled(async () => {
    const { users } = await post("/users/find", { query: byId("user-id").value.trim(), k: 12 }).catch(() => ({ users: [] }));
    fillSuggestions("user-ids", users.map((one) => [one.user_id, `${one.user_id}: ${count(one.events)} events`]));
  });
  byId("user-id").addEventListener("input", suggest); suggest();
  onSubmit("user-form", () => go("user", wanted()));
  for (const id of ["user-run", "user-beside", "user-k"]) byId(id).addEventListener("change", () => { if (byId("user-id").value.trim()) byId("user-form").requestSubmit(); });
  byId("visitor").addEventListener("click", async () => {
    const { users } = await post("/users/find", { k: 1 });
    const number = 1e9 + Math.floor(Math.random() * 1e9);
    byId("user-id").value = users.length && typeof users[0].user_id === "string" ? `visitor-${number.toString(36)}` : String(number);
    byId("user-form").requestSubmit();
  });
  byId("user-words").disabled = !service.catalogue.words;
  if (!service.catalogue.words) byId("user-words").placeholder = "needs --item-vectors";
}

function wanted() {
  const one = { id: byId("user-id").value.trim(), run: byId("user-run").value, k: byId("user-k").value };
  if (byId("user-beside").value) one.beside = byId("user-beside").value;
  if (byId("user-words").value.trim()) one.words = byId("user-words").value.trim();
  return one;
}

export async function openUser(go, { id, run, beside = "", k = "10", words = "" }) {
  if (!id) {
    const { users } = await post("/users/find", { k: 1 });
    if (!users.length) return;
    id = String(users[0].user_id);
  }
  if (id !== user) { before = new Map(); user = id; }
  byId("user-id").value = id; byId("user-words").value = words; byId("user-k").value = k; byId("user-beside").value = beside;
  if (run && runsWith("/recommend").includes(run)) byId("user-run").value = run;
  await Promise.all([showHistory(), showLists(go)]);
}

async function showHistory() {
  const answer = await post("/users/history", { user_id: idOf(user), k: 40 });
  byId("history-title").textContent = `History: ${count(answer.total)} event${answer.total === 1 ? "" : "s"}${answer.in_log ? "" : ", not in the log"}`;
  const when = (event) => [event.timestamp ? new Date(event.timestamp * 1000).toLocaleDateString() : "", event.event_type].filter(Boolean).join(" · ");
  byId("history").replaceChildren(...answer.events.map((event) => element("li", event.live ? { class: "live" } : {},
    element("div", { class: "title" }, element("bdi", {}, event.item_id === undefined ? "an item without training events" : nameOf(event))),
    element("div", { class: "soft" }, event.live ? "live · " : "", when(event)))));
  byId("history").hidden = !answer.total;
  byId("history").scrollLeft = byId("history").scrollWidth;
}

async function showLists(go) {
  const runs = [byId("user-run").value, byId("user-beside").value].filter((name, at, all) => name && all.indexOf(name) === at);
  const words = byId("user-words").value.trim(), k = Math.max(1, Math.min(100, +byId("user-k").value || 10));
  const answers = await Promise.all(runs.map((run) => post("/recommend", { user_id: idOf(user), run, k, reasons: true, ...(words ? { query: words } : {}), ...filters() })));
  const ranks = answers.map((answer) => new Map(answer.lists[0].items.map((item, at) => [item.item_id, at + 1])));
  byId("user-lists").replaceChildren(...answers.map((answer, at) => side(go, answer, ranks.length > 1 ? [answers[1 - at].run, ranks[1 - at]] : null)));
  before = new Map(answers.map((answer, at) => [answer.run, ranks[at]]));
}

const SOURCES = { history: "from the history", query: "from the words alone", popular: "popular items: nothing is known of this user" };
function side(go, answer, other) {
  const { items, source, notes } = answer.lists[0], earlier = before.get(answer.run), holder = element("ol", { class: "list" });
  const isNew = (item) => Boolean(earlier) && !earlier.has(item.item_id);
  const mark = (item) => {
    const parts = [], at = items.indexOf(item) + 1, was = earlier && earlier.get(item.item_id);
    if (isNew(item)) parts.push("new"); else if (was && was !== at) parts.push(was > at ? `▲ ${was - at}` : `▼ ${at - was}`);
    if (other) parts.push(other[1].has(item.item_id) ? `#${other[1].get(item.item_id)} in ${other[0]}` : `not in ${other[0]}`);
    return parts.join(" · ");
  };
  fillList(holder, items, { open: (item) => click(go, item), about: (item) => go("search", { item: item.item_id }), mark, isNew, title: "Send a click on this item", parts: !byId("user-words").value.trim() });  // words are no part of a reason
  const filtered = Object.entries(filters().only || {}).map(([name, values]) => `${name}: ${values.join(", ")}`).join("; ");
  return element("div", {}, element("h2", {}, `${answer.run}: ${SOURCES[source]}`), filtered ? element("p", { class: "soft small" }, `only ${filtered} (filters of the search)`) : null,
    ...notes.map((note) => element("p", { class: "soft small" }, note)), holder);
}

async function click(go, item) {
  await doing(byId("user-lists"), async () => {
    const answer = await post("/events", { events: [{ user_id: idOf(user), item_id: item.item_id }] });
    if (answer.rejected.length) { say(answer.rejected[0].reason, true); return; }
    const changed = before;
    await Promise.all([showHistory(), showLists(go)]);
    const fresh = [...changed].map(([run, ranks]) => [...(before.get(run) || new Map()).keys()].filter((id) => !ranks.has(id)).length);
    say(clean(`Clicked “${nameOf(item)}”. New in the list${fresh.length > 1 ? "s" : ""}: ${fresh.join(" and ")}.`));
  });
}
