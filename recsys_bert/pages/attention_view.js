"use strict";
// Attention by layer and head, fusion weights and nearest items of one case. Used by attention.js and by the service's page.
const INKS = ["#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#76b7b2", "#c9a227", "#ff9da7", "#9c755f", "#8cd17d"];
const inkOf = (i) => INKS[i % INKS.length];
function node(tag, text, parent, type) {
  const one = document.createElement(tag);
  if (text !== undefined) one.textContent = text;
  if (type) one.className = type;
  if (parent) parent.appendChild(one);
  return one;
}

class AttentionView {
  // find(name): the elements attention, model, fusion, nearest (sections), layer, every, heads, view, left, right, lines, reading, grid,
  // shares, states, nearest-title, nearest-note, lists.
  constructor(find) {
    this.find = find; this.layer = 0; this.token = -1; this.heads = new Set(); this.current = null;
    find("layer").addEventListener("change", (e) => this.setLayer(+e.target.value));
    find("every").addEventListener("click", () => { this.heads = this.heads.size ? new Set() : this.all(); this.draw(); });
    new ResizeObserver(() => { if (this.current && !find("attention").hidden) this.draw(); }).observe(find("view"));
  }
  all() { return new Set(Array.from({ length: this.current.attention[this.layer].heads }, (_, h) => h)); }
  // current: tokens, attention, fusion, nearest; layers: names of the states.
  open(current, layers, title, note) {
    Object.assign(this, { current, layers, token: -1 });
    const there = current.attention.findIndex((one) => one !== null), { find } = this;
    find("attention").hidden = find("model").hidden = there < 0;
    find("fusion").hidden = !current.fusion; find("nearest").hidden = !current.nearest;
    if (there >= 0) {
      if (!current.attention[this.layer]) this.layer = there;
      const choice = find("layer"); choice.replaceChildren();
      current.attention.forEach((one, i) => { if (one) node("option", String(i + 1), choice).value = i; });
      for (const side of ["left", "right"]) this.tokens(side);
      this.heads = this.all(); this.grid(); this.setLayer(this.layer);
    }
    if (current.fusion) this.fusion();
    if (current.nearest) this.nearest(title, note);
  }
  tokens(side) {
    const holder = this.find(side); holder.replaceChildren();
    this.current.tokens.forEach((text, i) => {
      const one = node(side === "left" ? "button" : "span", text, holder, "token");
      one.title = text; one.dir = "auto";
      if (side === "left") { one.type = "button"; one.addEventListener("click", () => this.choose(this.token === i ? -1 : i)); }
    });
  }
  choose(token) { this.token = token; this.draw(); }
  setLayer(next) {
    if (!this.current || !this.current.attention[next]) return;
    this.layer = next; this.find("layer").value = next; this.find("heads").replaceChildren();
    for (let h = 0; h < this.current.attention[next].heads; h++) {
      const button = node("button", String(h + 1), this.find("heads"));
      button.type = "button"; button.setAttribute("aria-label", `Head ${h + 1}`);
      button.style.borderBottom = `4px solid ${inkOf(h)}`;
      button.addEventListener("click", () => { if (this.heads.has(h)) this.heads.delete(h); else this.heads.add(h); this.draw(); });
    }
    this.draw();
  }
  bytes(one) { one.bytes ??= Uint8Array.from(atob(one.weights), (c) => c.charCodeAt(0)); return one.bytes; }
  draw() {
    const { find, current, token, heads, layer } = this, one = current.attention[layer], n = current.tokens.length;
    if (!one) return;
    [...find("heads").children].forEach((button, h) => button.setAttribute("aria-pressed", heads.has(h)));
    [...find("left").children].forEach((button, i) => { button.style.borderColor = i === token ? "var(--mark)" : "transparent"; button.setAttribute("aria-pressed", i === token); });
    const sums = this.lines(one, n);
    [...find("right").children].forEach((span, i) => { span.style.background = token >= 0 ? `color-mix(in srgb, var(--accent) ${Math.round(sums[i] * 80)}%, transparent)` : "none"; });
    let text = `Layer ${layer + 1}, ${heads.size} of ${one.heads} heads.`;
    if (token >= 0 && heads.size) {
      const best = [...sums.keys()].sort((a, b) => sums[b] - sums[a]).slice(0, 5);
      text += ` “${current.tokens[token]}” attends to ` + best.map((i) => `“${current.tokens[i]}” ${sums[i].toFixed(2)}`).join(", ") + ".";
    }
    find("reading").textContent = text;
    [...find("grid").children].forEach((button) => { const on = +button.dataset.layer === layer && heads.has(+button.dataset.head); button.style.borderColor = on ? "var(--accent)" : "transparent"; });
  }
  // Lines from the tokens that attend to those they attend to; returns the mean weight on each token.
  lines(one, n) {
    const { find, token, heads } = this, view = find("view"), canvas = find("lines"), bytes = this.bytes(one), sums = new Float64Array(n);
    const ratio = window.devicePixelRatio || 1, w = view.clientWidth, h = view.clientHeight, box = view.getBoundingClientRect();
    canvas.width = w * ratio; canvas.height = h * ratio;
    const context = canvas.getContext("2d"); context.scale(ratio, ratio);
    const start = find("left").getBoundingClientRect().right - box.left + 2, end = find("right").getBoundingClientRect().left - box.left - 2;
    const tall = find("left").children[0].getBoundingClientRect().height;
    for (const head of heads) {
      context.strokeStyle = inkOf(head);
      for (let row = 0; row < n; row++) {
        if (token >= 0 && row !== token) continue;
        for (let column = 0; column < n; column++) {
          const value = bytes[(head * n + row) * n + column] / 255 * one.most[head];
          sums[column] += value / heads.size;
          if (value < 0.02) continue;
          context.globalAlpha = Math.min(1, value); context.lineWidth = 0.6 + 2.4 * value;
          context.beginPath(); context.moveTo(start, (row + 0.5) * tall); context.lineTo(end, (column + 0.5) * tall); context.stroke();
        }
      }
    }
    return sums;
  }
  grid() {
    const { current } = this, holder = this.find("grid"), n = current.tokens.length, most = Math.max(...current.attention.map((one) => (one ? one.heads : 0)));
    holder.replaceChildren(); holder.style.gridTemplateColumns = `repeat(${most}, minmax(2.6rem, 6rem))`;
    current.attention.forEach((one, l) => {
      for (let h = 0; one && h < one.heads; h++) {
        const button = node("button", undefined, holder), canvas = node("canvas", undefined, button);
        button.type = "button"; button.dataset.layer = l; button.dataset.head = h; button.style.gridRow = l + 1; button.style.gridColumn = h + 1;
        button.setAttribute("aria-label", `Layer ${l + 1}, head ${h + 1}`); button.title = button.getAttribute("aria-label");
        canvas.width = n; canvas.height = n;
        const context = canvas.getContext("2d"), image = context.createImageData(n, n), bytes = this.bytes(one), ink = inkOf(h);
        const [r, g, b] = [1, 3, 5].map((at) => parseInt(ink.slice(at, at + 2), 16));
        for (let i = 0; i < n * n; i++) image.data.set([r, g, b, Math.round(255 * Math.sqrt(bytes[h * n * n + i] / 255))], 4 * i);
        context.putImageData(image, 0, 0);
        button.addEventListener("click", () => { this.heads = new Set([h]); this.setLayer(l); });
      }
    });
  }
  fusion() {
    const holder = this.find("shares"), legend = this.find("states"); holder.replaceChildren(); legend.replaceChildren();
    this.current.fusion.forEach((weights, i) => {
      const row = node("div", undefined, holder, "row"); node("span", this.current.tokens[i], row).title = this.current.tokens[i];
      const bar = node("div", undefined, row, "bar"), total = weights.reduce((sum, v) => sum + Math.abs(v), 0) || 1;
      weights.forEach((v, s) => { const part = node("span", "", bar); part.style.width = `${100 * Math.abs(v) / total}%`; part.style.background = inkOf(s); if (v < 0) part.style.opacity = 0.45; part.title = `${this.layers[s]}: ${v}`; });
      bar.setAttribute("role", "img"); bar.setAttribute("aria-label", weights.map((v, s) => `${this.layers[s]} ${v}`).join(", "));
    });
    this.layers.forEach((name, s) => { const line = node("span", undefined, legend); node("span", "", line, "swatch").style.background = inkOf(s); line.append(`${name}  `); });
  }
  nearest(title, note) {
    const table = this.find("lists"), lists = this.current.nearest; table.replaceChildren();
    this.find("nearest-title").textContent = title; this.find("nearest-note").textContent = note;
    const head = node("tr", undefined, node("thead", undefined, table)), body = node("tbody", undefined, table);
    this.layers.forEach((name) => { node("th", name, head).scope = "col"; });
    const most = Math.max(...lists.map((list) => list.length));
    for (let i = 0; i < most; i++) {
      const row = node("tr", undefined, body);
      for (const list of lists) { const cell = node("td", undefined, row); if (list[i]) { node("bdi", list[i][0], cell); node("span", ` ${list[i][1].toFixed(2)}`, cell, "soft small"); } }
    }
  }
}
