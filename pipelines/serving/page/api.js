// Requests to the service that serves this page; the API key is asked for once, where it is needed.
import { byId } from "./dom.js";

const KEY = "recsys-bert key";
export const service = { runs: [], catalogue: null };

export const runsWith = (path) => service.runs.filter((run) => run.endpoints.includes(path)).map((run) => run.name);

const headers = () => {
  const key = sessionStorage.getItem(KEY);
  return { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
};

export async function send(path, body) {
  for (;;) {
    let response;
    try { response = await fetch(path.slice(1), { method: "POST", headers: headers(), body: JSON.stringify(body) }); } catch { throw new Error("The service does not answer."); }
    if (response.status === 401 && (await askKey())) continue;
    if (response.ok) return response;
    const answer = await response.json().catch(() => ({}));
    throw new Error(answer.error || `The service answered ${response.status}.`);
  }
}
export async function post(path, body = {}) { return (await send(path, body)).json(); }

export async function start() {
  const response = await fetch("ready").catch(() => null);
  if (!response) throw new Error("The service does not answer.");
  service.runs = (await response.json()).runs || [];
  if (runsWith("/catalogue").length) service.catalogue = await post("/catalogue");
}

// An id as the log has it: of logs of integers a whole number, as text otherwise; the service reads both.
export function idOf(text) { return text.trim(); }

let asking = null;
function askKey() {
  asking ??= new Promise((resolve) => {
    const dialog = byId("key-dialog");
    byId("key-title").textContent = sessionStorage.getItem(KEY) ? "The service does not accept this key" : "This service needs its API key";
    sessionStorage.removeItem(KEY);
    const end = (value) => { asking = null; dialog.close(); resolve(value); };
    byId("key-form").onsubmit = (event) => { event.preventDefault(); sessionStorage.setItem(KEY, byId("key").value); byId("key").value = ""; end(true); };
    byId("key-cancel").onclick = () => end(false);
    dialog.oncancel = (event) => { event.preventDefault(); end(false); };
    dialog.showModal();
  });
  return asking;
}
