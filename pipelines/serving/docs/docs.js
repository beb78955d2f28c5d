"use strict";
// Renders openapi.json; all that comes from the service is set as text, never as HTML.

const element = (name, text, children = []) => {
  const node = document.createElement(name);
  if (text) node.textContent = text;
  node.append(...children);
  return node;
};

const headers = () => {
  const key = document.getElementById("key").value;
  return key ? { Authorization: `Bearer ${key}` } : {};
};

const resolve = (schema, all) => (schema && schema.$ref ? all[schema.$ref.split("/").pop()] : schema);

const typeOf = (schema, all) => {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map((one) => typeOf(one, all)).join(" or ");
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" or ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === "array") return `list of ${typeOf(schema.items, all)}`;
  if (schema.type === "object") return schema.additionalProperties ? `object of ${typeOf(schema.additionalProperties, all)}` : "object";
  return schema.type || "any";
};

const fields = (schema, all) => {
  const rows = Object.entries(schema.properties || {}).map(([name, field]) => {
    const needed = (schema.required || []).includes(name);
    const given = needed ? "required" : field.default === undefined ? "" : JSON.stringify(field.default);
    const cells = [element("td", "", [element("code", name)]), element("td", typeOf(field, all)), element("td", given)];
    return element("tr", "", [...cells, element("td", field.description || (resolve(field, all) || {}).description || "")]);
  });
  const head = element("tr", "", ["key", "type", "default", "meaning"].map((name) => element("th", name)));
  return element("table", "", [head, ...rows]);
};

const example = (schema, all, depth = 0) => {
  schema = resolve(schema, all) || {};
  if (schema.anyOf) return example(schema.anyOf[0], all, depth);
  if (schema.type === "array") return depth > 4 ? [] : [example(schema.items, all, depth + 1)];
  if (schema.type === "integer") return 1;
  if (schema.type === "number") return 0.5;
  if (schema.type === "boolean") return false;
  if (schema.type === "string") return schema.enum ? schema.enum[0] : "some text";
  const needed = Object.entries(schema.properties || {}).filter(([name]) => (schema.required || []).includes(name));
  return Object.fromEntries(needed.map(([name, field]) => [name, example(field, all, depth + 1)]));
};

const trial = (method, path, schema, all) => {
  const body = element("textarea", schema ? JSON.stringify(example(schema, all), null, 1) : "");
  const send = element("button", "send");
  const answer = element("pre", "");
  send.addEventListener("click", async () => {
    answer.textContent = "…";
    const request = { method: method.toUpperCase(), headers: headers() };
    if (schema) Object.assign(request, { body: body.value, headers: { ...request.headers, "Content-Type": "application/json" } });
    try {
      const response = await fetch(path.slice(1), request);
      const text = await response.text();
      let shown = text;
      try { shown = JSON.stringify(JSON.parse(text), null, 1); } catch (error) { /* no JSON: as it is */ }
      answer.textContent = `${response.status}\n${shown}`;
    } catch (error) { answer.textContent = String(error); }
  });
  return [...(schema ? [body] : []), send, answer];
};

const show = async () => {
  const response = await fetch("openapi.json", { headers: headers() });
  const state = document.getElementById("state");
  if (!response.ok) { state.textContent = response.status === 401 ? "Enter the API key." : `Error ${response.status}.`; return; }
  const api = await response.json();
  const all = (api.components || {}).schemas || {};
  state.textContent = `version ${api.info.version}`;
  const main = document.getElementById("endpoints");
  main.replaceChildren();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const content = operation.requestBody && operation.requestBody.content["application/json"];
      const schema = content && resolve(content.schema, all);
      const title = element("summary", "", [element("code", `${method.toUpperCase()} ${path}`), ` ${operation.description || ""}`]);
      const parts = schema ? [element("p", schema.description || ""), fields(schema, all)] : [];
      main.append(element("details", "", [title, ...parts, ...trial(method, path, schema, all)]));
    }
  }
};

document.getElementById("key").addEventListener("change", show);
show();
