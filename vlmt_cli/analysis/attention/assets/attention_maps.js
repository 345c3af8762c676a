// The right side: all layers and heads at once, and one map enlarged, as lines or as a matrix.

function drawOverview() {
  const { kind } = state, grid = by("overview");
  const columns = kind.heads + 1, room = grid.parentElement.clientWidth - 46;
  const cell = Math.max(18, Math.min(92, Math.floor(room / columns) - 3));
  grid.replaceChildren();
  grid.style.gridTemplateColumns = `38px repeat(${columns}, ${cell}px)`;
  const heads = [...Array(kind.heads).keys(), null], layers = [...Array(kind.layers).keys(), null];
  element("span", { textContent: "layer" }, grid);
  for (const head of heads) element("span", { textContent: head ?? "mean", title: `head ${head ?? "mean"}` }, grid);
  for (const layer of layers) {
    element("span", { textContent: layer ?? "mean" }, grid);
    for (const head of heads) {
      const title = `${layer === null ? "mean of layers" : `layer ${layer}`}, ${head === null ? "mean of heads"
        : `head ${head}`}`;
      const cellButton = button(grid, "", { title }, () => choose({ layer, head }));
      cellButton.style.width = cellButton.style.height = `${cell}px`;
      cellButton.setAttribute("aria-label", title);
      cellButton.setAttribute("aria-pressed", layer === state.layer && head === state.head);
      cellButton.append(picture(kind, pick(kind, layer, head), kind.largest));
    }
  }
}

// One dot a pair of query and key.
function picture(kind, map, largest) {
  const width = names[kind.keys].length, height = names[kind.queries].length;
  const canvas = element("canvas", { width, height }), context = canvas.getContext("2d");
  const dots = context.createImageData(width, height);
  map.forEach((share, at) => dots.data.set([...shade(share, largest, width), 255], 4 * at));
  context.putImageData(dots, 0, 0);
  return canvas;
}

const detail = { hit: () => null };

function drawDetail() {
  const canvas = by("detail"), room = canvas.parentElement.clientWidth, map = current();
  const largest = map.reduce((most, share) => Math.max(most, share), 0);
  (state.form === "lines" ? drawLines : drawMatrix)(canvas, room, map, largest);
  const even = 1 / names[state.kind.keys].length;
  by("scale").textContent = `The most: ${percent(largest)}. Were attention even, each would get ${percent(even)}`
    + (state.form === "lines" && !state.focus ? "; lines show what gets more." : ".");
}

function fitCanvas(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
  Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.textBaseline = "middle";
  return context;
}

function font(context, size, bold) {
  context.font = `${bold ? "600 " : ""}${size}px system-ui, "DejaVu Sans", sans-serif`;
}

function fitted(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  let end = text.length;
  while (end > 1 && context.measureText(text.slice(0, end) + "…").width > room) end--;
  return text.slice(0, end) + "…";
}

// Queries at the left, keys at the right, a line for each pair, as in figures 11 to 13: of all together only what is
// more than even attention, or they would be a blur.
function drawLines(canvas, room, map, largest) {
  const { queries, keys } = state.kind, from = names[queries], to = names[keys], many = Math.max(from.length, to.length);
  const height = many * Math.max(10, Math.min(24, 620 / many)), width = Math.min(room, 560);
  const side = Math.min(120, width / 4), step = list => Math.min(24, height / list.length);
  const context = fitCanvas(canvas, width, height + 26);
  const y = (list, index) => 22 + height / 2 + (index + 0.5 - list.length / 2) * step(list);
  const { focus } = state;
  const isOn = (q, k) => !focus || (focus.stream === queries ? q === focus.index : k === focus.index);
  const scale = focus ? Math.max(...looked().shares) : largest, even = focus ? 0 : 1 / to.length;
  context.lineWidth = Math.max(1, Math.min(2.5, height / many / 6));
  for (let q = 0; q < from.length; q++) for (let k = 0; k < to.length; k++) {
    const share = map[q * to.length + k];
    if (!isOn(q, k) || share <= even) continue;
    context.strokeStyle = `rgba(91, 43, 196, ${((share - even) / (scale - even)).toFixed(3)})`;
    context.beginPath();
    context.moveTo(side + 6, y(from, q));
    context.lineTo(width - side - 6, y(to, k));
    context.stroke();
  }
  const column = (list, stream, right) => {
    const shown = focus ? looked() : null;
    list.forEach((name, index) => {
      const here = y(list, index), inFocus = focus && focus.stream === stream && focus.index === index
        && right === (stream !== queries);
      if (shown && shown.stream === stream && right === shown.asks) {
        context.fillStyle = `rgba(91, 43, 196, ${((0.35 * shown.shares[index]) / scale).toFixed(3)})`;
        context.fillRect(right ? width - side : 0, here - step(list) / 2, side, step(list) - 1);
      }
      font(context, Math.min(13, step(list)), inFocus);
      context.fillStyle = focus && !inFocus && right !== shown.asks ? "#a9a6b2" : "#1c1b22";
      context.textAlign = right ? "left" : "right";
      context.fillText(fitted(context, name, side - 4), right ? width - side + 2 : side - 2, here);
    });
  };
  column(from, queries, false);
  column(to, keys, true);
  font(context, 11, false);
  context.fillStyle = "#6a6874";
  context.textAlign = "right";
  context.fillText("asks", side - 2, 8);
  context.textAlign = "left";
  context.fillText("is asked", width - side + 2, 8);
  detail.hit = (x, top) => {
    const right = x > width / 2, list = right ? to : from, index = Math.floor((top - y(list, 0)) / step(list) + 0.5);
    return index >= 0 && index < list.length ? { stream: right ? keys : queries, index } : null;
  };
}

function drawMatrix(canvas, room, map, largest) {
  const { queries, keys } = state.kind, from = names[queries], to = names[keys], { focus } = state;
  const side = 84, above = 84, fit = (room, count) => Math.max(3, Math.min(26, room / count));
  const wide = fit(Math.min(room, 640) - side - 4, to.length), high = fit(Math.max(640, 7 * from.length), from.length);
  const context = fitCanvas(canvas, side + wide * to.length + 2, above + high * from.length + 2);
  context.imageSmoothingEnabled = false;
  context.drawImage(picture(state.kind, map, largest), side, above, wide * to.length, high * from.length);
  context.strokeStyle = "#d8d5e0";
  context.strokeRect(side - 0.5, above - 0.5, wide * to.length + 1, high * from.length + 1);
  const write = (list, stream, asks, room, put) => list.forEach((name, index) => {
    const here = focus && focus.stream === stream && focus.index === index && asks === (stream === queries);
    if (index % Math.ceil(9 / room) && !here) return;
    font(context, Math.max(8.5, Math.min(12, room)), here);
    context.fillStyle = here ? "#5b2bc4" : "#1c1b22";
    put(fitted(context, name, side - 8), index);
  });
  context.textAlign = "right";
  write(from, queries, true, high, (text, row) => context.fillText(text, side - 4, above + (row + 0.5) * high));
  context.textAlign = "left";
  write(to, keys, false, wide, (text, column) => {
    context.save();
    context.translate(side + (column + 0.5) * wide, above - 4);
    context.rotate(-Math.PI / 2);
    context.fillText(text, 0, 0);
    context.restore();
  });
  if (focus) {
    context.strokeStyle = "#111";
    context.lineWidth = 1.5;
    if (focus.stream === queries) context.strokeRect(side, above + focus.index * high, wide * to.length, high);
    else context.strokeRect(side + focus.index * wide, above, wide, high * from.length);
  }
  detail.hit = (x, top) => {
    const row = Math.floor((top - above) / high), column = Math.floor((x - side) / wide);
    if (row >= 0 && row < from.length && column < to.length) return { stream: queries, index: row };
    return top < above && column >= 0 && column < to.length ? { stream: keys, index: column } : null;
  };
}

// Where attention goes on average: the patterns of figure 11 (the word before, the word after, all words alike).
function drawPattern() {
  const { queries, keys } = state.kind, map = current(), width = names[keys].length;
  const sums = {};
  let spread = 0;
  for (let q = 0; q < names[queries].length; q++) {
    let entropy = 0;
    for (let k = 0; k < width; k++) {
      const share = map[q * width + k], name = relation(queries === keys, keys, q, k);
      sums[name] = (sums[name] || 0) + share / names[queries].length;
      if (share > 0) entropy -= share * Math.log(share);
    }
    spread += Math.exp(entropy) / names[queries].length;
  }
  const bars = element("div", { className: "bars" });
  const parts = Object.keys(PATTERNS).filter(name => name in sums).map(name => {
    const bar = element("div", { title: name }, bars);
    Object.assign(bar.style, { width: `${100 * sums[name]}%`, background: PATTERNS[name] });
    const key = element("span", { className: "key" });
    element("i", {}, key).style.background = PATTERNS[name];
    key.append(`${name} ${percent(sums[name])}`);
    return key;
  });
  const note = element("span", { className: "key", textContent: `spread over ${spread.toFixed(1)} of ${width}` });
  by("pattern").replaceChildren(bars, ...parts, note);
}

function relation(self, keys, q, k) {
  if (self && q === k) return "itself";
  if (keys === "image") return k === 0 ? "the whole image" : self ? "other regions" : "regions";
  if (data.special[k]) return "special tokens";
  if (!self) return "words";
  return k === q - 1 ? "the word before" : k === q + 1 ? "the word after" : "other words";
}
