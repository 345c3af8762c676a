// The left side: the photo, the text's tokens, and what the one in focus attends to.

function element(tag, properties = {}, parent = null) {
  const made = Object.assign(document.createElement(tag), properties);
  if (parent) parent.append(made);
  return made;
}

function button(parent, text, properties, onclick) {
  return element("button", { type: "button", textContent: text, onclick, ...properties }, parent);
}

function canPoint(node, focus) {
  node.onmouseenter = () => point(focus);
  node.onmouseleave = () => point(null);
  node.onfocus = () => point(focus);
  node.onblur = () => point(null);
  node.onclick = () => pin(focus);
}

const same = (a, b) => a === b || (a && b && a.stream === b.stream && a.index === b.index);

function point(focus) {
  if (state.pinned || same(focus, state.focus)) return;
  state.focus = focus;
  drawFocus();
}

function pin(focus) {
  state.pinned = focus !== null && !(state.pinned && same(focus, state.focus));
  state.focus = focus;
  remember();
  drawFocus();
}

const [imageWidth, imageHeight] = data.size;
const boxes = data.boxes.map(([x1, y1, x2, y2], index) => {
  const box = element("div", { className: "box" + (index === data.referred ? " referred" : "") }, by("photo"));
  Object.assign(box.style, {
    left: `${(100 * x1) / imageWidth}%`, top: `${(100 * y1) / imageHeight}%`,
    width: `${(100 * (x2 - x1)) / imageWidth}%`, height: `${(100 * (y2 - y1)) / imageHeight}%`,
  });
  return box;
});
const chips = data.tokens.map((token, index) => {
  const chip = button(by("tokens"), "", { className: "chip" + (data.special[index] ? " special" : "") });
  element("span", { textContent: token }, chip);
  element("small", {}, chip);
  canPoint(chip, { stream: "text", index });
  return chip;
});

function setUpPhoto() {
  const photo = by("photo");
  photo.style.aspectRatio = `${imageWidth} / ${imageHeight}`;
  photo.style.maxWidth = `calc(44vh * ${imageWidth / imageHeight})`;
  if (data.photo) Object.assign(by("image"), { src: data.photo, hidden: false }); else photo.classList.add("empty");
  const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);
  const under = event => {
    const frame = photo.getBoundingClientRect();
    const x = ((event.clientX - frame.left) / frame.width) * imageWidth;
    const y = ((event.clientY - frame.top) / frame.height) * imageHeight;
    let found = null;  // the smallest box, as it may lie within others
    data.boxes.forEach((box, index) => {
      const inside = index > 0 && box[0] <= x && x <= box[2] && box[1] <= y && y <= box[3];
      if (inside && (found === null || area(box) < area(data.boxes[found]))) found = index;
    });
    return found === null ? null : { stream: "image", index: found };
  };
  photo.onmousemove = event => point(under(event));
  photo.onmouseleave = () => point(null);
  photo.onclick = event => pin(under(event));
  element("span", { textContent: `${data.regions[0]} the whole image` }, by("whole"));
  element("small", {}, by("whole"));
  canPoint(by("whole"), { stream: "image", index: 0 });
  by("naming").onchange = drawFocus;
  by("naming").parentElement.hidden = !regionWords().length;
}

// Writes on a region, in the first of its corners where nothing is written yet; says whether there was one.
function label(index, text, colour, placed) {
  const node = element("span", { className: "label", textContent: text }, by("photo"));
  node.style.background = colour;
  const frame = by("photo"), scale = frame.clientWidth / imageWidth;
  const [x1, y1, x2, y2] = data.boxes[index].map(side => side * scale);
  const inside = (at, size, room) => Math.max(0, Math.min(at, room - size));
  const wide = node.offsetWidth, high = node.offsetHeight;
  const spots = [[x1, y1], [x1, y2 - high], [x2 - wide, y1], [x2 - wide, y2 - high]].map(
    ([x, y]) => [inside(x, wide, frame.clientWidth), inside(y, high, frame.clientHeight)]);
  const free = spots.find(([x, y]) => placed.every(
    ([left, top, width, height]) => x + wide <= left || left + width <= x || y + high <= top || top + height <= y));
  if (!free) {
    node.remove();
    return false;
  }
  Object.assign(node.style, { left: `${free[0]}px`, top: `${free[1]}px` });
  placed.push([...free, wide, high]);
  return true;
}

function clearFocus() {
  document.querySelectorAll(".label").forEach(node => node.remove());
  boxes.forEach(box => { box.style.background = box.style.borderColor = ""; box.classList.remove("focus"); });
  for (const chip of [...chips, by("whole")]) {
    chip.style.background = chip.style.color = chip.firstChild.style.borderColor = "";
    chip.querySelector("small").textContent = "";
    chip.classList.remove("focus");
  }
  by("readout").replaceChildren();
}

function heading(text, small) {
  by("focus-title").replaceChildren(text, element("small", { textContent: small }));
}

function drawFocus() {
  clearFocus();
  if (state.focus) drawLooked(); else drawRegionWords();
  drawDetail();
}

function drawRegionWords() {
  const form = by("naming").value, found = form === "none" ? [] : regionWords(form === "beyond").slice(1);
  if (!found.length) return heading("Point at a word or a region", "to see what it attends to");
  const co = state.kind.kind === "image-text";
  heading(form === "beyond" ? "The word each region attends to more than others do" : "Each region's most-attended word",
    `image → text, ${co ? where() : "mean of all layers and heads"}`);
  const groups = [...new Set(found.map(each => each.word))].sort((a, b) => a - b).map(
    word => [word, found.filter(each => each.word === word)]);
  if (!groups.some(([word]) => word === state.word)) state.word = null;
  const colours = new Map(groups.map(([word], order) => [word, COLOURS[order % COLOURS.length]]));
  for (const [word] of groups) for (const at of data.words[word].places) {
    chips[at].firstChild.style.borderColor = colours.get(word);
  }
  const placed = [];
  for (const { region, word } of found.sort((a, b) => b.score - a.score)) {
    if (state.word !== null && state.word !== word) continue;
    const named = placed.length < LABELS && label(region, data.words[word].text, colours.get(word), placed);
    boxes[region].style.borderColor = colours.get(word) + (named ? "" : "40");
  }
  const most = Math.max(...groups.map(([, regions]) => regions.length));
  for (const [word, regions] of groups.sort(([, a], [, b]) => b.length - a.length).slice(0, 6)) {
    const line = readout(data.words[word].text, regions.length / most, `${regions.length} of ${found.length}`,
      colours.get(word));
    line.style.cursor = "pointer";
    line.style.fontWeight = state.word === word ? 600 : "";
    line.title = "show its regions alone";
    line.onclick = () => { state.word = state.word === word ? null : word; drawFocus(); };
  }
}

function drawLooked() {
  const { stream, asks, shares } = looked(), { focus } = state;
  const name = names[focus.stream][focus.index], largest = Math.max(...shares);
  heading(asks ? `What “${name}” attends to` : `What attends to “${name}”`,
    `${TITLES[state.kind.kind].toLowerCase()}, ${where()}`);
  const order = [...shares.keys()].sort((a, b) => shares[b] - shares[a]);
  if (stream === "image") {
    const even = shares.reduce((sum, share) => sum + share, 0) / shares.length;
    const most = order.slice(0, SHADED).filter(index => shares[index] > even), placed = [];
    for (const index of most) {
      const part = (shares[index] - even) / (largest - even);
      if (index) boxes[index].style.background = `rgba(var(--accent-rgb), ${(0.5 * part).toFixed(3)})`;
      boxes[index].style.borderColor = `rgba(var(--accent-rgb), ${(0.25 + 0.75 * part).toFixed(3)})`;
    }
    for (const index of most.filter(each => each > 0).slice(0, 4)) {
      label(index, percent(shares[index]), "var(--accent)", placed);
    }
    tint(by("whole"), shares[0], largest);
  } else {
    shares.forEach((share, index) => tint(chips[index], share, largest));
  }
  (focus.stream === "image" ? boxes[focus.index] : chips[focus.index]).classList.add("focus");
  if (focus.stream === "image" && focus.index === 0) by("whole").classList.add("focus");
  for (const index of order.slice(0, 6)) {
    readout(names[stream][index], shares[index] / largest, percent(shares[index]), "var(--accent)");
  }
}

function tint(chip, share, largest) {
  const part = share / largest;
  chip.style.background = `rgba(var(--accent-rgb), ${part.toFixed(3)})`;
  chip.style.color = part > 0.5 ? "#fff" : "";
  chip.querySelector("small").textContent = percent(share);
}

function readout(name, part, text, colour) {
  const line = element("li", {}, by("readout"));
  element("span", { textContent: name, title: name }, line);
  const bar = element("div", { className: "bar" }, element("div", {}, line));
  Object.assign(bar.style, { width: `${100 * part}%`, background: colour });
  element("span", { textContent: text }, line);
  return line;
}
