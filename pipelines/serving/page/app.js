// Tabs, links to views (#user?id=7&run=towers), keys and the theme.
import { runsWith, service, start } from "./api.js";
import { attentionKey, makeAttention, openAttention } from "./attention.js";
import { byId, doing, say } from "./dom.js";
import { makeItems, openItems } from "./items.js";
import { makeMap, openMap } from "./map.js";
import { makeSearch, openSearch } from "./search.js";
import { makeTexts, openTexts } from "./texts.js";
import { makeUser, openUser } from "./user.js";

const TEXTS = ["/classify", "/tag", "/answer", "/match", "/rerank", "/generate"];
const VIEWS = {
  search: { make: makeSearch, open: openSearch, needs: ["/items/find"], field: "search-words" },
  user: { make: makeUser, open: openUser, needs: ["/recommend"], field: "user-id" },
  map: { make: makeMap, open: openMap, needs: ["/map"], field: "map-search" },
  texts: { make: makeTexts, open: openTexts, needs: TEXTS },
  attention: { make: makeAttention, open: openAttention, needs: ["/attention"] },
  items: { make: makeItems, open: openItems, needs: ["/items"], field: "put-id" },
};
let names = [], current = "";

const go = (name, query = {}) => {
  const link = `#${name}?${new URLSearchParams(Object.entries(query).filter(([, value]) => value !== undefined && value !== ""))}`;
  if (location.hash === link) show(); else location.hash = link;
};

async function show() {
  const [, wanted, query] = /^#?([a-z]*)\??(.*)$/s.exec(location.hash) || [];
  const name = names.includes(wanted) ? wanted : names[0];
  if (!name) return;
  for (const one of Object.keys(VIEWS)) {
    byId(`panel-${one}`).hidden = one !== name;
    byId(`tab-${one}`).setAttribute("aria-selected", one === name);
    byId(`tab-${one}`).tabIndex = one === name ? 0 : -1;
  }
  if (name !== current) { current = name; say(""); byId(`tab-${name}`).scrollIntoView({ inline: "center", block: "nearest" }); }
  await doing(byId(`panel-${name}`), () => VIEWS[name].open(go, Object.fromEntries(new URLSearchParams(query))));
  document.documentElement.dataset.shown = name;  // for tests: the view is there
}

function keys(event) {
  const typing = event.target.matches("input, select, textarea");
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (step && event.target.getAttribute("role") === "tab") {
    const next = names[(names.indexOf(current) + step + names.length) % names.length];
    event.preventDefault(); byId(`tab-${next}`).focus(); go(next);
    return;
  }
  if (typing || event.ctrlKey || event.metaKey || event.altKey || event.target.id === "canvas" && event.key !== "/" && !/[1-6]/.test(event.key)) return;
  if (event.key === "/" && VIEWS[current].field) { byId(VIEWS[current].field).focus(); event.preventDefault(); }
  else if (/^[1-6]$/.test(event.key) && names[event.key - 1]) go(names[event.key - 1]);
  else if (current === "attention") attentionKey(event.key);
}

function theme() {
  const root = document.documentElement, dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
}

async function main() {
  byId("theme").addEventListener("click", theme);
  await start();
  names = Object.keys(VIEWS).filter((name) => VIEWS[name].needs.some((path) => runsWith(path).length) && (service.catalogue || ["texts", "attention"].includes(name)));
  for (const name of Object.keys(VIEWS)) byId(`tab-${name}`).hidden = !names.includes(name);
  if (!names.length) { say("No run is served that this page can show; the list of requests may help.", true); return; }
  for (const name of names) { VIEWS[name].make(go); byId(`tab-${name}`).addEventListener("click", () => go(name)); }
  document.addEventListener("keydown", keys);
  window.addEventListener("hashchange", show);
  await show();
}
main().catch((error) => say(error.message, true));
