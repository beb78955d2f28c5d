// Elements whose texts are set as text, never as HTML, and what every view shows alike.
export const byId = (id) => document.getElementById(id);

// Control characters, and those that turn the text around them, become visible.
export const clean = (value) => String(value).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g,
  (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

// element("button", { class: "name", type: "button", on: { click } }, "text", child …)
export function element(tag, attributes = {}, ...children) {
  const one = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") for (const [event, handler] of Object.entries(value)) one.addEventListener(event, handler);
    else if (value !== undefined && value !== null && value !== false) one.setAttribute(name, value === true ? "" : clean(value));
  }
  one.append(...children.filter((child) => child !== null && child !== undefined).map((child) => (child instanceof Node ? child : clean(child))));
  return one;
}
export const nameOf = (item) => (item.title === undefined || item.title === null || item.title === "" ? String(item.item_id) : item.title);
export const count = (number) => number.toLocaleString("en");

let timer = 0;
export function say(text, isError = false) {
  const status = byId("status");
  status.textContent = clean(text); status.classList.toggle("error", isError);
  clearTimeout(timer); timer = setTimeout(() => { status.textContent = ""; }, isError ? 8000 : 4500);
}

// Run a handler; what fails is said. While it runs, the form or element is marked as busy.
export async function doing(holder, work) {
  holder.setAttribute("aria-busy", "true");
  try { return await work(); } catch (error) { say(error.message, true); return undefined; } finally { holder.removeAttribute("aria-busy"); }
}
export function onSubmit(id, work) {
  const form = byId(id);
  form.addEventListener("submit", (event) => { event.preventDefault(); doing(form, work); });
}
export function fillSelect(id, options) {
  byId(id).replaceChildren(...options.map(([value, text]) => element("option", { value }, text)));
}
export function fillSuggestions(id, options) { fillSelect(id, options); }

// Call later, once, when calls have stopped for a while.
export function settled(work, ms = 180) {
  let waiting = 0;
  return (...values) => { clearTimeout(waiting); waiting = setTimeout(() => work(...values), ms); };
}
export function bytesOf(base64) { return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)).buffer; }
