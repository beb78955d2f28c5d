// Text tasks to try: a card for each that a served run can do.
import { post, runsWith, send } from "./api.js";
import { byId, clean, doing, element } from "./dom.js";
/* global INKS */

const area = (value, rows = 3) => element("textarea", { rows, required: true }, value);
const choice = (names) => element("select", {}, ...Object.entries(names).map(([value, text]) => element("option", { value }, text)));
const TASKS = [
  { path: "/classify", title: "Classify", fields: { text: area("", 3) }, body: ({ text }) => ({ texts: [text], k: 8 }),
    draw: (answer) => { const [one] = answer.results; return [element("p", {}, element("strong", {}, one.labels.join(", ") || "no label reaches its threshold")), ...Object.entries(one.probabilities).map(([name, value]) => meter(name, value, `${(100 * value).toFixed(1)} %`))]; } },
  { path: "/tag", title: "Tag entities", fields: { text: area("", 3) }, body: ({ text }) => ({ texts: [text] }), draw: (answer, { text }) => entities(text, answer.results[0]) },
  { path: "/answer", title: "Answer", fields: { question: element("input", { required: true }), passage: area("", 5) }, body: ({ question, passage }) => ({ questions: [{ question, passage }] }),
    draw: (answer, { passage }) => { const [one] = answer.answers; return one ? [element("p", {}, element("strong", {}, one.text), ` ${one.score.toFixed(2)}`), spans(passage, [{ ...one, type: "answer" }], new Map([["answer", INKS[0]]]))] : ["The passage has no answer."]; } },
  { path: "/match", title: "Match two texts", fields: { first: area("", 2), second: area("", 2) }, body: ({ first, second }) => ({ pairs: [{ first, second }] }),
    draw: (answer) => { const [one] = answer.results; return [meter("similarity", Math.max(0, Math.min(1, one.similarity)), one.similarity.toFixed(3)), one.match === undefined ? "" : one.match ? "They match." : "They do not match."]; } },
  { path: "/rerank", title: "Rank documents", fields: { query: element("input", { required: true }), documents: area("", 4) }, hint: "one document a line", body: ({ query, documents }) => ({ query, documents: documents.split("\n").filter((line) => line.trim()), return_documents: true }),
    draw: (answer) => { const most = Math.max(...answer.results.map((one) => Math.abs(one.relevance_score)), 1e-9); return answer.results.map((one) => meter(one.document, Math.max(0, one.relevance_score / most), one.relevance_score.toFixed(3))); } },
  { path: "/generate", title: "Generate", fields: { text: area("", 3), by: choice({ stream: "greedy, as it comes", sample: "sampled, as it comes", best: "the run's own search, at once" }) }, work: generate },
];

export function makeTexts() {
  byId("text-cards").replaceChildren(...TASKS.filter((task) => runsWith(task.path).length).map(card));
}

function card(task) {
  const names = runsWith(task.path), run = element("select", {}, ...names.map((name) => element("option", { value: name }, name)));
  const result = element("output", { "aria-live": "polite" });
  const fields = Object.entries(task.fields).map(([name, field]) => element("label", {}, task.hint && name === "documents" ? `${name}, ${task.hint}` : name, field));
  const form = element("form", { class: "card", id: `task-${task.path.slice(1)}` }, element("h2", {}, task.title), names.length > 1 ? element("label", {}, "run", run) : null, ...fields, element("button", { type: "submit" }, task.title), result);
  const work = () => doing(form, async () => {
    const values = Object.fromEntries(Object.entries(task.fields).map(([name, field]) => [name, field.value]));
    if (task.work) { await task.work(run.value, values, result); return; }
    const answer = await post(task.path, { run: run.value, ...task.body(values) });
    result.replaceChildren(...task.draw(answer, values));
  });
  form.addEventListener("submit", (event) => { event.preventDefault(); work(); });
  form.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); form.requestSubmit(); } });
  return form;
}

// A generated text, in pieces while it is made.
async function generate(run, { text, by }, result) {
  if (by === "best") {
    const { results } = await post("/generate", { run, texts: [text] });
    result.replaceChildren(...results[0].map((one) => element("p", {}, one.text, element("span", { class: "soft small" }, one.finished ? "" : " … cut off"))));
    return;
  }
  const decoding = by === "sample" ? { search: "sample", seed: Math.floor(1e9 * Math.random()) } : {};
  const response = await send("/generate", { run, texts: [text], stream: true, decoding }), holder = element("p");
  result.replaceChildren(holder);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = "", one = await reader.read(); !one.done; one = await reader.read()) {
    const lines = (rest + one.value).split("\n"); rest = lines.pop();
    for (const line of lines.map((written) => JSON.parse(written))) {
      if (line.error) throw new Error(line.error);
      holder.append(clean(line.text ?? ""));
    }
  }
}

function meter(name, share, text) {
  const bar = element("i"); bar.style.width = `${100 * share}%`;
  return element("div", { class: "meter" }, element("span", { title: name }, name), element("span", {}, bar), element("span", {}, text));
}
function entities(text, found) {
  const inks = new Map([...new Set(found.map((one) => one.type))].sort().map((type, at) => [type, INKS[at % INKS.length]]));
  return [spans(text, found, inks), found.length ? "" : element("p", { class: "soft small" }, "No entity.")];
}
// Spans of a text as marks; offsets are characters, of which an emoji is one.
function spans(text, found, inks) {
  const characters = [...text], holder = element("p", {}); let at = 0;
  for (const one of [...found].sort((a, b) => a.start - b.start || b.stop - a.stop)) {
    if (one.start < at) continue;  // inside another one
    holder.append(element("bdi", {}, characters.slice(at, one.start).join("")));
    const mark = element("mark", { title: `${one.type} ${one.score.toFixed(2)}` }, characters.slice(one.start, one.stop).join(""), element("sub", {}, one.type));
    mark.style.setProperty("--ink", inks.get(one.type)); holder.append(mark);
    at = one.stop;
  }
  holder.append(element("bdi", {}, characters.slice(at).join("")));
  return holder;
}

export async function openTexts(_, query) {
  for (const [key, value] of Object.entries(query)) {  // #texts?classify.text=…, as a link
    const [path, name] = key.split("."), task = TASKS.find((one) => one.path === `/${path}`);
    if (task && task.fields[name]) { task.fields[name].value = value; }
  }
  for (const task of TASKS) if (Object.values(task.fields).every((field) => field.value) && byId(`task-${task.path.slice(1)}`)) byId(`task-${task.path.slice(1)}`).requestSubmit();
}
