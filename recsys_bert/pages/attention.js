"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const view = new AttentionView(byId);

function open(number) { view.open(data.cases[number], data.layers, data.nearest_title, data.nearest_note); }
function probes() {
  byId("probe").hidden = !data.probe; if (!data.probe) return;
  const p = data.probe, percent = (v) => `${(100 * v).toFixed(1)} %`;
  const rest = p.left_out ? ` ${p.left_out.toLocaleString("en")} positions of rarer classes are left out.` : "";
  byId("probe-note").textContent = `A logistic regression per layer reads: ${p.label}. ${p.classes} classes, ${p.rows.toLocaleString("en")} positions, half for testing.` + rest;
  const row = (name, v, ink) => { const line = node("div", undefined, byId("probes"), "row"); node("span", name, line); const bar = node("div", undefined, line, "bar"); if (v === null) { bar.textContent = "too few"; return; } const part = node("span", ` ${percent(v)}`, bar); part.style.cssText = `width:${100 * v}%;background:${ink};color:#fff;padding-left:.3rem;white-space:nowrap;font-size:.8rem`; };
  p.accuracy.forEach((v, s) => row(data.layers[s], v, inkOf(s)));
  row("commonest class", p.majority, "#777"); row("shuffled labels", p.shuffled, "#777");
}

const choice = byId("case");
data.cases.forEach((one, i) => { node("option", one.title, choice).value = i; });
choice.addEventListener("change", () => open(+choice.value));
byId("theme").addEventListener("click", () => {
  const root = document.documentElement, dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
document.addEventListener("keydown", (e) => {
  if (e.target.matches("select, input") || e.ctrlKey || e.metaKey || e.altKey) return;
  if (e.key === "ArrowLeft") view.setLayer(view.layer - 1);
  else if (e.key === "ArrowRight") view.setLayer(view.layer + 1);
  else if (e.key === "Escape" && view.current.attention[view.layer]) view.choose(-1);
});
byId("missing").textContent = data.missing.map((text) => `${text}.`).join(" ");
open(0); probes();
