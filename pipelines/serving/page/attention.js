// Attention of a text, a user or a history, in the view that the offline page has too.
import { idOf, post, runsWith, service } from "./api.js";
import { byId, clean, fillSelect, onSubmit } from "./dom.js";
/* global AttentionView */

let view;
const isText = () => service.runs.find((run) => run.name === byId("attention-run").value)?.kind !== "recommender";

export function makeAttention(go) {
  view = new AttentionView(byId);
  fillSelect("attention-run", runsWith("/attention").map((name) => [name, name]));
  byId("attention-run").addEventListener("change", fields); fields();
  onSubmit("attention-form", () => go("attention", wanted()));
}
function fields() {
  byId("attention-text-label").hidden = !isText();
  byId("attention-user-label").hidden = byId("attention-history-label").hidden = isText();
}
function wanted() {
  const one = { run: byId("attention-run").value, max: byId("attention-length").value };
  if (isText()) one.text = byId("attention-text").value;
  else { if (byId("attention-user").value.trim()) one.user = byId("attention-user").value.trim(); if (byId("attention-history").value.trim()) one.history = byId("attention-history").value; }
  return one;
}

export async function openAttention(_, { run, user = "", history = "", text = "", max = "24" }) {
  if (run && runsWith("/attention").includes(run)) byId("attention-run").value = run;
  fields();
  if (!isText() && !user && !history) { const { users } = await post("/users/find", { k: 1 }); user = users.length ? String(users[0].user_id) : ""; }
  byId("attention-user").value = user; byId("attention-history").value = history; byId("attention-text").value = text; byId("attention-length").value = max;
  const body = { run: byId("attention-run").value, max_len: Math.max(8, Math.min(128, +max || 24)) };
  if (isText()) { if (!text.trim()) { byId("missing").textContent = "Type a text, then look."; return; } body.text = text; } else {
    if (user) body.user_id = idOf(user);
    const items = history.split(",").map((one) => one.trim()).filter(Boolean);
    if (items.length) body.history = items;
  }
  const answer = await post("/attention", body);
  byId("missing").textContent = answer.missing.map((one) => `${clean(one)}.`).join(" ");
  answer.tokens = answer.tokens.map(clean);
  if (answer.nearest) answer.nearest = answer.nearest.map((list) => list.map(([name, score]) => [clean(name), score]));
  view.open(answer, answer.layers, "Nearest items by layer", "What would be recommended if this layer's state were the encoder's last (logit lens).");
}
export function attentionKey(key) {
  if (!view || !view.current) return;
  if (key === "ArrowLeft") view.setLayer(view.layer - 1);
  else if (key === "ArrowRight") view.setLayer(view.layer + 1);
  else if (key === "Escape" && view.current.attention[view.layer]) view.choose(-1);
}
